"""A ledger copied in pieces, into a folder and into a store without appending, through kills and a store that is away."""

import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from lowtide.errors import ArtifactError, ConfigurationError
from lowtide.tracker.ledger import LedgerSegments, LedgerWriter, open_folder, read_ledger, read_segments

from tests.tracker.tracker_tools import row

HOUR_S = 3600.0


@pytest.fixture(params=["file", "memory"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A store of its own for each test."""
    yield f"file://{tmp_path}/store" if request.param == "file" else f"memory://{uuid.uuid4().hex}"


def append(path: Path, *numbers: int) -> None:
    with LedgerWriter(path) as ledger:
        ledger.append([row(k) for k in numbers])


def segments(path: Path, root: str, interval_s: float = HOUR_S) -> LedgerSegments:
    return LedgerSegments(path, root, "nightly/run", interval_s=interval_s)


def names(root: str) -> list[str]:
    return sorted(piece.name for piece in (open_folder(root) / "nightly/run").glob("*"))


def test_pieces_add_up_to_the_ledger_byte_for_byte_and_none_is_written_twice(tmp_path: Path, root: str) -> None:
    path = tmp_path / "ledger.jsonl"
    append(path, 0, 1)
    copies = segments(path, root)
    assert (copies.copy(), copies.copy()) == (True, False)
    append(path, 2)
    assert copies.copy() is True
    assert names(root) == ["ledger-000001.jsonl", "ledger-000002.jsonl"]
    assert read_segments(root, "nightly/run") == path.read_bytes()


def test_a_line_under_way_waits_for_its_end(tmp_path: Path, root: str) -> None:
    path = tmp_path / "ledger.jsonl"
    append(path, 0)
    whole = path.read_bytes()
    with path.open("ab") as file:
        file.write(b'{"start": "20')
    copies = segments(path, root)
    copies.copy()
    assert read_segments(root, "nightly/run") == whole
    assert copies.copy() is False


def test_while_it_runs_at_most_one_interval_is_missing_and_at_the_end_nothing(tmp_path: Path, root: str) -> None:
    path = tmp_path / "ledger.jsonl"
    append(path, 0)
    with segments(path, root, interval_s=0.1):
        append(path, 1)
        give_up = time.monotonic() + 5
        while not names(root) or read_segments(root, "nightly/run") != path.read_bytes():
            assert time.monotonic() < give_up
            time.sleep(0.02)
        append(path, 2)
    assert read_segments(root, "nightly/run") == path.read_bytes()


def test_what_a_lost_machine_leaves_is_a_ledger_like_any_other(tmp_path: Path, root: str) -> None:
    """The scratch is gone: the pieces are read back, and the reader says what is missing."""
    path = tmp_path / "ledger.jsonl"
    with LedgerWriter(path) as ledger:
        ledger.open_attempt(1, {"interval_s": 5.0})
        ledger.append([row(0), row(1)])
    segments(path, root).copy()
    append(path, 2)
    path.unlink()
    back = tmp_path / "back.jsonl"
    back.write_bytes(read_segments(root, "nightly/run"))
    contents = read_ledger(back)
    assert contents.rows == (row(0), row(1))
    assert "attempt 1 was not closed" in contents.problems[0]


def test_the_next_attempt_goes_on_after_the_pieces_of_the_last(tmp_path: Path, root: str) -> None:
    path = tmp_path / "ledger.jsonl"
    append(path, 0)
    segments(path, root).copy()
    append(path, 1)
    segments(path, root).copy()
    assert len(names(root)) == 2
    assert read_segments(root, "nightly/run") == path.read_bytes()


def test_a_run_that_is_trained_again_leaves_the_pieces_of_its_first_ledger_alone(tmp_path: Path, root: str) -> None:
    path = tmp_path / "ledger.jsonl"
    append(path, 0)
    segments(path, root).copy()
    first = path.read_bytes()
    for k in (1, 2):
        path.unlink()
        append(path, k)
        segments(path, root).copy()
    assert read_segments(root, "nightly/run") == first
    assert read_segments(root, "nightly/run-3") == path.read_bytes()


def test_a_missing_piece_is_named(tmp_path: Path, root: str) -> None:
    path = tmp_path / "ledger.jsonl"
    for k in range(3):
        append(path, k)
        segments(path, root).copy()
    (open_folder(root) / "nightly/run" / "ledger-000002.jsonl").unlink()
    with pytest.raises(ArtifactError, match=r"ledger-000002\.jsonl of the ledger is missing"):
        read_segments(root, "nightly/run")
    with pytest.raises(ArtifactError, match="no pieces"):
        read_segments(root, "nightly/other")


def test_a_store_that_is_away_is_told_once_and_made_good_when_it_is_back(tmp_path: Path) -> None:
    """A file in the folder's place."""
    path = tmp_path / "ledger.jsonl"
    append(path, 0)
    copies = segments(path, str(tmp_path / "store"))
    (tmp_path / "store").write_text("")
    assert (copies.copy(), copies.copy()) == (False, False)
    assert len(copies.problems) == 1
    (tmp_path / "store").unlink()
    append(path, 1)
    assert copies.copy() is True
    assert read_segments(str(tmp_path / "store"), "nightly/run") == path.read_bytes()


def test_a_protocol_without_a_driver_is_one_sentence(tmp_path: Path) -> None:
    append(tmp_path / "l", 0)
    with pytest.raises(ConfigurationError, match="install the driver") as caught:
        segments(tmp_path / "l", "s3://bucket/ledgers")
    assert "\n" not in str(caught.value)


def test_a_ledger_that_cannot_be_read_for_a_moment_is_copied_later_and_that_is_told(tmp_path: Path, root: str) -> None:
    """As with too many open files: the thread goes on, and the training's end raises nothing."""
    path = tmp_path / "ledger.jsonl"
    append(path, 0)
    with segments(path, root, interval_s=0.02) as copies:
        path.rename(tmp_path / "away")
        time.sleep(0.1)
        (tmp_path / "away").rename(path)
    assert read_segments(root, "nightly/run") == path.read_bytes()
    assert ["is behind" in problem for problem in copies.problems] == [True]
