"""Real processes on one store: nothing that was stored is lost, no half-written file is ever read."""

import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
from filelock import FileLock
from lowtide.config.loader import PROJECT_ROOT
from lowtide.errors import ArtifactError

from tests.support.history import DAY, HOUR, LATER, actual, files, grams, hours, store
from tests.support.history_writer import SPAN


def start(role: str, root: Path, seed: int, count: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.support.history_writer", role, str(root), str(seed), str(count)]
    return subprocess.Popen(command, cwd=PROJECT_ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def values_of(root: Path) -> set[tuple[int, str, float]]:
    """Everything that the store's files hold, revisions included."""
    kept = store(root)
    return {
        ((observation.start - DAY) // HOUR, path.name.split(".")[1], observation.gco2eq_per_kwh)
        for path in files(kept)
        for observation in kept._file(path.name)
    }


def told(lines: str) -> set[tuple[int, str, float]]:
    rows = [line.split() for line in lines.splitlines()]
    return {(int(h) + i, stage, float(value)) for h, stage, value in rows for i in (0, 1)}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_two_writers_and_two_readers_at_once_lose_nothing(tmp_path: Path, seed: int) -> None:
    writers = [start("write", tmp_path, 2 * seed + n, 60) for n in (0, 1)]
    readers = [start("read", tmp_path, 0, 60) for _ in (0, 1)]
    outputs = [process.communicate(timeout=60) for process in (*writers, *readers)]
    assert [process.returncode for process in (*writers, *readers)] == [0] * 4, outputs
    assert values_of(tmp_path) == told(outputs[0][0]) | told(outputs[1][0])


def test_threads_of_one_process_that_add_at_once_lose_nothing(tmp_path: Path) -> None:
    kept = store(tmp_path)
    threads = [
        threading.Thread(target=kept.add, args=([actual(float(hour), DAY + hour * HOUR)], LATER)) for hour in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert grams(store(tmp_path).known(DAY, DAY + 12 * HOUR)) == [float(hour) for hour in range(12)]


@pytest.mark.parametrize("seed", range(4))
def test_a_writer_killed_at_any_time_leaves_whole_files_and_all_that_it_reported(tmp_path: Path, seed: int) -> None:
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
    kept.known(*SPAN)
    assert kept.unreadable_files == {}
    assert told(reported) <= values_of(tmp_path)


def test_a_file_cut_short_is_never_read_in_part(tmp_path: Path) -> None:
    """What a power cut may leave where the file system does not keep its promises."""
    kept = store(tmp_path)
    kept.add(hours(DAY, 1.0, 2.0), LATER)
    (path,) = files(kept)
    data = path.read_bytes()
    for length in range(len(data)):
        path.write_bytes(data[:length])
        cut = store(tmp_path)
        assert cut.known(DAY, DAY + 2 * HOUR) == ()
        assert "it is damaged" in cut.unreadable_files[path.name]
    path.write_bytes(data)
    assert grams(store(tmp_path).known(DAY, DAY + 2 * HOUR)) == [1.0, 2.0]


def test_a_reader_sees_what_another_process_stored_since(tmp_path: Path) -> None:
    reader = store(tmp_path)
    for hour in range(3):
        before = reader.files()
        store(tmp_path).add([actual(float(hour), DAY + hour * HOUR)], LATER)
        assert grams(reader.known(DAY, DAY + 4 * HOUR)) == [float(h) for h in range(hour + 1)]
        assert reader.files() != before


def test_a_writer_that_holds_the_store_for_too_long_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = store(tmp_path)
    kept.add([actual(1.0)], LATER)
    monkeypatch.setattr("lowtide.grid.history._LOCK_TIMEOUT_S", 0.1)
    with (
        FileLock(kept.folder / ".lock"),
        pytest.raises(ArtifactError, match="another process has been writing") as caught,
    ):
        store(tmp_path).add([actual(2.0)], LATER)
    assert "\n" not in str(caught.value)
    assert grams(store(tmp_path).known(DAY, DAY + HOUR)) == [1.0]


def test_what_dead_writers_left_behind_goes_when_the_next_one_adds(tmp_path: Path) -> None:
    kept = store(tmp_path)
    kept.add([actual(1.0)], LATER)
    (kept.folder / ".2026-03.actual.csv.gz.1.tmp").write_bytes(b"half")
    kept.add([actual(2.0)], LATER)
    assert list(kept.folder.glob(".*.tmp")) == []


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
    assert {path.name for path in kept.folder.iterdir()} == {".lock", files(kept)[0].name}
    assert grams(store(tmp_path).known(DAY, DAY + 60 * HOUR)) == [1.0]


READ_AND_WRITE = """
import os, sys
from pathlib import Path
from lowtide.errors import ArtifactError
from tests.support.history import DAY, HOUR, LATER, actual, grams, store
if os.getuid() == 0:
    os.setuid(65534)  # the superuser may write anywhere
kept = store(Path(sys.argv[1]))
print(grams(kept.known(DAY, DAY + HOUR)))
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
