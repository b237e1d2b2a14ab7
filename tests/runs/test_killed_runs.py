"""SIGKILL at a hundred random points of a recorded run: read back, each is a run's account that adds up, or says it has none."""

import json
import math
import random
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from lowtide.config.loader import PROJECT_ROOT, load_config
from lowtide.errors import LowtideError
from lowtide.grid.factory import open_signal
from lowtide.runs.account import account_of
from lowtide.runs.context import TrainingRun
from lowtide.runs.folder import RunFolder
from lowtide.runs.run import run_details
from lowtide.timeutil import parse_time, utc_now
from lowtide.tracker.ledger import read_ledger
from lowtide.tracker.process_share import AttributedMeter, Usage

from tests.support.config_files import write_config
from tests.support.replay_meter import ReplayMeter
from tests.support.runs import check_contract

RUNNER = """
import json, os, signal, sys, time
from pathlib import Path
from lowtide.timeutil import utc_now
from lowtide.records import Phase
from lowtide.tracker.process_share import AttributedMeter
from lowtide.tracker.recorder import EnergyRecorder
from lowtide.tracker.ledger import LedgerWriter
from lowtide.tracker.process_share import ProcessTree
from tests.support.replay_meter import ReplayMeter
from tests.tracker.tracker_tools import constant

def run(folder, details):
    ledger = LedgerWriter(Path(folder) / "ledger.jsonl")
    ledger.open_attempt(1, details)
    recording = EnergyRecorder(
        AttributedMeter(ReplayMeter(), ProcessTree().usage), ledger, constant, now=utc_now, interval_s=0.003, pue=1.0, attempt=1
    )
    recording.start()
    while True:
        for phase in (Phase.TRAIN, Phase.CHECKPOINT):
            recording.set_phase(phase)
            time.sleep(0.002)

for line in sys.stdin:  # one import for all of them: each run is a fork, killed by its parent
    task = json.loads(line)
    pid = os.fork()
    if pid == 0:
        run(task["folder"], task["details"])
    ledger = Path(task["folder"]) / "ledger.jsonl"
    while task["after_a_row"] and not (ledger.exists() and b'"start"' in ledger.read_bytes()):
        time.sleep(0.001)  # a busy machine may take long to begin
    time.sleep(task["after_s"])
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    print("killed", flush=True)
"""
SEEDS = 100


class _Everything:
    def usage(self) -> Usage:
        return Usage(tree_cpu_s=1.0, machine_cpu_s=1.0, tree_memory_bytes=1, machine_memory_bytes=1)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> list[RunFolder]:
    """The folders of a hundred runs, each killed at its own time: of its first 100 ms, or of those after its first row."""
    root = tmp_path_factory.mktemp("killed")
    config = load_config(write_config(root, scheduler__policy="immediate", grid__provider="profile"))
    run = TrainingRun(config=config, run_id="killed", folder=RunFolder(root), submitted_at=utc_now())
    details = run_details(run, open_signal(config.values.grid), AttributedMeter(ReplayMeter(), _Everything().usage))
    assert details["report"] == config.values.report.model_dump(
        mode="json"
    )  # by which whoever compares the run later judges it
    folders = [RunFolder(root / str(seed)) for seed in range(SEEDS)]
    runner = subprocess.Popen(
        [sys.executable, "-c", RUNNER], cwd=PROJECT_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    tasks = [
        {
            "folder": str(folder.path),
            "details": details,
            "after_s": random.Random(seed).uniform(0, 0.1),
            "after_a_row": seed % 2 == 0,
        }
        for seed, folder in enumerate(folders)
    ]
    for folder in folders:
        folder.create()
    said, _ = runner.communicate("".join(json.dumps(task) + "\n" for task in tasks), timeout=120)
    assert said.count("killed") == SEEDS
    return folders


def test_every_killed_run_is_read_back_as_an_account_that_adds_up(killed: list[RunFolder]) -> None:
    """Totals follow from whole rows, rows follow one another, each is charged no more than the machine used."""
    accounts = 0
    for folder in killed:
        try:
            account_of(folder)
        except LowtideError as error:  # killed before its first row: there is nothing to account for, and that is said
            assert "\n" not in str(error)
            assert not folder.record.exists()
            continue
        accounts += 1
        check_contract(folder)
        _check(json.loads(folder.record.read_text()), _rows(folder.ledger))
    assert accounts >= SEEDS // 2, "half of the times lie behind the first row"


def test_a_killed_run_is_marked_as_such_and_the_next_attempt_continues_its_ledger(killed: list[RunFolder]) -> None:
    """What is missing is named: at most what was used after the last row."""
    with_rows = [folder for folder in killed if folder.ledger.exists() and _rows(folder.ledger)]
    for folder in with_rows:
        contents = read_ledger(folder.ledger)
        assert any("was not closed, so it was killed" in problem for problem in contents.problems)
        torn = [problem for problem in contents.problems if "torn" in problem]
        assert len(torn) <= 1


def _rows(ledger: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in ledger.read_text().splitlines() if line.strip()]
    return [line for line in lines if "start" in line and "end" in line]


def _check(record: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    """As an auditor's script would, from the files alone."""
    energy = [row["cpu_energy_kwh"] + row["gpu_energy_kwh"] + row["ram_energy_kwh"] for row in rows]
    assert math.fsum(energy) == pytest.approx(record["energy_kwh"]["total"], rel=1e-9)
    for row in rows:
        assert row["cpu_energy_kwh"] <= row["machine_cpu_energy_kwh"] * (1 + 1e-9)
        assert row["ram_energy_kwh"] <= row["machine_ram_energy_kwh"] * (1 + 1e-9)
    times = [(parse_time(row["start"]), parse_time(row["end"])) for row in rows]
    assert all(start < end for start, end in times)
    assert all(a[1] == b[0] for a, b in pairwise(times))
