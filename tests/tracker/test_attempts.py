"""Attempts in the ledger: what a killed one leaves out is said, and so is a row that was taken out later."""

import json
from pathlib import Path

import pytest
from lowtide.records import LEDGER_SCHEMA_VERSION, LedgerEventKind
from lowtide.tracker.ledger import LedgerWriter, read_ledger, repair_ledger

from tests.tracker.tracker_tools import row

DETAILS = {"run_id": "nightly", "interval_s": 5.0}


def write(path: Path, *, close: bool, rows: int = 3, attempt: int = 1) -> None:
    with LedgerWriter(path) as ledger:
        ledger.open_attempt(attempt, DETAILS)
        for k in range(rows):
            ledger.append([row(10 * attempt + k, attempt=attempt)])
        if close:
            ledger.close_attempt("finished", ["the clock was set back"])


def test_a_closed_attempt_says_what_it_was_about_how_it_went_and_what_it_used(tmp_path: Path) -> None:
    write(tmp_path / "l", close=True)
    contents = read_ledger(tmp_path / "l")
    opened, closed = contents.events
    assert contents.problems == ()
    assert (opened.event, opened.details, opened.schema_version) == (
        LedgerEventKind.OPENED,
        DETAILS,
        LEDGER_SCHEMA_VERSION,
    )
    assert closed.details["energy_kwh"] == pytest.approx(3 * row().energy_kwh, rel=1e-12)
    assert (closed.details["rows"], closed.details["problems"]) == (3, ["the clock was set back"])
    assert closed.monotonic_s >= opened.monotonic_s
    assert closed.at >= opened.at


@pytest.mark.parametrize(("rows", "said"), [(3, "after 2025-04-15T05:01:05Z is missing"), (0, "all that it used")])
def test_an_attempt_that_was_not_closed_is_reported_with_the_loss_window(tmp_path: Path, rows: int, said: str) -> None:
    write(tmp_path / "l", close=False, rows=rows)
    (problem,) = read_ledger(tmp_path / "l").problems
    assert "attempt 1 was not closed" in problem
    assert said in problem
    assert ("less than 5 s" in problem) is (rows > 0)


def test_the_next_attempt_counts_one_that_was_killed_before_its_first_row(tmp_path: Path) -> None:
    write(tmp_path / "l", close=False, rows=0)
    assert read_ledger(tmp_path / "l").next_attempt == 2
    write(tmp_path / "l", close=True, attempt=2)
    assert len(read_ledger(tmp_path / "l").problems) == 1, "the first attempt stays without an end"


def test_a_row_taken_out_of_a_closed_attempt_is_missed(tmp_path: Path) -> None:
    """At its end, where no gap in time would show it."""
    write(tmp_path / "l", close=True)
    lines = (tmp_path / "l").read_text().splitlines(keepends=True)
    (tmp_path / "l").write_text("".join([*lines[:3], *lines[4:]]))
    (problem,) = read_ledger(tmp_path / "l").problems
    assert "in 3 rows when it was closed" in problem
    assert "in 2 rows are left" in problem


def test_a_kill_at_any_byte_costs_at_most_the_line_under_way_and_never_passes_for_an_end(tmp_path: Path) -> None:
    """Cut anywhere, the ledger reads back; once repaired every line is JSON, and the attempt shows as not closed."""
    write(tmp_path / "whole", close=True)
    content = (tmp_path / "whole").read_bytes()
    path = tmp_path / "cut.jsonl"
    for cut in range(1, len(content) - 1):
        path.write_bytes(content[:cut])
        contents = read_ledger(path)
        ended = content[: cut + 1].count(b"\n") - (content[cut : cut + 1] == b"\n")
        whole_lines = ended + (content[cut : cut + 1] == b"\n")
        assert len(contents.rows) + len(contents.events) == whole_lines
        assert contents.problems
        repair_ledger(path)
        assert all(json.loads(line) for line in path.read_text().splitlines())
        repaired = read_ledger(path)
        assert (repaired.rows, repaired.events) == (contents.rows, contents.events)


def test_a_later_event_of_an_unknown_kind_is_a_problem_and_not_a_row(tmp_path: Path) -> None:
    write(tmp_path / "l", close=True)
    with (tmp_path / "l").open("a") as file:
        file.write('{"event": "sealed", "attempt": 1}\n')
    contents = read_ledger(tmp_path / "l")
    assert len(contents.rows) == 3
    assert any("line 6" in problem for problem in contents.problems)
