"""Simulates the jobs of a backtest on a trace: the same decide() as in production, check by check; and perfect foresight."""

import os
import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache, partial
from itertools import chain, pairwise, product
from multiprocessing import get_context
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from lowtide.config.schema import PausingConfig, PolicyName
from lowtide.errors import ConfigurationError, LowtideError
from lowtide.grid.forecast.features import Series
from lowtide.grid.forecast.model import HistoryForecaster
from lowtide.grid.outlook import Outlook, trailing
from lowtide.grid.planner import Task, plans
from lowtide.grid.series import IntensityCurve, Prediction
from lowtide.records import EmissionFactorType, IntensityKind, Reading, SignalType
from lowtide.scheduler.backtest.trace import ActualTrace, Floats, Grid
from lowtide.scheduler.decision import decide
from lowtide.scheduler.job import Job, Progress
from lowtide.scheduler.types import Action, Decision, utc
from lowtide.timeutil import parse_clock, time_of_clock


class Scenario(NamedTuple):
    """A policy, and how long its jobs take and may wait.

    ``interruptible`` says that the job may pause: perfect foresight then pauses too, and the policy ``window`` plans with pauses.
    """

    policy: PolicyName
    duration_s: float
    slack_s: float
    interruptible: bool

    @property
    def room_s(self) -> float:
        """The time from submission to deadline."""
        return self.duration_s + self.slack_s


Segment = tuple[float, float]


