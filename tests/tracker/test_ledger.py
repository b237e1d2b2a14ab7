"""The ledger on the disk: torn at any byte, corrupt, locked, full, read-only."""

import fcntl
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from lowtide.errors import ArtifactError, MeasurementError
from lowtide.io import hold_ledger
from lowtide.records import LedgerRow
from lowtide.tracker.ledger import LedgerWriter, read_ledger, repair_ledger

from tests.tracker.tracker_tools import row

SCHEMA = Path(__file__).resolve().parents[2] / "include/lowtide/schemas/ledger_row.schema.json"


def write(path: Path, rows: list[LedgerRow]) -> None:
    with LedgerWriter(path) as ledger:
        ledger.append(rows)


def parsed_as_anyone_would(path: Path) -> list[object]:
    return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]


def test_rows_come_back_as_they_were_written(tmp_path: Path) -> None:
    """Two attempts, one file."""
    path = tmp_path / "run" / "ledger.jsonl"
    write(path, [row(0), row(1)])
    write(path, [row(2, attempt=2)])
    assert read_ledger(path).rows == (row(0), row(1), row(2, attempt=2))
    assert read_ledger(path).problems == ()
    assert repair_ledger(path) == []


def test_real_rows_match_the_published_schema_and_wrong_ones_do_not(tmp_path: Path) -> None:
    """The schema is strict enough to refuse a negative energy, a local time and a missing key."""
    write(tmp_path / "l", [row(0), row(1)])
    schema = json.loads(SCHEMA.read_text())
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    rows = parsed_as_anyone_would(tmp_path / "l")
    assert all(validator.is_valid(data) for data in rows)
    good = rows[0]
    assert isinstance(good, dict)
    assert set(schema["required"]) == set(good), "what is None is left out of the line"
    assert set(schema["properties"]) == set(LedgerRow.__slots__)
    for wrong in ({"cpu_energy_kwh": -1}, {"start": "2025-04-15T06:00:00+01:00"}, {"phase": "idle"}, {"attempt": 0}):
        assert not validator.is_valid(good | wrong), wrong
    assert not validator.is_valid({key: value for key, value in good.items() if key != "end"})


def test_a_line_torn_at_any_byte_costs_that_line_only_and_resuming_keeps_the_file_parseable(tmp_path: Path) -> None:
    """Killed after any byte of the third row: the reader names line 3, the next attempt moves it aside and goes on."""
    whole = "".join(row(k).as_json_line() for k in range(2)).encode()
    third = row(2).as_json_line().encode()
    for cut in range(1, len(third)):
        path = tmp_path / f"{cut}.jsonl"
        path.write_bytes(whole + third[:cut])
        complete = cut == len(third) - 1  # only the line's end is missing: the row is whole and must not be lost
        contents = read_ledger(path)
        assert contents.rows == tuple(row(k) for k in range(3 if complete else 2))
        assert (contents.problems == ()) is complete
        write(path, [row(3, attempt=2)])
        assert len(parsed_as_anyone_would(path)) == len(contents.rows) + 1
        assert read_ledger(path).rows[-1] == row(3, attempt=2)
        torn = path.with_name(path.name + ".torn")
        assert torn.exists() is not complete
        if not complete:
            assert "line 3" in contents.problems[0]
            assert torn.read_bytes() == third[:cut] + b"\n"


@pytest.mark.parametrize(
    "bad",
    [
        b"\x00" * 40,
        b"\xff\xfe",
        b"5",
        b"[]",
        b'{"start": 1}',
        b'{"a":' * 5000,
        row(1).as_json_line().replace("0.001", "NaN").encode(),
    ],
)
def test_a_corrupt_line_in_the_middle_is_named_and_repaired_without_touching_its_neighbours(
    tmp_path: Path, bad: bytes
) -> None:
    """Bits rot, disks write zeros: the rows around it stay byte for byte."""
    path = tmp_path / "ledger.jsonl"
    first, last = row(0).as_json_line().encode(), row(2).as_json_line().encode()
    path.write_bytes(first + bad.rstrip(b"\n") + b"\n" + last)
    contents = read_ledger(path)
    assert contents.rows == (row(0), row(2))
    assert any("line 2" in problem for problem in contents.problems)
    assert any("no row covers 2025-04-15T05:00:05Z to 2025-04-15T05:00:10Z" in problem for problem in contents.problems)
    assert len(repair_ledger(path)) == 1
    assert path.read_bytes() == first + last
    assert repair_ledger(path) == []


def test_a_row_out_of_order_is_refused_by_the_writer_and_named_by_the_reader(tmp_path: Path) -> None:
    """Rows of two attempts must not overlap, or energy would be counted twice."""
    path = tmp_path / "ledger.jsonl"
    write(path, [row(0), row(1)])
    with LedgerWriter(path) as ledger:
        assert ledger.last_end == row(1).end
        for wrong in ([row(1, attempt=2)], [row(3), row(2)]):
            with pytest.raises(MeasurementError, match="out of order"):
                ledger.append(wrong)
    assert read_ledger(path).rows == (row(0), row(1))
    with path.open("a") as file:
        file.write(row(0).as_json_line())
    assert "line 3" in read_ledger(path).problems[0]


