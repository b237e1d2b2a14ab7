"""For how long a ledger does not know what its run used: never less than it was, also where rows could not be written."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from lowtide.config.loader import PROJECT_ROOT
from lowtide.tracker.ledger import INCOMPLETE, LedgerContents, LedgerWriter, read_ledger, repair_ledger, uncovered_s

from tests.tracker.tracker_tools import row

CHILD = """
import resource, sys, time
from pathlib import Path
from lowtide.errors import MeasurementError
from lowtide.timeutil import utc_now
from lowtide.tracker.recorder import EnergyRecorder
from lowtide.tracker.ledger import LedgerWriter
from tests.support.replay_meter import ReplayMeter
from tests.tracker.tracker_tools import constant

path, fault = Path(sys.argv[1]), sys.argv[2]
failing = False

class Meter(ReplayMeter):
    def sample(self):
        if failing and fault == "meter":
            raise MeasurementError("the sensor's bus is gone")
        return super().sample()

ledger = LedgerWriter(path)
ledger.open_attempt(1, {"interval_s": 0.05})
EnergyRecorder(Meter(), ledger, constant, now=utc_now, interval_s=0.05, pue=1.0, attempt=1).start()
time.sleep(0.4)
failing = True
if fault == "disk":
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 10, resource.RLIM_INFINITY))
print("failing", flush=True)
time.sleep(60)
"""


def uncovered(contents: LedgerContents, interval_s: float = 5.0) -> float | None:
    return uncovered_s(contents, interval_s=interval_s)


@pytest.mark.parametrize("fault", ["disk", "meter", "none"])
def test_a_run_that_is_killed_while_rows_cannot_be_written_has_lost_more_than_one(tmp_path: Path, fault: str) -> None:
    """The kernel refuses the writes, or the meter gives no figure, for a second; then SIGKILL. The next attempt's line tells."""
    path = tmp_path / "ledger.jsonl"
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path), fault], cwd=PROJECT_ROOT, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "failing\n"
    began_s = time.time()
    time.sleep(1.0)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()
    ended_s = time.time()
    with LedgerWriter(path) as ledger:
        last_end_s = read_ledger(path).rows[-1].end.timestamp()
        lost_s = ended_s - last_end_s
        held_up_s = ledger.held_up_s
        ledger.open_attempt(2, {"interval_s": 0.05})
        ledger.close_attempt("finished")
    told = uncovered(read_ledger(path))
    assert told == pytest.approx(0.05 + held_up_s)
    if fault == "none":
        assert last_end_s > began_s, "rows went on"
        assert held_up_s < 0.5
    else:
        assert told is not None
        assert 0.5 < told <= lost_s + 0.2


def test_a_row_that_was_taken_out_of_a_closed_attempt_leaves_nobody_knowing_for_how_long(tmp_path: Path) -> None:
    """At its end no gap shows; what the attempt summed to when it was closed does. Before, the account passed for complete."""
    path = tmp_path / "ledger.jsonl"
    for attempt in (1, 2):
        with LedgerWriter(path) as ledger:
            ledger.open_attempt(attempt, {"interval_s": 5.0})
            ledger.append([row(10 * attempt + k, attempt=attempt) for k in range(3)])
            ledger.close_attempt("failed" if attempt == 1 else "finished")
    assert uncovered(read_ledger(path)) == 0
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:3] + lines[4:]))
    assert uncovered(read_ledger(path)) is None
    path.write_text("".join([*lines[:3], "x" + lines[3], *lines[4:]]))
    assert repair_ledger(path)
    assert uncovered(read_ledger(path)) is None, "a line that was damaged and moved aside is as lost"


def test_what_a_closing_line_says_is_missing_stays_so(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    with LedgerWriter(path) as ledger:
        ledger.open_attempt(1, {"interval_s": 5.0})
        ledger.append([row(0)])
        ledger.close_attempt("failed", [f"{INCOMPLETE}the sensor's bus is gone"])
    assert uncovered(read_ledger(path)) is None


def test_gaps_and_killed_attempts_add_up_also_of_an_older_ledger_without_openings(tmp_path: Path) -> None:
    """10 s of a gap at twice the speed, one killed attempt of 5 s without an opening line, one of 7 s with one."""
    path = tmp_path / "ledger.jsonl"
    with LedgerWriter(path) as ledger:
        ledger.append([row(0), row(3)])
        ledger.open_attempt(2, {"interval_s": 7.0})
        ledger.append([row(4, attempt=2)])
    contents = read_ledger(path)
    found = uncovered_s(contents, interval_s=5.0, speed=2.0, held_up_s=0.25)
    assert found == pytest.approx(10 / 2 + 5 + 7 + 0.25)


def test_mending_a_torn_line_leaves_the_time_at_which_the_run_was_last_alive(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_text(row(0).as_json_line() + '{"start": "2025')
    os.utime(path, (1_000, 1_000))
    assert repair_ledger(path)
    assert path.stat().st_mtime == 1_000
