"""CPU time and memory of real processes: children, orphans, forks that share pages, and two runs at once."""

import errno
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest
from lowtide.errors import MeasurementError
from lowtide.tracker.process_share import ProcessTree

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


def test_a_process_that_came_and_went_between_two_samples_counts() -> None:
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
    others = ProcessTree(os.getpid()).pids  # what other tests left to be reaped, if any
    root = subprocess.Popen([sys.executable, "-c", script, BURN.format(s=0.8)])
    tree = ProcessTree(os.getpid())
    time.sleep(0.2)
    tree.usage()
    root.wait()
    orphans = tree.pids - others - {root.pid}
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
from lowtide.timeutil import utc_now
from lowtide.tracker.codecarbon import CodeCarbonMeter
from lowtide.tracker.process_share import AttributedMeter, ProcessTree
from lowtide.tracker.emissions import machine_totals
from lowtide.tracker.ledger import LedgerWriter, read_ledger
from lowtide.tracker.recorder import EnergyRecorder
from tests.tracker.tracker_tools import constant
meter = AttributedMeter(CodeCarbonMeter(count_gpus=False), ProcessTree().usage)
ledger = LedgerWriter(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
with EnergyRecorder(meter, ledger, constant, now=utc_now, interval_s=0.5, pue=1.0, attempt=1):
    end = time.monotonic() + 3
    while time.monotonic() < end: pass
ledger.close()
rows = read_ledger(Path(sys.argv[1])).rows
machine = machine_totals(rows)
cpu_kwh, ram_kwh = sum(row.cpu_energy_kwh for row in rows), sum(row.ram_energy_kwh for row in rows)
print(json.dumps([cpu_kwh, ram_kwh, machine.cpu, machine.ram]))
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
    for run in runs:  # both before either is waited for, or they would run one after the other
        assert run.stdin is not None
        run.stdin.write("\n")
        run.stdin.flush()
    answers = [run.communicate(timeout=60)[0] for run in runs]
    figures = [json.loads(answer) for answer in answers]
    # as shares: CodeCarbon estimates the machine's power in each of the two by itself, at other times
    shares = [cpu / machine for cpu, _, machine, _ in figures]
    assert sum(shares) <= 1.05, "5 %: the two windows and the ticks of 10 ms are not the same"
    assert min(shares) >= 0.02, "both were busy all the time, beside whatever else this machine does"
    assert max(shares) <= 0.75
    assert sum(ram for _, ram, _, _ in figures) <= max(machine for _, _, _, machine in figures)


def proc_folder(folder: Path, busy_ticks: int, processes: dict[int, tuple[str, int, int, int]]) -> Path:
    """A /proc as a sandbox shows it, without smaps_rollup: pid -> (name, parent, ticks, resident pages)."""
    (folder / "stat").write_text(f"cpu  {busy_ticks} 0 0 999999 0 77 0 0 0 0\ncpu0 1 2 3\n")
    (folder / "meminfo").write_text("MemTotal: 4000000 kB\nMemFree: 1 kB\nMemAvailable: 3000000 kB\n")
    for pid, (name, parent, ticks, pages) in processes.items():
        (folder / str(pid)).mkdir(exist_ok=True)
        text = f"{pid} ({name}) S {parent} 1 1 0 -1 0 0 0 0 0 {ticks} 0 0 0 20 0 1 0 5 1000 {pages} 0"
        (folder / str(pid) / "stat").write_text(text)
    return folder


def test_a_sandboxs_proc_is_read_and_resident_memory_counts_whole_where_no_better_figure_is_shown(
    tmp_path: Path,
) -> None:
    """Names may hold anything; interrupts belong to nobody; a process that hides its pages is charged all of them."""
    processes = {7: ("a) b (c 1 2 3", 1, 100, 1000), 8: ("loader", 7, 50, 500), 9: ("other", 1, 900, 9000)}
    tree = ProcessTree(7, proc_folder(tmp_path, 1000, processes))
    processes |= {7: ("a) b (c 1 2 3", 1, 160, 1000), 8: ("loader", 7, 90, 500)}
    proc_folder(tmp_path, 1400, processes)
    usage = tree.usage()
    tick_s, page = 1 / os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    assert (usage.tree_cpu_s, usage.machine_cpu_s) == (pytest.approx(100 * tick_s), pytest.approx(400 * tick_s))
    assert usage.tree_memory_bytes == 1500 * page
    assert usage.machine_memory_bytes == 1_000_000 * 1024
    assert tree.pids == {7, 8}


LIMITED = """
import os, sys, time
from pathlib import Path
for folder, limit, value in (("cpu", "cpu.cfs_quota_us", 20000), ("memory", "memory.limit_in_bytes", 1 << 30)):
    group = Path("/sys/fs/cgroup") / folder / sys.argv[1]
    (group / limit).write_text(str(value))
    (group / "cgroup.procs").write_text(str(os.getpid()))
from lowtide.tracker.codecarbon import CodeCarbonMeter
from lowtide.tracker.process_share import AttributedMeter, ProcessTree
tree = ProcessTree()
meter = AttributedMeter(CodeCarbonMeter(count_gpus=False), tree.usage)
before = tree.usage()
meter.start()
end = time.monotonic() + 2
while time.monotonic() < end: pass
last, after = meter.stop(), tree.usage()
used = after.tree_cpu_s - before.tree_cpu_s
share = used / (after.machine_cpu_s - before.machine_cpu_s)
print(used, share, last.cpu_energy_kwh / last.machine_energy_kwh[0], last.ram_energy_kwh / last.machine_energy_kwh[2])
"""


def test_a_container_is_charged_by_what_it_used_of_the_machine_not_of_its_limit(tmp_path: Path) -> None:
    """A fifth of one processor and 1 GiB: a real control group, where this machine lets us make one."""
    name = f"lowtide-test-{os.getpid()}"
    groups = [Path("/sys/fs/cgroup") / controller / name for controller in ("cpu", "memory")]
    if not all(os.access(group.parent, os.W_OK) for group in groups):
        pytest.skip("no control group can be made here: it takes root and version 1 of the controllers")
    for group in groups:
        group.mkdir()
    try:
        command = [sys.executable, "-c", LIMITED, name]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    finally:
        for group in groups:
            group.rmdir()
    assert done.returncode == 0, done.stderr
    used_s, share, cpu_share, ram_share = map(float, done.stdout.split())
    assert used_s <= 1.0, "a fifth of 2 s, and the end of a period"
    assert cpu_share == pytest.approx(share, rel=0.3, abs=0.05)
    assert 0 < ram_share < 1


def test_without_proc_there_is_no_share(tmp_path: Path) -> None:
    """macOS: the machine is charged, and that is told."""
    with pytest.raises(MeasurementError, match="stat cannot be read"):
        ProcessTree(proc=tmp_path)


def test_a_sample_costs_a_small_part_of_a_row() -> None:
    """0.1 to 0.5 ms of CPU time beside a few hundred processes; a row is 5 s."""
    tree = ProcessTree()
    tree.usage()
    before = resource.getrusage(resource.RUSAGE_SELF)
    for _ in range(100):
        tree.usage()
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert cpu_s / 100 < 5e-3, "ten times that, for slow and crowded machines"


def test_too_many_open_files_are_no_end_of_the_runs_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a child would be taken for ended, its time not counted, and all of it counted once more when it is seen again."""
    from lowtide.tracker import process_share as process_tree

    child = burn(0.2)
    try:
        tree = ProcessTree()
        before = tree.usage()
        content = process_tree._content

        def refuse(path: Path) -> bytes:
            if path.parent.name == str(child.pid):
                raise OSError(errno.EMFILE, "Too many open files")
            return content(path)

        monkeypatch.setattr(process_tree, "_content", refuse)
        with pytest.raises(MeasurementError, match="Too many open files"):
            tree.usage()
        monkeypatch.undo()
        child.wait()
        assert tree.usage().tree_cpu_s - before.tree_cpu_s <= 0.6
    finally:
        child.kill()
        child.wait()
