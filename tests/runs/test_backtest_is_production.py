"""What the backtest promises is what production does: 200 jobs through the trigger's own wait begin at the same times."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from lowtide.config.schema import GridConfig
from lowtide.config.zones import find_zone
from lowtide.grid.client import IntensityClient
from lowtide.grid.factory import open_signal
from lowtide.scheduler.backtest.results import run_backtest
from lowtide.scheduler.backtest.simulate import SimConfig
from lowtide.scheduler.backtest.trace import read_grid
from lowtide.scheduler.job import Job
from lowtide.scheduler.types import Action
from lowtide.scheduler.waiting import OwnSource, wait_on_loop
from lowtide.timeutil import utc_now

from tests.support.traces import SPRING, grid_like, write_trace

ZONE = "DE"
HISTORY_DAYS, TRACE_DAYS = 200, 24
POLICIES = ("window", "percentile", "threshold", "interruptible")
DURATIONS = (timedelta(hours=1), timedelta(hours=4))
SLACKS = (timedelta(hours=8), timedelta(hours=24))


@dataclass
class SteppedClock:
    """Policy time that only a sleep moves on, so that every look falls on the time it was wanted for."""

    time: datetime

    def now(self) -> datetime:
        return self.time

    def seconds_until(self, time: datetime) -> float:
        return max(0.0, (time - self.time).total_seconds())


class SteppedSource(OwnSource):
    """The trigger's own source; its sleeps take no time."""

    async def sleep(self, seconds: float, *, after: int) -> None:
        del after
        self.clock.time += timedelta(seconds=seconds)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """History, trace, and both in one file, as a replay has it."""
    folder = tmp_path_factory.mktemp("traces")
    values = grid_like(HISTORY_DAYS + TRACE_DAYS, zone=ZONE)
    begin = SPRING + timedelta(days=HISTORY_DAYS)
    cut = HISTORY_DAYS * 24
    return (
        write_trace(folder / "history.csv", values[:cut]),
        write_trace(folder / "trace.csv", values[cut:], start=begin),
        write_trace(folder / "whole.csv", values),
    )


def backtested(files, policies=POLICIES, **rules):
    config = SimConfig(
        zone=ZONE,
        timezone=find_zone(ZONE).timezone,
        policies=policies,
        durations=DURATIONS,
        slacks=SLACKS,
        submit="random",
        threshold_gco2eq_per_kwh=330.0,
        **rules,
    )
    return run_backtest(config, read_grid(files[1], [files[0]]), workers=1)


async def start_of(job: Job, signal: IntensityClient) -> datetime:
    clock = SteppedClock(job.submitted_at)
    source = SteppedSource(signal, clock, job.wanted)
    decision = await wait_on_loop(job, source, clock, not_before=utc_now(), on_decision=lambda _: None)
    assert decision.action is Action.RUN
    return decision.decided_at


@pytest.mark.parametrize("rules", [{}, {"minimum_gain_percent": 5.0, "jitter": timedelta(minutes=20)}])
def test_two_hundred_jobs_begin_when_the_backtest_says(files, rules):
    backtest = backtested(files, **rules)
    grid = GridConfig.model_validate(
        {"zone": ZONE, "provider": "replay", "replay": {"trace": str(files[2]), "virtual_start": "2031-09-01T00:00Z"}}
    )
    signal = open_signal(grid)
    jobs = [
        (backtest.config.job(line.scenario, run.submitted_s, 3600.0), run)
        for line in backtest.lines
        for run in line.runs
    ]
    assert len(jobs) >= 200

    async def all_starts() -> list[datetime]:
        return [await start_of(job, signal) for job, _ in jobs]

    starts = asyncio.run(all_starts())
    promised = [datetime.fromtimestamp(run.segments[0][0], UTC) for _, run in jobs]
    differing = [
        (job.job_id, job.policy, start, promise)
        for (job, _), start, promise in zip(jobs, starts, promised, strict=True)
        if start != promise
    ]
    assert differing == []
    waited = sum(start > job.submitted_at for (job, _), start in zip(jobs, starts, strict=True))
    assert waited >= len(jobs) // 3, "jobs that never wait would show nothing"


def test_jobs_that_check_every_five_minutes_begin_at_the_same_times(files):
    backtest = backtested(files, policies=("window",))
    grid = GridConfig.model_validate(
        {"zone": ZONE, "provider": "replay", "replay": {"trace": str(files[2]), "virtual_start": "2031-09-01T00:00Z"}}
    )
    signal = open_signal(grid)
    line = backtest.lines[0]

    async def all_starts() -> list[datetime]:
        jobs = (backtest.config.job(line.scenario, run.submitted_s, 300.0) for run in line.runs)
        return [await start_of(job, signal) for job in jobs]

    assert asyncio.run(all_starts()) == [datetime.fromtimestamp(run.segments[0][0], UTC) for run in line.runs]
