"""baseline.yaml against optimized.yaml on MNIST over seeds: accuracy, peak memory, time, energy.

    .venv/bin/python -m benchmarks.mnist_ab

Each is a whole run as `lowtide train --now` makes it, measured by CodeCarbon, in a process of its own; the two take turns,
the order changing with the seed. Every figure is from `record.json`. The grid plays no part here: intensity is the zone's profile.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lowtide.config.loader import PROJECT_ROOT
from lowtide.units import BYTES_PER_MIB

from benchmarks.intervals import Interval, mean_interval, median_interval

CANDIDATES = ("baseline", "optimized")


@dataclass(frozen=True, slots=True)
class Run:
    """A record, and the CPU time of all the run's processes by the kernel."""

    record: dict[str, Any]
    cpu_s: float


def run(name: str, seed: int, settings: list[str], folder: Path) -> Run:
    """Train once through the command line."""
    output = folder / f"{name}-{seed}"
    common = ["grid.provider=profile", f"training.seed={seed}", *settings]
    command = [sys.executable, "-m", "lowtide.cli", "train", f"include/configs/{name}.yaml", "--now"]
    command += ["--output", str(output), *(part for setting in common for part in ("--set", setting))]
    with (folder / "output.txt").open("ab") as log:
        child = subprocess.Popen(command, cwd=PROJECT_ROOT, stdout=log, stderr=log)
        _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(
            f"{' '.join(command)} ended with {child.returncode}:\n{(folder / 'output.txt').read_text()[-2000:]}"
        )
    return Run(json.loads((output / "record.json").read_text()), usage.ru_utime + usage.ru_stime)


def ratio(read: Callable[[Run], float], pairs: list[tuple[Run, Run]]) -> Interval:
    return median_interval([read(candidate) / read(base) for base, candidate in pairs])


FIGURES: dict[str, tuple[Callable[[Run], float], str]] = {
    "peak memory, MiB": (lambda run: run.record["peak_memory_bytes"] / BYTES_PER_MIB, ".0f"),
    "training time, s": (lambda run: run.record["train_duration_s"], ".1f"),
    "energy, training, mWh": (lambda run: 1e6 * run.record["energy_train_kwh"], ".1f"),
    "energy, whole run, mWh": (lambda run: 1e6 * run.record["energy_kwh"]["total"], ".1f"),
    "CPU energy, whole run, mWh": (lambda run: 1e6 * run.record["energy_kwh"]["cpu"], ".1f"),
    "CPU time, whole run, s": (lambda run: run.cpu_s, ".1f"),
}
GPU_ENERGY = ("GPU energy, whole run, mWh", (lambda run: 1e6 * run.record["energy_kwh"]["gpu"], ".1f"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="laid over both files")
    parser.add_argument(
        "--set-optimized", action="append", default=[], metavar="KEY=VALUE", help="over the second only"
    )
    parser.add_argument("--json", type=Path, help="also write the records here")
    options = parser.parse_args()
    pairs: list[tuple[Run, Run]] = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(options.seeds):
            runs: dict[str, Run] = {}
            for name in CANDIDATES if seed % 2 else reversed(CANDIDATES):
                own = options.set_optimized if name == "optimized" else []
                runs[name] = run(name, seed, [*options.set, *own], Path(folder))
            pairs.append((runs["baseline"], runs["optimized"]))
            print(f"seed {seed} done", file=sys.stderr, flush=True)
    if options.json:
        options.json.write_text(json.dumps([[run.record for run in pair] for pair in pairs], indent=1))
    show(pairs)


def show(pairs: list[tuple[Run, Run]]) -> None:
    first = pairs[0]
    for name, one in zip(CANDIDATES, first, strict=True):
        record = one.record
        print(
            f"{name}: {record['micro_batch_size']} x {record['accumulation_steps']}, {record['precision']},"
            f" {record['device_name']}, {record['epochs']} epochs, {record['samples']} samples;"
            f" energy by {record['energy_kwh']['methods']}, memory {record['peak_memory_kind']}"
        )
    points = [100 * (b.record["test_accuracy"] - a.record["test_accuracy"]) for a, b in pairs]
    accuracies = [[100 * run.record["test_accuracy"] for run in runs] for runs in zip(*pairs, strict=True)]
    means = [sum(values) / len(values) for values in accuracies]
    print("\n| figure | baseline | optimized | optimized against baseline |\n|---|---|---|---|")
    print(f"| test accuracy, % (mean) | {means[0]:.2f} | {means[1]:.2f} | {mean_interval(points).show(2)} points |")
    figures = dict(FIGURES)
    if first[0].record["energy_kwh"]["gpu"]:
        figures |= dict([GPU_ENERGY])
    for name, (read, form) in figures.items():
        middles = [median_interval([read(run) for run in runs]).middle for runs in zip(*pairs, strict=True)]
        print(f"| {name} (median) | {middles[0]:{form}} | {middles[1]:{form}} | x {ratio(read, pairs).show()} |")
    covered = median_interval(points).coverage
    print(
        f"\n{len(pairs)} seeds; accuracy: mean difference with 95 % by Student's t; ratios: median, covered with {covered:.1%}"
    )


if __name__ == "__main__":
    main()
