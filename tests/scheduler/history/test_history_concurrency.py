"""Real processes on one store: nothing that was stored is lost, no half part is ever read."""

import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import pytest
from lowtide.config.loader import PROJECT_ROOT
from lowtide.errors import ArtifactError
from lowtide.grid.history_files import Part, encode_part, value_of

from tests.support.history import DAY, HOUR, KEY, LATER, actual, grams, hours, store
from tests.support.history_writer import SPAN


def start(role: str, root: Path, seed: int, count: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.support.history_writer", role, str(root), str(seed), str(count)]
    return subprocess.Popen(command, cwd=PROJECT_ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def values_of(root: Path) -> set[tuple[int, str, float]]:
    """Everything that the store's files hold, revisions included."""
    found = set()
    for part in store(root)._parts.parts(lambda _: True).values():
        for value in part.values:
            hour = (value.start_us - value_of(actual(0), LATER).start_us) // 3_600_000_000
            found.add((hour, value.stage, value.gco2eq_per_kwh))
    return found


def told(lines: str) -> set[tuple[int, str, float]]:
    rows = [line.split() for line in lines.splitlines()]
    return {(int(h) + i, stage, float(value)) for h, stage, value in rows for i in (0, 1)}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_two_writers_a_compactor_and_a_reader_at_once_lose_nothing(tmp_path: Path, seed: int) -> None:
    writers = [start("write", tmp_path, 2 * seed + n, 60) for n in (0, 1)]
    compactor, reader = start("compact", tmp_path, 0, 60), start("read", tmp_path, 0, 60)
    outputs = [process.communicate(timeout=60) for process in (*writers, compactor, reader)]
    assert [process.returncode for process in (*writers, compactor, reader)] == [0] * 4, outputs
    merged, deleted = map(int, outputs[2][0].split())
    assert merged > 0, "nothing was compacted meanwhile, so nothing was shown"
    assert deleted > 0, "no part vanished meanwhile, so nothing was shown"
    written = told(outputs[0][0]) | told(outputs[1][0])
    assert written <= values_of(tmp_path)
    store(tmp_path).compact(minimum_parts=2, grace=timedelta(0))
    assert values_of(tmp_path) == written


@pytest.mark.parametrize("seed", range(4))
def test_a_writer_killed_at_any_moment_leaves_whole_parts_and_all_that_it_reported(tmp_path: Path, seed: int) -> None:
    choose = random.Random(seed)
    reported = ""
    for attempt in range(3):
        writer = start("write", tmp_path, 10 * seed + attempt, 100_000)
        assert writer.stdout is not None
        first = writer.stdout.readline()
        time.sleep(choose.uniform(0, 0.15))
        os.kill(writer.pid, signal.SIGKILL)
        rest, _ = writer.communicate(timeout=20)
        whole = (first + rest).rpartition("\n")[0]
        reported += whole + "\n"
    kept = store(tmp_path)
    kept.known_now(*SPAN)
    assert kept.unreadable_parts == {}
    assert told(reported) <= values_of(tmp_path)


def test_a_file_cut_short_under_a_part_s_name_is_never_read_as_a_part(tmp_path: Path) -> None:
    """What a power cut may leave where the file system does not keep its promises."""
    kept = store(tmp_path)
    kept.folder.mkdir(parents=True)
    name, data = encode_part(KEY, Part(tuple(value_of(r, LATER) for r in hours(DAY, 1.0, 2.0))))
    for length in range(len(data)):
        (kept.folder / name).write_bytes(data[:length])
        assert store(tmp_path).known_now(DAY, DAY + 2 * HOUR) == ()
    (kept.folder / name).write_bytes(data)
    assert grams(store(tmp_path).known_now(DAY, DAY + 2 * HOUR)) == [1.0, 2.0]


def test_a_part_that_vanishes_under_a_reader_makes_it_list_again(tmp_path: Path) -> None:
    for hour in range(4):
        store(tmp_path).add([actual(float(hour), DAY + hour * HOUR)], LATER)
    reader = store(tmp_path)
    listing = reader._parts.names()
    store(tmp_path).compact(minimum_parts=2, grace=timedelta(0))
    assert all(not (reader.folder / name.text).exists() for name in listing)
    stale = [listing]
    fresh = reader._parts.names
    reader._parts.names = lambda: stale.pop() if stale else fresh()  # type: ignore[method-assign]
    assert grams(reader.known_now(DAY, DAY + 4 * HOUR)) == [0.0, 1.0, 2.0, 3.0]
    assert stale == []


def test_replaced_parts_stay_for_the_grace_period_and_stand_in_for_a_damaged_whole(tmp_path: Path) -> None:
    kept = store(tmp_path)
    for hour in range(3):
        kept.add([actual(float(hour), DAY + hour * HOUR)], LATER)
    done = kept.compact(minimum_parts=2, grace=timedelta(hours=1))
    assert (done.merged, done.written, done.deleted, kept.parts()) == (3, 1, 0, 4)
    (whole,) = kept.folder.glob("*.all-*")
    whole.write_bytes(whole.read_bytes()[:-9])
    damaged = store(tmp_path)
    assert grams(damaged.known_now(DAY, DAY + 3 * HOUR)) == [0.0, 1.0, 2.0]
    # the parts that it holds must not go while it cannot be read
    assert damaged.compact(minimum_parts=99, grace=timedelta(0)).deleted == 0


def test_compacting_what_is_compact_writes_nothing(tmp_path: Path) -> None:
    for hour in range(3):
        store(tmp_path).add([actual(float(hour), DAY + hour * HOUR)], LATER)
    store(tmp_path).compact(minimum_parts=2, grace=timedelta(0))
    again = store(tmp_path).compact(minimum_parts=2, grace=timedelta(0))
    assert (again.merged, again.written, again.deleted, store(tmp_path).parts()) == (0, 0, 0, 1)


def test_what_dead_writers_left_behind_goes_after_an_hour(tmp_path: Path) -> None:
    kept = store(tmp_path)
    kept.add([actual(1.0)], LATER)
    old, young = kept.folder / ".x.json.gz.1.tmp", kept.folder / ".x.json.gz.2.tmp"
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 7200,) * 2)
    assert kept.compact().deleted == 1
    assert (old.exists(), young.exists()) == (False, True)


