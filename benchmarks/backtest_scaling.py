"""The backtest's cost: how it grows with years and with jobs, on a generated series, by one process and by several.

Usage: python benchmarks/backtest_scaling.py [--years 1,2,4] [--policy window] [--workers 1,2]
"""

import argparse
import resource
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from lowtide.config.zones import find_zone
from lowtide.grid.providers.offline import profile_readings
from lowtide.scheduler.backtest.results import run_backtest
from lowtide.scheduler.backtest.simulate import SimConfig
from lowtide.scheduler.backtest.trace import ActualTrace, Grid

START = datetime(2031, 1, 1, tzinfo=UTC)
YEAR = timedelta(days=365)
DURATIONS = tuple(timedelta(hours=h) for h in (1, 2, 4, 8))
SLACKS = tuple(timedelta(hours=h) for h in (4, 8, 12, 24, 48))


def generated(years: float, zone: str = "DE", seed: int = 0) -> Grid:
    """The zone's typical hours times a noise that remembers half a day; the first year is history."""
    readings = profile_readings(find_zone(zone), START, START + (1 + years) * YEAR)
    draw, memory = np.random.default_rng(seed), np.exp(-1 / 12)
    noise = np.empty(len(readings))
    level = 0.0
    for i, shock in enumerate(draw.normal(0.0, 0.25 * np.sqrt(1 - memory**2), len(readings))):
        level = noise[i] = memory * level + shock
    known = np.array([r.carbon_intensity_gco2eq_per_kwh for r in readings]) * np.exp(noise)
    begin = round(YEAR / timedelta(hours=1))
    actual = ActualTrace((START + YEAR).timestamp(), 3600.0, known[begin:])
    return Grid(actual=actual, known_from_s=START.timestamp(), known=known)


def config(policy: str, durations: int, slacks: int) -> SimConfig:
    return SimConfig(
        zone="DE",
        timezone=ZoneInfo("Europe/Berlin"),
        policies=(policy,),  # type: ignore[arg-type]
        durations=DURATIONS[:durations],
        slacks=SLACKS[:slacks],
    )


def cpu_s() -> float:
    return sum(
        used.ru_utime + used.ru_stime
        for used in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def measured(wanted: SimConfig, grid: Grid, workers: int) -> str:
    begin, begin_cpu = time.perf_counter(), cpu_s()
    backtest = run_backtest(wanted, grid, workers=workers)
    wall, cpu = time.perf_counter() - begin, cpu_s() - begin_cpu
    jobs = sum(line.result["jobs"] for line in backtest.lines)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return f"{jobs:>7,} jobs  {wall:6.2f} s wall  {cpu:6.2f} s CPU  {1000 * cpu / jobs:5.2f} ms CPU a job  peak {peak:.0f} MiB"


def numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(description="the backtest's cost")
    parser.add_argument("--years", type=numbers, default=[1, 2, 4])
    parser.add_argument("--workers", type=numbers, default=[1, 2])
    parser.add_argument("--policy", default="window")
    options = parser.parse_args()
    print(f"policy {options.policy}; hourly, nightly at 22:00; one year of history")
    print("years, at 4 durations x 5 slacks:")
    for years in options.years:
        grid = generated(years)
        for workers in options.workers:
            print(f"  {years} years, {workers} processes: {measured(config(options.policy, 4, 5), grid, workers)}")
    print("jobs, at one year and one process:")
    grid = generated(1)
    for durations, slacks in ((1, 1), (1, 5), (2, 5), (4, 5)):
        print(f"  {durations} x {slacks}: {measured(config(options.policy, durations, slacks), grid, 1)}")


if __name__ == "__main__":
    main()
