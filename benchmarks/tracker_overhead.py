"""What recording costs the training: one fixed CPU loop in a child, with and without the recorder in the parent.

Pairs are interleaved in one run, their order alternating, so that a machine that slows down does so for both. Two figures:
the change of the child's own CPU time (caches, clock frequency, scheduling), and the CPU time that the recorder itself uses,
as a share of the child's. Usage: python benchmarks/tracker_overhead.py [--interval 5] [--pairs 4] [--child-s 5]
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lowtide.records import EmissionFactorType, IntensityKind, Reading, SignalType
from lowtide.timeutil import utc_now
from lowtide.tracker.codecarbon import CodeCarbonMeter
from lowtide.tracker.ledger import LedgerWriter
from lowtide.tracker.process_share import AttributedMeter, ProcessTree
from lowtide.tracker.recorder import EnergyRecorder

LOOP = """
import sys
total = 0
for k in range(int(sys.argv[1])):
    total += k * k % 7
"""
CALIBRATION_LOOPS = 5_000_000


def readings(start: datetime, end: datetime) -> list[Reading]:
    return [
        Reading(
            zone="GB",
            start=start - timedelta(hours=1),
            end=end + timedelta(hours=1),
            carbon_intensity_gco2eq_per_kwh=100.0,
            source="benchmark",
            kind=IntensityKind.MODELLED,
            signal_type=SignalType.AVERAGE,
            emission_factor_type=EmissionFactorType.DIRECT,
        )
    ]


class Cost(NamedTuple):
    """CPU seconds of the child, of this process while the child ran, and of the recorder's start and stop; the time it took."""

    child_s: float
    parent_s: float
    wall_s: float
    start_stop_s: float = 0.0


def run_child(loops: int) -> Cost:
    """Run the loop in a process of its own; user and system time."""
    before_s, began_s = time.process_time(), time.monotonic()
    child = subprocess.Popen([sys.executable, "-c", LOOP, str(loops)])
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"the loop ended with {child.returncode}")
    return Cost(usage.ru_utime + usage.ru_stime, time.process_time() - before_s, time.monotonic() - began_s)


def run_recorded(loops: int, interval_s: float, folder: Path) -> Cost:
    """Run it under the recorder, as a run does; the meter's constructor comes before."""
    meter = AttributedMeter(CodeCarbonMeter(), ProcessTree().usage)
    ledger = LedgerWriter(folder / f"{time.monotonic_ns()}.jsonl")
    recorder = EnergyRecorder(meter, ledger, readings, now=utc_now, interval_s=interval_s, pue=1.0, attempt=1)
    before_s = time.process_time()
    with ledger, recorder:
        cost = run_child(loops)
    return cost._replace(start_stop_s=time.process_time() - before_s - cost.parent_s)


def main() -> None:
    parser = argparse.ArgumentParser(description="CPU cost of the energy recorder")
    parser.add_argument("--interval", type=float, default=5.0, help="seconds between two rows")
    parser.add_argument("--pairs", type=int, default=4)
    parser.add_argument("--child-s", type=float, default=5.0, help="about how long one loop takes")
    options = parser.parse_args()
    loops = round(CALIBRATION_LOOPS * options.child_s / run_child(CALIBRATION_LOOPS).child_s)
    alone: list[Cost] = []
    recorded: list[Cost] = []
    with tempfile.TemporaryDirectory() as folder:
        for pair in range(options.pairs):
            for recording in (True, False) if pair % 2 else (False, True):
                if recording:
                    recorded.append(run_recorded(loops, options.interval, Path(folder)))
                else:
                    alone.append(run_child(loops))
    show(options.interval, alone, recorded)


def show(interval_s: float, alone: list[Cost], recorded: list[Cost]) -> None:
    changes = [100 * (b.child_s / a.child_s - 1) for a, b in zip(alone, recorded, strict=True)]
    spawning_s = statistics.median(cost.parent_s for cost in alone)
    own = statistics.median(100 * (cost.parent_s - spawning_s) / cost.child_s for cost in recorded)
    start_stop_ms = 1000 * statistics.median(cost.start_stop_s for cost in recorded)
    child_s = [cost.child_s for cost in alone]
    noise = 100 * statistics.pstdev(child_s) / statistics.mean(child_s)
    print(
        f"interval {interval_s:g} s, {len(alone)} pairs, child CPU {statistics.mean(child_s):.2f} s (noise {noise:.2f} %)"
    )
    of_a_core = statistics.median(100 * (cost.parent_s - spawning_s) / cost.wall_s for cost in recorded)
    crowding = statistics.median(cost.wall_s / cost.child_s for cost in recorded)
    print(
        f"recorder's own CPU time: {of_a_core:.3f} % of one processor; the loop took {crowding:.2f} times its CPU time"
    )
    print(f"recorder's own CPU time: {own:.3f} % of the child's, and {start_stop_ms:.1f} ms once for start and stop")
    print(f"child's CPU time: {statistics.median(changes):+.2f} % (median; {min(changes):+.2f} to {max(changes):+.2f})")


if __name__ == "__main__":
    main()
