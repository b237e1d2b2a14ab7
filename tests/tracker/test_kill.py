"""SIGKILL at random times: every row that was acknowledged is there, whole; at most the one under way is lost."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest
from lowtide.tracker.ledger import LedgerWriter, read_ledger, repair_ledger

ROOT = Path(__file__).resolve().parents[2]
CHILD = """
import os, sys, time
from pathlib import Path
from lowtide.timeutil import utc_now
from lowtide.tracker.recorder import EnergyRecorder
from lowtide.tracker.ledger import LedgerWriter
from tests.support.replay_meter import ReplayMeter
from tests.tracker.tracker_tools import constant

class Acknowledging(LedgerWriter):
    def append(self, rows):
        os.write(1, b"try\\n")
        super().append(rows)
        os.write(1, b"done\\n")

ledger = Acknowledging(Path(sys.argv[1]))
EnergyRecorder(ReplayMeter(), ledger, constant, now=utc_now, interval_s=0.002, pue=1.0, attempt=int(sys.argv[2])).start()
time.sleep(60)
"""


def run_until_killed(path: Path, attempt: int, after_s: float) -> list[str]:
    """Kill the child some time after its first row and return what it had said."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path), str(attempt)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    said = [child.stdout.readline().strip()]
    time.sleep(after_s)
    os.kill(child.pid, signal.SIGKILL)
    said += child.stdout.read().split()
    child.stdout.close()
    assert child.wait() == -signal.SIGKILL
    return said


@pytest.mark.parametrize("seed", range(10))
def test_a_killed_recorder_loses_at_most_the_row_under_way(tmp_path: Path, seed: int) -> None:
    """Then the next attempt goes on in the same file."""
    path = tmp_path / "ledger.jsonl"
    chance = random.Random(seed)
    said = run_until_killed(path, 1, chance.uniform(0, 0.15))
    contents = read_ledger(path)
    assert said.count("done") <= len(contents.rows) <= said.count("try")
    assert said.count("try") - said.count("done") <= 1
    assert all(a.end == b.start for a, b in pairwise(contents.rows))
    assert len(contents.problems) <= 1  # a torn last line
    repair_ledger(path)
    assert [json.loads(line) for line in path.read_text().splitlines()].__len__() == len(contents.rows)
    if seed < 2:
        with path.open("ab") as file:  # a kill inside write() is rare; this is what it leaves behind
            file.write(b'{"start": "2025-04-15T05:0')
        run_until_killed(path, 2, 0.05)
        both = read_ledger(path)
        assert both.rows[: len(contents.rows)] == contents.rows
        assert {row.attempt for row in both.rows[len(contents.rows) :]} <= {2}
        assert all(a.end <= b.start for a, b in pairwise(both.rows))
    LedgerWriter(path).close()  # the killed process's lock is gone