def test_a_full_disk_is_one_sentence_and_the_store_stays_whole(tmp_path: Path) -> None:
    kept = store(tmp_path)
    kept.add([actual(1.0)], LATER)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))  # the kernel stops the write, as a full disk would
    try:
        with pytest.raises(ArtifactError, match="have room") as caught:
            kept.add(hours(DAY + HOUR, *map(float, range(50))), LATER)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert "\n" not in str(caught.value)
    assert [path.suffix for path in kept.folder.iterdir()] == [".gz"]
    assert grams(store(tmp_path).known_now(DAY, DAY + 60 * HOUR)) == [1.0]


READ_AND_WRITE = """
import os, sys
from pathlib import Path
from lowtide.errors import ArtifactError
from tests.support.history import DAY, HOUR, LATER, actual, grams, store
if os.getuid() == 0:
    os.setuid(65534)  # the superuser may write anywhere
kept = store(Path(sys.argv[1]))
print(grams(kept.known_now(DAY, DAY + HOUR)))
try:
    kept.add([actual(2.0, DAY + HOUR)], LATER)
except ArtifactError as error:
    print(error)
"""


def test_a_read_only_root_is_one_sentence_and_can_still_be_read() -> None:
    with tempfile.TemporaryDirectory() as name:  # not tmp_path: its parents are closed to another user
        root = Path(name)
        store(root).add([actual(1.0)], LATER)
        folders = [root, *(path for path in root.rglob("*") if path.is_dir())]
        for folder in folders:
            folder.chmod(0o555)
        try:
            done = subprocess.run(
                [sys.executable, "-c", READ_AND_WRITE, name],
                cwd=PROJECT_ROOT,
                capture_output=True,
                text=True,
                check=False,
            )
        finally:
            for folder in folders:
                folder.chmod(0o755)
    value, sentence = done.stdout.splitlines()
    assert value == "[1.0]", done.stderr
    assert sentence.startswith("cannot write")
    assert "Permission denied" in sentence