def test_a_second_writer_is_refused_while_the_first_lives(tmp_path: Path) -> None:
    """A worker taken for dead and its retry would interleave their rows; the lock ends with its holder."""
    path = tmp_path / "ledger.jsonl"
    first = LedgerWriter(path)
    with pytest.raises(ArtifactError, match="another process writes"):
        LedgerWriter(path)
    first.close()
    write(path, [row(0)])


def test_a_full_disk_is_one_sentence_leaves_no_torn_line_and_is_survived(tmp_path: Path) -> None:
    """In a process whose files may not grow beyond 1,000 bytes: two rows fit, the third does not; later there is room."""
    path = tmp_path / "ledger.jsonl"
    script = """
import resource, sys
from pathlib import Path
from lowtide.errors import ArtifactError
from lowtide.tracker.ledger import LedgerWriter
from tests.tracker.tracker_tools import row
ledger = LedgerWriter(Path(sys.argv[1]))
limit = len(row(0).as_json_line()) * 2 + 100
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
ledger.append([row(0)]); ledger.append([row(1)])
try:
    ledger.append([row(2), row(3)])
except ArtifactError as error:
    print(error)
print(len(Path(sys.argv[1]).read_bytes().splitlines()))
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
ledger.append([row(2), row(3)])
"""
    done = run_python(script, path)
    assert done.returncode == 0, done.stderr
    sentence, lines = done.stdout.splitlines()
    assert str(path) in sentence
    assert "free space" in sentence
    assert lines == "2"
    assert read_ledger(path).rows == tuple(row(k) for k in range(4))


def run_python(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60, check=False)


def test_a_path_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    """A folder in the file's place; a file in the folder's place."""
    (tmp_path / "ledger.jsonl").mkdir()
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "ledger.jsonl", tmp_path / "file" / "ledger.jsonl"):
        with pytest.raises(ArtifactError, match=str(path)) as caught:
            LedgerWriter(path)
        assert "\n" not in str(caught.value)


def test_a_missing_ledger_is_one_sentence(tmp_path: Path) -> None:
    """For the reader and the repair alike."""
    for read in (read_ledger, repair_ledger):
        with pytest.raises(ArtifactError, match="there is no such ledger"):
            read(tmp_path / "none.jsonl")


def test_no_file_descriptor_is_left_open(tmp_path: Path) -> None:
    """Hundreds of ledgers in one process, as in a backfill."""
    before = sum(1 for _ in Path("/proc/self/fd").iterdir())
    for k in range(20):
        write(tmp_path / f"{k}.jsonl", [row(0)])
        with pytest.raises(MeasurementError):
            write(tmp_path / f"{k}.jsonl", [row(0)])
    assert sum(1 for _ in Path("/proc/self/fd").iterdir()) <= before + 1


def test_who_holds_a_ledger_has_it_open_for_writing_and_leaves_its_time(tmp_path: Path) -> None:
    """NFS makes a byte-range lock of flock, and gives an exclusive one to writers only: each retry there would fail."""
    path = tmp_path / "l"
    write(path, [row(0)])
    os.utime(path, (1.0, 1.0))
    with hold_ledger(path):
        opened = [entry for entry in Path("/proc/self/fd").iterdir() if entry.exists() and entry.samefile(path)]
        flags = [fcntl.fcntl(int(entry.name), fcntl.F_GETFL) for entry in opened]
    assert [flag & os.O_ACCMODE for flag in flags] == [os.O_RDWR]
    assert path.stat().st_mtime == 1.0


def test_a_ledger_that_was_replaced_while_it_was_opened_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by a settlement that ends between opening and locking: rows would go into a file without a name."""
    path = tmp_path / "ledger.jsonl"
    path.touch()
    lock = fcntl.flock

    def replace_then_lock(file: int, how: int) -> None:
        (tmp_path / "new").write_text("")
        (tmp_path / "new").replace(path)
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", replace_then_lock)
    with pytest.raises(ArtifactError, match="has just replaced this ledger"):
        LedgerWriter(path)
    monkeypatch.undo()
    LedgerWriter(path).close()


@pytest.mark.parametrize("key", ["machine_ram_energy_kwh", "machine_cpu_energy_kwh"])
def test_an_impossible_figure_beside_the_charged_ones_is_one_too(tmp_path: Path, key: str) -> None:
    path = tmp_path / "ledger.jsonl"
    data = json.loads(row(0).as_json_line())
    path.write_text(json.dumps(data | {key: math.nan}) + "\n" + json.dumps(data | {key: 1.0}) + "\n")
    contents = read_ledger(path)
    assert len(contents.rows) == 1
    assert "finite number" in contents.problems[0]
