"""The history store: how long a year takes to load, and what writing it hour by hour costs.

Usage: python benchmarks/history_store.py [--repeats 15] [--days 365]
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lowtide.grid.history import HistoryKey, HistoryStore
from lowtide.records import EmissionFactorType, IntensityKind, Reading, SignalType

START = datetime(2025, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
KEY = HistoryKey(
    zone="GB", source="neso", signal_type=SignalType.AVERAGE, emission_factor_type=EmissionFactorType.DIRECT
)


def reading(start: datetime, length: timedelta, kind: IntensityKind = IntensityKind.ESTIMATED) -> Reading:
    return Reading(
        zone="GB",
        start=start,
        end=start + length,
        carbon_intensity_gco2eq_per_kwh=float(100 + (start.hour * 37 + start.timetuple().tm_yday * 11) % 150),
        source="neso",
        kind=kind,
        signal_type=SignalType.AVERAGE,
        emission_factor_type=EmissionFactorType.DIRECT,
    )


def year(days: int, length: timedelta) -> list[Reading]:
    return [reading(START + i * length, length) for i in range(int(timedelta(days=days) / length))]


def timed_ms(repeats: int, work: Callable[[], object]) -> str:
    wall, cpu = [], []
    for _ in range(repeats):
        begin, begin_cpu = time.perf_counter(), time.process_time()
        work()
        wall.append(1000 * (time.perf_counter() - begin))
        cpu.append(1000 * (time.process_time() - begin_cpu))
    spread = f"best {min(wall):.1f}, worst {max(wall):.1f}"
    return f"median {statistics.median(wall):.1f} ms ({spread}; CPU time {statistics.median(cpu):.1f} ms)"


def load(root: Path, days: int) -> int:
    """A new store each time, as a new process would: nothing of it is in memory yet."""
    return len(HistoryStore(root, KEY).known(START, START + timedelta(days=days)))


def size(store: HistoryStore) -> str:
    files = list(store.folder.glob("*.csv.gz"))
    return f"{len(files)} files, {sum(file.stat().st_size for file in files) / 1024:.0f} KiB"


def loading(folder: Path, days: int, repeats: int) -> None:
    for name, length in (("hourly", HOUR), ("half-hourly", HOUR / 2)):
        root = folder / name
        store = HistoryStore(root, KEY)
        values = year(days, length)
        begin = time.perf_counter()
        store.add(values, START + timedelta(days=days))
        wrote_s = time.perf_counter() - begin
        print(f"{name}: {len(values)} values in {size(store)}, stored at once in {wrote_s:.2f} s")
        print(f"  load the year: {timed_ms(repeats, partial(load, root, days))}")


def hour_by_hour(folder: Path, days: int, repeats: int) -> None:
    root = folder / "hour-by-hour"
    store = HistoryStore(root, KEY)
    added = []
    begin = time.perf_counter()
    for value in year(days, HOUR):
        before = time.perf_counter()
        store.add([value], value.end)
        added.append(1000 * (time.perf_counter() - before))
    took_s = time.perf_counter() - begin
    median_ms = statistics.median(added)
    print(
        f"hour by hour: {len(added)} writes in {took_s:.0f} s (one write: median {median_ms:.1f} ms), then {size(store)}"
    )
    print(f"  load the year: {timed_ms(repeats, partial(load, root, days))}")


def main() -> None:
    parser = argparse.ArgumentParser(description="the history store's cost")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--days", type=int, default=365)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        loading(Path(name), options.days, options.repeats)
        hour_by_hour(Path(name), options.days, min(3, options.repeats))


if __name__ == "__main__":
    main()
