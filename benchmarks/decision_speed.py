"""How long one decision takes: the whole of decide(), the Decision with its sentence included.

    python -m benchmarks.decision_speed

Each case is timed call by call, with the curve's block means made anew in each call ("cold") and as all but the first job
of a duration find them ("shared"). Median and 99th percentile; ratios are within one run, so that two machines can be
compared. Exit status 1 where a median is over its limit.
"""

import math
import random
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from lowtide.config.schema import PausingConfig
from lowtide.grid.outlook import Outlook
from lowtide.grid.series import IntensityCurve, Prediction
from lowtide.records import EmissionFactorType, IntensityKind, Reading, SignalType
from lowtide.scheduler.decision import decide
from lowtide.scheduler.job import Job, Progress

HOUR, T0 = timedelta(hours=1), datetime(2026, 3, 2, 22, tzinfo=UTC)
NOW = T0 + timedelta(minutes=7)


class Case(NamedTuple):
    name: str
    job: Job
    outlook: Outlook
    limit_us: float
    calls: int


def curve(step: timedelta, hours: int, *, first_s: float = 0.0) -> IntensityCurve:
    weather = random.Random(1)
    count = int(timedelta(hours=hours) / step)
    edges = [T0.timestamp() + i * step.total_seconds() for i in range(count + 1)]
    edges[1] += first_s
    days = [i * step / timedelta(days=1) for i in range(count)]
    return IntensityCurve(edges, [300 + 120 * math.sin(day * math.tau) + weather.gauss(0, 25) for day in days])


def outlook(step: timedelta, hours: int, *, first_s: float = 0.0) -> Outlook:
    reading = Reading(
        zone="GB",
        start=T0,
        end=T0 + HOUR,
        carbon_intensity_gco2eq_per_kwh=300.0,
        source="benchmark",
        kind=IntensityKind.ESTIMATED,
        signal_type=SignalType.AVERAGE,
        emission_factor_type=EmissionFactorType.DIRECT,
    )
    predicted = Prediction(curve=curve(step, hours, first_s=first_s), source="benchmark", issued_at=T0)
    return Outlook(reading=reading, prediction=predicted)


def job(policy: str, duration: timedelta, slack: timedelta, **changes: object) -> Job:
    values: dict[str, object] = {
        "job_id": "nightly",
        "zone": "GB",
        "policy": policy,
        "submitted_at": T0,
        "deadline": NOW + duration + slack,
        "expected_duration": duration,
        "duration_margin": 0.0,
        "on_latest_start": "start",
        "threshold_gco2eq_per_kwh": 120.0,
        "minimum_gain_percent": 2.0,
        "poke_interval": timedelta(minutes=5),
        "failure_budget": 3,
    }
    return Job(**values | changes)  # type: ignore[arg-type]


def cases() -> list[Case]:
    hourly, fine = outlook(HOUR, 96), outlook(HOUR / 12, 96)
    half = timedelta(minutes=125)
    week, limits = outlook(HOUR, 168), PausingConfig()
    begun = Progress(done=10 * HOUR, running=True, pauses=1)
    return [
        Case(
            "hourly, 96 h: threshold", job("threshold", 2 * HOUR, 48 * HOUR, minimum_gain_percent=0.0), hourly, 50, 4000
        ),
        Case("hourly, 96 h: window, 2 h", job("window", 2 * HOUR, 90 * HOUR), hourly, 50, 4000),
        Case("hourly, 96 h: window, 2 h 5 min", job("window", half, 90 * HOUR), hourly, 50, 4000),
        Case("hourly, 96 h: window, jitter", job("window", 2 * HOUR, 90 * HOUR, jitter=HOUR), hourly, 100, 4000),
        Case("5 min, 96 h: window, 2 h", job("window", 2 * HOUR, 90 * HOUR), fine, 1000, 1000),
        Case("5 min, 96 h: window, 2 h 7 min", job("window", timedelta(minutes=127), 90 * HOUR), fine, 1000, 1000),
        Case(
            "irregular, 96 h: window, 2 h",
            job("window", 2 * HOUR, 90 * HOUR),
            outlook(HOUR, 96, first_s=60.0),
            1000,
            1000,
        ),
        Case("72 h in 120 h, may pause", job("interruptible", 72 * HOUR, 48 * HOUR, pausing=limits), week, 2000, 300),
        Case(
            "72 h in 120 h, running",
            job("interruptible", 72 * HOUR, 48 * HOUR, pausing=limits, progress=begun),
            week,
            2000,
            300,
        ),
        Case("24 h in 48 h, may pause", job("interruptible", 24 * HOUR, 24 * HOUR, pausing=limits), week, 2000, 300),
        Case("4 h in 28 h, may pause", job("interruptible", 4 * HOUR, 24 * HOUR, pausing=limits), week, 2000, 300),
    ]


def timed_us(
    call: Callable[[], object], calls: int, before: Callable[[], object] = lambda: None
) -> tuple[float, float]:
    """Return median and 99th percentile of a call in microseconds."""
    taken = []
    for _ in range(calls):
        before()
        begun = time.perf_counter_ns()
        call()
        taken.append((time.perf_counter_ns() - begun) / 1000)
    taken.sort()
    return taken[calls // 2], taken[calls * 99 // 100]


def main() -> int:
    print(f"{'decision':<34} {'cold: median':>12} {'p99':>9} {'shared: median':>15} {'p99':>9} {'limit':>9}   ratio")
    slow, first = [], 0.0
    for case in cases():
        predicted = case.outlook.prediction
        assert predicted is not None  # noqa: S101 for the types

        def decision(case: Case = case) -> object:
            return decide(case.job, NOW, case.outlook)

        decision()
        cold = timed_us(decision, case.calls, predicted.curve._blocks.clear)
        shared = timed_us(decision, case.calls)
        first = first or cold[0]
        figures = f"{cold[0]:>9.1f} us {cold[1]:>6.0f} us {shared[0]:>12.1f} us {shared[1]:>6.0f} us"
        print(f"{case.name:<34} {figures} {case.limit_us:>6.0f} us {cold[0] / first:>6.1f}")
        if cold[0] > case.limit_us:
            slow.append(case.name)
    if slow:
        print(f"over the limit: {'; '.join(slow)}", file=sys.stderr)
    return bool(slow)


if __name__ == "__main__":
    sys.exit(main())