class Run(NamedTuple):
    """When a job was submitted, when it had to be done, and when it really ran, in UNIX seconds."""

    submitted_s: float
    deadline_s: float
    segments: tuple[Segment, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SimConfig:
    """What a backtest simulates on a trace; minimum gain and jitter are off unless asked for.

    A job is checked at each step of the trace.
    """

    zone: str
    timezone: ZoneInfo
    policies: tuple[PolicyName, ...]
    durations: tuple[timedelta, ...]
    slacks: tuple[timedelta, ...]
    submit: str = "22:00"
    seed: int = 0
    interruptible: bool = False
    forecast: Literal["history", "perfect"] = "history"
    threshold_gco2eq_per_kwh: float | None = None
    minimum_gain_percent: float = 0.0
    percentile: float = 30.0
    percentile_window: timedelta = timedelta(days=7)
    run_now_below_gco2eq_per_kwh: float | None = None
    jitter: timedelta = timedelta(0)
    pausing: PausingConfig = field(default_factory=PausingConfig)

    def scenarios(self) -> list[Scenario]:
        """Return one scenario per policy, duration and slack, in the user's order."""
        return [
            Scenario(
                policy, duration.total_seconds(), slack.total_seconds(), self.interruptible or policy == "interruptible"
            )
            for policy, duration, slack in product(self.policies, self.durations, self.slacks)
        ]

    def job(self, scenario: Scenario, submitted_s: float, step_s: float) -> Job:
        """Return a job; its id depends on its times only, so that policies are compared on the same jobs."""
        submitted_at = utc(submitted_s)
        policy = "interruptible" if scenario.interruptible and scenario.policy == "window" else scenario.policy
        duration, slack = timedelta(seconds=scenario.duration_s), timedelta(seconds=scenario.slack_s)
        return Job(
            job_id=f"backtest {self.zone} {submitted_at:%Y-%m-%dT%H:%MZ} {duration} {slack}",
            zone=self.zone,
            policy=policy,
            submitted_at=submitted_at,
            deadline=submitted_at + duration + slack,
            expected_duration=duration,
            duration_margin=0.0,
            on_latest_start="start",
            threshold_gco2eq_per_kwh=self.threshold_gco2eq_per_kwh,
            minimum_gain_percent=self.minimum_gain_percent,
            poke_interval=timedelta(seconds=step_s),
            failure_budget=1,
            percentile=self.percentile,
            percentile_window=self.percentile_window,
            run_now_below_gco2eq_per_kwh=self.run_now_below_gco2eq_per_kwh,
            jitter=self.jitter,
            pausing=self.pausing if policy == "interruptible" else None,
        )


# Which jobs: one a day, nightly by the clock on the wall or at a random full hour, that ends within the trace.


def submissions(start_s: float, end_s: float, timezone: ZoneInfo, submit: str, seed: int) -> list[float]:
    """Return one submission a day in ``[start_s, end_s)``, in UNIX seconds and time order.

    A random hour depends on the seed and the day only: neither the trace's length nor the jobs change it.

    :param submit: a clock time in ``timezone``, or ``random``.
    :raises ConfigurationError: anything else.
    """
    try:
        clock = None if submit == "random" else parse_clock(submit)
    except ValueError as error:
        raise ConfigurationError(f"--submit {submit!r} is not a time of day; {error}, or random") from None
    first, last = (utc(s).astimezone(timezone).date().toordinal() for s in (start_s, end_s))
    days = (date.fromordinal(day) for day in range(first, last + 1))
    times_s = set()
    for day in days:
        hour = random.Random(f"{seed} {day.isoformat()}").randrange(24)  # noqa: S311 a sample of hours, no secret
        times_s.add(time_of_clock(day, clock or time(hour), timezone).timestamp())
    return sorted(time_s for time_s in times_s if start_s <= time_s < end_s)


def choose_jobs(config: SimConfig, actual: ActualTrace) -> tuple[list[Floats], tuple[str, ...]]:
    """Return for each scenario when its jobs are submitted, and in sentences how many cannot be simulated and why."""
    submitted_s = np.array(submissions(actual.start_s, actual.end_s, config.timezone, config.submit, config.seed))
    chosen, past_end, at_gaps = [], 0, 0
    for scenario in config.scenarios():
        ends_s = submitted_s + scenario.room_s
        inside = ends_s <= actual.end_s
        spans = zip(submitted_s.tolist(), ends_s.tolist(), strict=True)
        whole = np.array([actual.curve.mean_over(*span) is not None for span in spans], dtype=bool)
        past_end += int((~inside).sum())
        at_gaps += int((inside & ~whole).sum())
        chosen.append(submitted_s[whole])
    of_all = f"of {len(submitted_s) * len(chosen):,} jobs"
    notes = []
    if past_end:
        notes.append(f"{past_end:,} {of_all} pass the trace's end and are dropped")
    if at_gaps:
        notes.append(f"{at_gaps:,} {of_all} meet a gap of the trace before their deadline and are left out")
    return chosen, tuple(notes)


class Knowledge:
    """What was known of the grid at each time, and nothing more.

    Nothing that is known changes within a step of the trace, so all jobs that check within one step share an outlook.
    """

    def __init__(self, config: SimConfig, grid: Grid) -> None:
        self._zone, self._actual = config.zone, grid.actual
        step_s = grid.actual.step_s
        edges = [grid.known_from_s + i * step_s for i in range(len(grid.known) + 1)]
        self._known = IntensityCurve(edges, grid.known.tolist())
        self._forecaster = None
        if config.forecast == "history":
            series = Series(start_s=round(grid.known_from_s), step_s=round(step_s), values=grid.known)
            self._forecaster = HistoryForecaster(series, config.timezone)
        self._ahead = int(max(scenario.room_s for scenario in config.scenarios()) // step_s) + 2
        self._behind = int(config.jitter.total_seconds() // step_s) + 1  # a job with jitter sees the curve later
        # jobs come in the order of their submission: as much is kept as one of them may ask for
        self._kept_outlook = lru_cache(maxsize=2 * self._ahead)(self._outlook_of_row)

    def outlook(self, now: datetime, *, with_prediction: bool) -> Outlook:
        """Return what was known at a time; without the prediction where the policy does not use one."""
        return self._kept_outlook(self._actual.row_of(now.timestamp()), with_prediction)

    def _outlook_of_row(self, row: int, with_prediction: bool) -> Outlook:
        actual = self._actual
        start = utc(actual.start_s + row * actual.step_s)
        reading = Reading(
            zone=self._zone,
            start=start,
            end=utc(actual.start_s + (row + 1) * actual.step_s),
            carbon_intensity_gco2eq_per_kwh=float(actual.values[row]),
            source="trace",
            kind=IntensityKind.REPLAYED,
            signal_type=SignalType.AVERAGE,
            emission_factor_type=EmissionFactorType.LIFECYCLE,
        )
        # forecast and window use what had ended when this step began: at any time within the step that is all there is
        prediction = self._prediction(start, row) if with_prediction else None
        return Outlook(reading=reading, prediction=prediction, trailing=trailing(self._known, start.timestamp()))

    def _prediction(self, step_start: datetime, row: int) -> Prediction | None:
        if self._forecaster is not None:
            return self._forecaster.forecast(step_start)
        curve = self._actual.rows(row - self._behind, row + self._ahead)
        return Prediction(curve=curve, source="the trace itself", issued_at=step_start)


# How one job runs: through decide(), check by check, as the trigger and the command line do.


OutlookAt = Callable[[datetime], Outlook]
_NONE = timedelta(0)
NEVER = datetime.max.replace(tzinfo=UTC)


class JobState:
    """The work of one job, which takes as long as it is expected to."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._done = _NONE  # in earlier slices
        self._begun: datetime | None = None  # the work of the present slice, after the resume
        self.segments: list[Segment] = []

    @property
    def is_over(self) -> bool:
        """Whether all is done."""
        return self._done >= self._job.expected_duration

    def job_at(self, now: datetime) -> Job:
        """Return the job with its progress."""
        if not self.segments:
            return self._job
        running, here = self._begun is not None, self._in_slice(now)
        pauses = len(self.segments) - (1 if running else 0)
        slice_done = here if running else None
        return replace(
            self._job, progress=Progress(done=self._done + here, running=running, pauses=pauses, slice_done=slice_done)
        )

    def run_until(self, now: datetime, until: datetime) -> datetime:
        """Run, or resume, until a time or the end of the work, and return which came first."""
        if self._begun is None:
            self._begun = now + (self._job.limits.resume_time if self.segments else _NONE)
            self.segments.append((now.timestamp(), now.timestamp()))
        end = self._begun + self._job.expected_duration - self._done
        if until < end:
            return until
        self.stop(end)
        return end

    def stop(self, now: datetime) -> None:
        """End the present slice, if there is one."""
        if self._begun is None:
            return
        self._done += self._in_slice(now)
        self.segments[-1] = (self.segments[-1][0], now.timestamp())
        self._begun = None

    def _in_slice(self, now: datetime) -> timedelta:
        return _NONE if self._begun is None else max(_NONE, now - self._begun)


def run_job(job: Job, outlook_at: OutlookAt) -> tuple[Segment, ...]:
    """Return when a job runs that is checked whenever a decision says so; one that may pause is checked while it runs."""
    now, state = job.submitted_at, JobState(job)
    while not state.is_over:
        decision = decide(state.job_at(now), now, outlook_at(now))
        if decision.action is Action.RUN:
            now = state.run_until(now, _next_check_while_running(job, decision) if job.pausing else NEVER)
        else:
            state.stop(now)
            now = next_check(decision)
    return tuple(state.segments)


def next_check(decision: Decision) -> datetime:
    """Return when a decision to wait or to pause asks for the next check.

    :raises LowtideError: not after the decision; such a wait would never end.
    """
    if decision.until is None or decision.until <= decision.decided_at:
        raise LowtideError(f"a decision to wait must name a later check: {decision.text}")
    return decision.until


def _next_check_while_running(job: Job, decision: Decision) -> datetime:
    # a slice of the plan may end between two polls
    ends = [end for _, end in decision.segments[:1] if end > decision.decided_at]
    return min([decision.decided_at + job.poke_interval, *ends])


# Perfect foresight: what each job could have emitted had the grid been known in advance.


def perfect_foresight(config: SimConfig, actual: ActualTrace, scenario: Scenario, submitted_s: Floats) -> Floats:
    """Return the least that each job could have emitted per useful kWh by its deadline, in g/kWh."""
    duration_s = scenario.duration_s
    best = best_blocks(actual, submitted_s, submitted_s + scenario.slack_s, duration_s)
    if not scenario.interruptible:
        return best
    # a block may begin within a step of the planner, so it is compared too
    return np.minimum(best, best_segments(actual, submitted_s, scenario.room_s, duration_s, config.pausing))


def best_blocks(actual: ActualTrace, submitted_s: Floats, latest_start_s: Floats, duration_s: float) -> Floats:
    """Return the least mean intensity of a block of ``duration_s`` for each job, in g/kWh. Exact.

    The mean is piecewise linear in the start, so it is least where a block begins or ends at a step's edge, or at the
    ends of the range. Where submission and duration fall on the trace's steps that is every step from submission on.
    """
    starts = [submitted_s, latest_start_s]
    longest_s = float(np.max(latest_start_s - submitted_s, initial=0.0))
    for shift_s in {0.0, duration_s % actual.step_s}:
        first = submitted_s + (actual.start_s - shift_s - submitted_s) % actual.step_s
        steps = np.arange(int(longest_s // actual.step_s) + 1) * actual.step_s
        starts.extend(np.minimum(first + step, latest_start_s) for step in steps)
    candidates = np.stack(starts, axis=1)
    best: Floats = actual.mean(candidates, candidates + duration_s).min(axis=1)
    return best


def best_segments(
    actual: ActualTrace, submitted_s: Floats, room_s: float, duration_s: float, limits: PausingConfig
) -> Floats:
    """Return the least emissions of each job that may pause per useful kWh, in g/kWh; what resuming costs is counted.

    :param room_s: from submission to deadline, the same for all jobs; a job that does not fit runs at once.
    """
    costs = []
    for time_s in submitted_s.tolist():
        task = Task(
            now_s=time_s,
            end_s=time_s + room_s,
            work_s=duration_s,
            state="new",
            minimum_slice_s=limits.minimum_slice.total_seconds(),
            resume_time_s=limits.resume_time.total_seconds(),
            resume_energy_s=limits.resume_energy.total_seconds(),
            pauses_left=limits.maximum_pauses,
        )
        last = actual.row_of(time_s + max(room_s, duration_s)) + 1
        found = plans(actual.rows(actual.row_of(time_s), last), task)
        if found is None:
            raise ValueError(f"the trace has a gap before the deadline of the job submitted at {time_s:.0f} s")
        costs.append(found.best.cost)
    return np.array(costs) / duration_s


# All jobs of a backtest, on several cores where that pays off.


_LEAST_JOBS = 2_000
"""A process takes most of a second to begin; fewer jobs than these are done sooner by one."""


def simulate_jobs(
    config: SimConfig, grid: Grid, submitted_s: Sequence[Floats], *, workers: int | None = None
) -> list[list[Run]]:
    """Return the runs of each scenario's jobs, in the order of their submission.

    Each process has the jobs of a part of the trace, and needs the forecasts of that part only.
    """
    jobs = sorted((time_s, number) for number, times in enumerate(submitted_s) for time_s in times.tolist())
    count = min(worker_count(len(jobs)) if workers is None else workers, len(jobs))
    simulate = partial(_simulate, config, grid)
    if count < 2:
        found: Iterator[Run] = iter(simulate(jobs))
    else:
        parts = [jobs[start:end] for start, end in pairwise(len(jobs) * i // count for i in range(count + 1))]
        # spawn: a forked copy of a process with threads (numpy's, a notebook's) may hang
        with ProcessPoolExecutor(count, mp_context=get_context("spawn")) as pool:
            found = chain.from_iterable(pool.map(simulate, parts))
    runs: list[list[Run]] = [[] for _ in submitted_s]
    for (_, number), run in zip(jobs, found, strict=True):
        runs[number].append(run)
    return runs


def worker_count(jobs: int) -> int:
    """Return how many processes pay off."""
    # a container may be given fewer cores than the machine has
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, jobs // _LEAST_JOBS))


def _simulate(config: SimConfig, grid: Grid, jobs: Sequence[tuple[float, int]]) -> list[Run]:
    scenarios, knowledge = config.scenarios(), Knowledge(config, grid)
    runs = []
    for submitted_s, number in jobs:
        scenario = scenarios[number]
        job = config.job(scenario, submitted_s, grid.actual.step_s)
        outlook_at = partial(knowledge.outlook, with_prediction=job.wanted.prediction)
        runs.append(Run(submitted_s, submitted_s + scenario.room_s, run_job(job, outlook_at)))
    return runs
