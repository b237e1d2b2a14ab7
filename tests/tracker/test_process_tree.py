"""CPU time and memory of real processes: children, orphans, forks that share pages, and two runs at once."""

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

from include.errors import MeasurementError
from include.tracker import ProcessTree

ROOT = Path(__file__).resolve().parents[2]
BURN = "import time\nend = time.process_time() + {s}\nwhile time.process_time() < end: pass\n"
MIB = 1024**2


def burn(seconds: float) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", BURN.format(s=seconds)])


def test_a_child_counts_while_it_runs_and_once_it_is_reaped_but_once(tmp_path: Path) -> None:
    """0.3 s in a child, seen half-way and after the wait; the machine used at least as much."""
    tree = ProcessTree()
    before = tree.usage()
    child = burn(0.3)
    seen = []
    while child.poll() is None:
        seen.append(tree.usage().tree_cpu_s)
        time.sleep(0.03)
    after = tree.usage()
    start_up_s = 0.15
    assert 0.3 <= after.tree_cpu_s - before.tree_cpu_s <= 0.3 + start_up_s + 0.1
    assert seen == sorted(seen)
    assert after.machine_cpu_s - before.machine_cpu_s >= 0.25
    assert tree.usage().tree_cpu_s - after.tree_cpu_s <= 0.05


def test_a_process_that_came_and_went_between_two_looks_counts() -> None:
    """It was never seen: what its parent's wait booked is all there is."""
    tree = ProcessTree()
    before = tree.usage()
    burn(0.2).wait()
    assert tree.usage().tree_cpu_s - before.tree_cpu_s >= 0.2


def test_what_others_use_is_not_counted() -> None:
    """A sibling of the root burns: the machine's time grows, the tree's does not."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    other = burn(0.3)
    try:
        time.sleep(0.1)  # until both are past their start
        tree = ProcessTree(child.pid)
        before = tree.usage()
        other.wait()
        after = tree.usage()
        assert after.tree_cpu_s - before.tree_cpu_s <= 0.1
        assert tree.pids == {child.pid}
    finally:
        child.kill()
        child.wait()
        other.wait()


def test_an_orphan_stays_a_member_and_what_it_used_is_kept_when_strangers_reap_it() -> None:
    """A data loader's worker outlives the process that forked it."""
    script = (
        "import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', sys.argv[1]])\nimport time; time.sleep(0.3)\n"
    )
    root = subprocess.Popen([sys.executable, "-c", script, BURN.format(s=0.8)])
    tree = ProcessTree(os.getpid())
    time.sleep(0.2)
    tree.usage()
    root.wait()
    orphans = tree.pids - {os.getpid(), root.pid}
    assert orphans, "the grandchild was seen while its parent lived"
    seen, until = [], time.monotonic() + 10
    while time.monotonic() < until and (not seen or orphans & tree.pids):
        seen.append(tree.usage().tree_cpu_s)
        time.sleep(0.05)
    assert not orphans & tree.pids
    assert seen == sorted(seen)
    assert seen[-1] >= 0.7


def test_pages_that_forks_share_are_counted_once() -> None:
    """64 MiB held by a parent and two forks of it are 64 MiB, not 192."""
    script = """
import os, sys, time
held = bytearray(os.urandom(1) * (64 * 2**20))
for _ in range(2):
    if os.fork() == 0:
        time.sleep(60); os._exit(0)
print("ready", flush=True)
time.sleep(60)
"""
    root = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, start_new_session=True)
    assert root.stdout is not None
    try:
        root.stdout.readline()
        tree = ProcessTree(root.pid)
        usage = tree.usage()
        assert len(tree.pids) == 3
        assert 64 * MIB <= usage.tree_memory_bytes <= 110 * MIB
        assert usage.tree_memory_bytes < usage.machine_memory_bytes
    finally:
        os.killpg(root.pid, 9)
        root.wait()
        root.stdout.close()


RUN = """
import json, sys, time
from pathlib import Path
from include.moments import utc_now
from include.tracker import *
from tests.tracker.tracker_tools import constant
meter = AttributedMeter(CodeCarbonMeter(gpu_ids=[]), ProcessTree())
ledger = LedgerWriter(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
with EnergyRecorder(meter, ledger, constant, now=utc_now, interval_s=0.5, pue=1.0, attempt=1):
    end = time.monotonic() + 3
    while time.monotonic() < end: pass
ledger.close()
rows = read_ledger(Path(sys.argv[1])).rows
charged, machine = summarise(rows), machine_totals(rows)
print(json.dumps([charged.cpu_energy_kwh, charged.ram_energy_kwh, machine.cpu, machine.ram]))
"""


def test_two_runs_at_once_are_not_both_charged_the_whole_machine(tmp_path: Path) -> None:
    """Two real recorders over the real CodeCarbon, each busy with a loop: together at most the machine, each a fair part."""
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", RUN, str(tmp_path / f"{k}.jsonl")],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for k in range(2)
    ]
    for run in runs:
        assert run.stdout is not None
        assert run.stdout.readline() == "ready\n"
    answers = [run.communicate("\n", timeout=60)[0] for run in runs]
    figures = [json.loads(answer) for answer in answers]
    machine_cpu = max(machine for _, _, machine, _ in figures)
    charged = [cpu for cpu, _, _, _ in figures]
    assert sum(charged) <= 1.05 * machine_cpu, "5 %: the two windows and the ticks of 10 ms are not the same"
    assert min(charged) >= 0.02 * machine_cpu, "both were busy all the time, beside whatever else this machine does"
    assert max(charged) <= 0.75 * machine_cpu
    assert sum(ram for _, ram, _, _ in figures) <= max(machine for _, _, _, machine in figures)


def test_without_proc_there_is_no_share(tmp_path: Path) -> None:
    """macOS: the machine is charged, and that is told."""
    with pytest.raises(MeasurementError, match="stat cannot be read"):
        ProcessTree(proc=tmp_path)


def test_a_look_costs_a_small_part_of_a_row() -> None:
    """0.1 to 0.5 ms of CPU time beside a few hundred processes; a row is 5 s."""
    tree = ProcessTree()
    tree.usage()
    before = resource.getrusage(resource.RUSAGE_SELF)
    for _ in range(100):
        tree.usage()
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert cpu_s / 100 < 5e-3, "ten times that, for slow and crowded machines"
