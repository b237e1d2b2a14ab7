"""What a forecast from the history alone is worth: the share of perfect foresight's saving, and what a fit and a forecast cost.

Usage: python benchmarks/forecast_quality.py --history DE_2022.csv.gz --trace DE_2023.csv.gz --timezone Europe/Berlin

Jobs of 1, 2, 4 and 8 h with 4, 8, 12, 24 and 48 h of slack, submitted at every full hour of the trace; they begin when the
newest forecast's best block is now. `lowtide backtest` gives the figures of real policies; this one is quick and blind to them.
"""

import argparse
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lowtide.config.zones import find_zone
from lowtide.grid.forecast.features import Series
from lowtide.grid.forecast.model import HistoryForecaster
from lowtide.grid.providers.offline import Trace, TraceReplay, read_trace

Floats = npt.NDArray[np.float64]
DURATIONS, SLACKS = (1, 2, 4, 8), (4, 8, 12, 24, 48)
REACH = max(DURATIONS) + max(SLACKS)


def hourly(history: Trace | None, trace: Trace) -> tuple[int, Floats]:
    replays = [TraceReplay(zone=find_zone("DE"), trace=part) for part in (history, trace) if part]
    return Series.from_readings([reading for replay in replays for reading in replay.whole()]).hourly()


def shares(truth: Floats, expected: Floats, nightly: npt.NDArray[np.bool_]) -> dict[str, tuple[float, float]]:
    """Return the mean saving and perfect foresight's, in percent of running at once, of nightly jobs and of all."""
    found: dict[str, list[tuple[float, float]]] = {"nightly": [], "every hour": []}
    for duration in DURATIONS:
        blocks = np.lib.stride_tricks.sliding_window_view(truth, duration).mean(axis=1)
        ahead = np.lib.stride_tricks.sliding_window_view(expected, duration, axis=1).mean(axis=2)
        later = ahead[:, 1 : max(SLACKS) + 1] < ahead[:, :1]
        first_better = np.where(later.any(axis=1), later.argmax(axis=1) + 1, REACH)
        for slack in SLACKS:
            jobs = np.arange(len(blocks) - slack)
            start, waiting = jobs + slack, np.ones(len(jobs), dtype=bool)
            for waited in range(slack):
                begins = waiting & (first_better[jobs + waited] > slack - waited)
                start[begins], waiting = jobs[begins] + waited, waiting & ~begins
            best = np.lib.stride_tricks.sliding_window_view(blocks, slack + 1)[jobs].min(axis=1)
            for name, chosen in (("nightly", nightly[jobs]), ("every hour", np.ones(len(jobs), dtype=bool))):
                at_once = np.nansum(blocks[jobs][chosen])
                saving, possible = (100 * (1 - np.nansum(v[chosen]) / at_once) for v in (blocks[start], best))
                found[name].append((saving, possible))
    return {name: (sum(s for s, _ in pairs), sum(o for _, o in pairs)) for name, pairs in found.items()}


def judge(first_hour: int, values: Floats, begin: int, timezone: ZoneInfo) -> None:
    series = Series(start_s=first_hour * 3600, step_s=3600, values=values)
    times = [datetime.fromtimestamp((first_hour + i) * 3600, UTC) for i in range(begin, len(values))]
    clock = time.process_time()
    forecaster = HistoryForecaster(series, timezone)
    forecaster.forecast(times[0])
    first_ms = 1e3 * (time.process_time() - clock)
    expected = np.zeros((len(times), REACH))
    clock = time.process_time()
    for i, now in enumerate(times):
        forecast = forecaster.forecast(now)
        if forecast is not None:
            expected[i] = forecast.curve.values[:REACH]  # none: all alike, so a job begins at once
    each_us = 1e6 * (time.process_time() - clock) / len(times)
    nightly = np.array([now.astimezone(timezone).hour == 22 for now in times])
    captured = {k: 100 * s / o for k, (s, o) in shares(values[begin:], expected, nightly).items()}
    told = ", ".join(f"{name} {share:.1f} %" for name, share in captured.items())
    print(f"  captured {told}; first forecast {first_ms:.0f} ms, then {each_us:.0f} us each with weekly fits")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trace", type=Path, action="append", required=True, help="the year to judge; may be repeated")
    parser.add_argument("--history", type=Path, action="append", default=[], help="the year before, one for each trace")
    parser.add_argument("--timezone", action="append", required=True, help="one for each trace")
    given = parser.parse_args()
    histories = given.history or [None] * len(given.trace)
    for trace_path, history_path, name in zip(given.trace, histories, given.timezone, strict=True):
        trace, history = read_trace(trace_path), None if history_path is None else read_trace(history_path)
        first_hour, values = hourly(history, trace)
        begin = int(trace.starts[0].timestamp()) // 3600 - first_hour
        print(trace_path.name)
        judge(first_hour, values, begin, ZoneInfo(name))


if __name__ == "__main__":
    main()
