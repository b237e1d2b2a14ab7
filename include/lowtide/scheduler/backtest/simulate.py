"""Simulates the jobs of a backtest on a trace: the same decide() as in production, check by check."""

import math
import os
import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from itertools import chain, product
from multiprocessing import get_context
from pathlib import Path
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lowtide.config.schema import PolicyName
from lowtide.errors import ArtifactError, ConfigurationError, LowtideError
from lowtide.grid.forecast.features import Series
from lowtide.grid.forecast.model import HistoryForecaster
from lowtide.grid.outlook import Outlook, Prediction, TrailingCurve, prediction_of
from lowtide.grid.providers.offline import Trace, read_trace
from lowtide.grid.series import IntensityCurve
from lowtide.records import EmissionFactorType, IntensityKind, Reading, SignalType
from lowtide.scheduler.decision import decide
from lowtide.scheduler.job import Job, PausingLimits, Progress
from lowtide.scheduler.types import Action, Decision
from lowtide.timeutil import format_moment, moment_of_clock, parse_clock

# One line of a backtest's result: a policy and the times of its jobs.


class Scenario(NamedTuple):
    """A policy, and how long its jobs take and may wait.

    ``interruptible`` says that the job may pause: the oracle then may too, and the policy ``window`` plans with pauses.
    """

    policy: PolicyName
    duration_s: float
    slack_s: float
    interruptible: bool

    @property
    def rule(self) -> PolicyName:
        """The policy that decides."""
        return "interruptible" if self.interruptible and self.policy == "window" else self.policy


# When a job of a backtest ran.


Segment = tuple[float, float]


class Run(NamedTuple):
    """When a job was submitted, when it had to be done, and when it really ran, in UNIX seconds."""

    submitted_s: float
    deadline_s: float
    segments: tuple[Segment, ...]


Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
_HOUR_S = 3600.0


class ActualTrace:
    """What the grid really emitted: a curve of regular steps, with means over many stretches at once.

    :param start_s: the start of the first step, in UNIX seconds.
    :param step_s: the length of every step.
    :param values: g/kWh, one a step; NaN is a gap.
    :raises ValueError: no value, or one that is infinite or negative.
    """

    def __init__(self, start_s: float, step_s: float, values: Floats) -> None:
        self.start_s, self.step_s, self.values = start_s, step_s, values
        self._edges_s = start_s + step_s * np.arange(len(values) + 1)
        self._integrals = np.array(IntensityCurve(self._edges_s.tolist(), values.tolist()).integrals)
        self._gaps = np.concatenate(([0], np.cumsum(np.isnan(values))))

    @property
    def end_s(self) -> float:
        """The end of the last step."""
        return float(self._edges_s[-1])

    def row_of(self, time_s: float) -> int:
        """Return the number of the step that holds a time; may lie outside."""
        return int((time_s - self.start_s) // self.step_s)

    def at(self, time_s: Floats) -> Floats:
        """Return the intensity at times inside the trace, in g/kWh."""
        held: Floats = self.values[np.floor((time_s - self.start_s) / self.step_s).astype(int)]
        return held

    def curve_between(self, start_s: float, end_s: float) -> IntensityCurve:
        """Return the steps of the trace that a stretch touches."""
        first = max(0, self.row_of(start_s))
        last = min(len(self.values), self.row_of(end_s) + 1)
        return IntensityCurve(self._edges_s[first : last + 1].tolist(), self.values[first:last].tolist())

    def integral(self, start_s: ArrayLike, end_s: ArrayLike) -> Floats:
        """Return the integral over stretches inside the trace, in g/kWh x s; a gap adds nothing."""
        return self._integral_to(end_s) - self._integral_to(start_s)

    def mean(self, start_s: ArrayLike, end_s: ArrayLike) -> Floats:
        """Return the means over stretches inside the trace, in g/kWh."""
        means: Floats = self.integral(start_s, end_s) / (np.asarray(end_s, float) - np.asarray(start_s, float))
        return means

    def touches_gap(self, start_s: Floats, end_s: Floats) -> Bools:
        """Return which stretches overlap a step whose value is missing."""
        first = np.floor((start_s - self.start_s) / self.step_s).astype(int)
        last = np.ceil((end_s - self.start_s) / self.step_s).astype(int)
        count = len(self.values)
        touched: Bools = self._gaps[np.clip(last, 0, count)] > self._gaps[np.clip(first, 0, count)]
        return touched

    def _integral_to(self, time_s: ArrayLike) -> Floats:
        return np.asarray(np.interp(np.asarray(time_s, float), self._edges_s, self._integrals))


def actual_trace(trace: Trace) -> ActualTrace:
    """Return a trace as the truth of a backtest; moments that have no row are gaps.

    :raises ArtifactError: a resolution that does not divide an hour, or a row between two steps.
    """
    step_s = check_resolution(trace)
    offsets = (np.array([start.timestamp() for start in trace.starts]) - trace.starts[0].timestamp()) / step_s
    rows = np.rint(offsets).astype(int)
    odd = np.flatnonzero(np.abs(offsets - rows) > 1e-6)
    if odd.size:
        raise ArtifactError(
            f"{trace.name}: the row of {format_moment(trace.starts[int(odd[0])])} is not on the grid of"
            f" {step_s / 60:g} minutes that the other rows keep; fix or remove it"
        )
    values = np.full(rows[-1] + 1, np.nan)
    values[rows] = trace.values
    return ActualTrace(trace.starts[0].timestamp(), step_s, values)


def check_resolution(trace: Trace) -> float:
    """Return a trace's resolution in seconds.

    :raises ArtifactError: it does not divide an hour, or the rows do not begin on the hour or a whole step after it.
    """
    step_s = trace.resolution.total_seconds()
    if step_s > _HOUR_S or _HOUR_S % step_s or trace.starts[0].timestamp() % step_s:
        raise ArtifactError(
            f"{trace.name}: rows every {step_s / 60:g} minutes from {format_moment(trace.starts[0])} on cannot be used;"
            " give steps that divide an hour and begin on it, e.g. 60, 30, 15 or 5 minutes"
        )
    return step_s


# What a run emitted per useful kWh, with what each resumption really cost.


def emitted(actual: ActualTrace, runs: Sequence[Run], duration_s: float, limits: PausingLimits) -> Floats:
    """Return the emissions of each run per useful kWh, in g/kWh, at constant power.

    The energy of resuming is emitted too, and no work is done by it: the sum is divided by the useful time only.
    """
    if not runs:
        return np.empty(0)
    segments = [(i, k > 0, *segment) for i, run in enumerate(runs) for k, segment in enumerate(run.segments)]
    job, resumed, start_s, end_s = (np.array(column) for column in zip(*segments, strict=True))
    grams = actual.integral(start_s + resumed * limits.resume_time.total_seconds(), end_s)
    if resumed.any():
        grams[resumed] += _resuming(actual, start_s[resumed], limits)
    return np.bincount(job, weights=grams, minlength=len(runs)) / duration_s


def _resuming(actual: ActualTrace, start_s: Floats, limits: PausingLimits) -> Floats:
    """Return the integral of intensity over the full-power seconds that a resume at each time is worth."""
    time_s, energy_s = limits.resume_time.total_seconds(), limits.resume_energy.total_seconds()
    return energy_s * (actual.mean(start_s, start_s + time_s) if time_s > 0 else actual.at(start_s))


# Reads what a backtest goes by: the trace to run on, and the history that was known before it began.


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Grid:
    """A trace with its past.

    ``known_from_s`` and ``known`` are history and trace on one grid, at the trace's step; the history is over where the
    trace begins. ``notes`` are sentences for the user.
    """

    actual: ActualTrace
    known_from_s: float
    known: Floats
    notes: tuple[str, ...] = ()


def read_grid(trace: Path, histories: Sequence[Path]) -> Grid:
    """Read a trace and the files of its past, in any order.

    :raises ArtifactError: a file that cannot be used, a history without a value before the trace, two histories that
        contradict each other.
    """
    actual = actual_trace(read_trace(trace, named_in="--trace"))
    past: dict[int, tuple[float, Path]] = {}
    notes = []
    for path in histories:
        rows, left_out = _before(read_trace(path, named_in="--history"), actual, path, trace)
        if left_out:
            notes.append(
                f"{path}: {left_out} rows from the trace's beginning on are left out: the trace itself has them"
            )
        _add(past, rows, path)
    return _joined(actual, past, tuple(notes))


def _before(history: Trace, actual: ActualTrace, path: Path, trace: Path) -> tuple[dict[int, float], int]:
    """Return a history's values by trace step (0 is where the trace begins, so all are negative), and the rows dropped."""
    step_s = check_resolution(history)
    starts = np.array([start.timestamp() for start in history.starts])
    early = starts + step_s <= actual.start_s
    if not early.any():
        raise ArtifactError(
            f"{path}: nothing in it is older than the trace {trace.name}, which begins at"
            f" {format_moment(datetime.fromtimestamp(actual.start_s, UTC))}; --history takes what was before"
        )
    values = np.asarray(history.values)[early]
    if step_s >= actual.step_s:
        return _spread(starts[early], values, step_s, actual), int((~early).sum())
    return _averaged(starts[early], values, step_s, actual), int((~early).sum())


def _spread(starts: Floats, values: Floats, step_s: float, actual: ActualTrace) -> dict[int, float]:
    times = round(step_s / actual.step_s)
    first = np.rint((starts - actual.start_s) / actual.step_s).astype(int)
    return {int(row) + i: float(v) for row, v in zip(first, values, strict=True) for i in range(times)}


def _averaged(starts: Floats, values: Floats, step_s: float, actual: ActualTrace) -> dict[int, float]:
    rows = np.floor((starts - actual.start_s) / actual.step_s).astype(int)
    found, where, counts = np.unique(rows, return_inverse=True, return_counts=True)
    means = np.bincount(where, weights=values) / counts
    whole = counts == round(actual.step_s / step_s)  # half an hour does not say what the hour was
    return {int(row): float(mean) for row, mean in zip(found[whole], means[whole], strict=True)}


def _add(past: dict[int, tuple[float, Path]], rows: dict[int, float], path: Path) -> None:
    for row, value in rows.items():
        known = past.setdefault(row, (value, path))
        if not math.isclose(known[0], value, rel_tol=1e-6, abs_tol=1e-6):
            raise ArtifactError(
                f"{path} and {known[1]} overlap and do not agree ({value:g} and {known[0]:g} g/kWh for the same moment);"
                " give only one of them"
            )


def _joined(actual: ActualTrace, past: dict[int, tuple[float, Path]], notes: tuple[str, ...]) -> Grid:
    length = -min(past, default=0)
    before = np.full(length, np.nan)
    for row, (value, _) in past.items():
        before[length + row] = value
    known = np.concatenate((before, actual.values))
    return Grid(actual=actual, known_from_s=actual.start_s - length * actual.step_s, known=known, notes=notes)


# What is simulated: which jobs, under which policies and limits, with which forecast.


ForecastName = Literal["history", "perfect"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SimConfig:
    """What a backtest simulates on a trace; minimum gain and jitter are off unless asked for.

    ``duration_error`` is the real duration over the expected one, which is all that the policy and its deadline know.
    ``decide_once`` keeps what was planned at submission: no second check. ``history_limit`` is how far back the forecast
    may look; None is all of it. ``poll`` is the time between two checks; None is the trace's step.
    """

    zone: str
    timezone: ZoneInfo
    policies: tuple[PolicyName, ...]
    durations: tuple[timedelta, ...]
    slacks: tuple[timedelta, ...]
    submit: str = "22:00"
    seed: int = 0
    interruptible: bool = False
    forecast: ForecastName = "history"
    history_limit: timedelta | None = None
    poll: timedelta | None = None
    decide_once: bool = False
    duration_error: float = 1.0
    threshold_gco2eq_per_kwh: float | None = None
    minimum_gain_percent: float = 0.0
    percentile: float = 30.0
    percentile_window: timedelta = timedelta(days=7)
    run_now_below_gco2eq_per_kwh: float | None = None
    jitter: timedelta = timedelta(0)
    pausing: PausingLimits = field(default_factory=PausingLimits)

    def scenarios(self) -> list[Scenario]:
        """Return one scenario per policy, duration and slack, in the user's order."""
        return [
            Scenario(
                policy, duration.total_seconds(), slack.total_seconds(), self.interruptible or policy == "interruptible"
            )
            for policy, duration, slack in product(self.policies, self.durations, self.slacks)
        ]

    def job(self, scenario: Scenario, submitted_s: float, poll: timedelta) -> Job:
        """Return a job; its id depends on its times only, so that policies are compared on the same jobs."""
        submitted_at = datetime.fromtimestamp(submitted_s, UTC)
        duration, slack = timedelta(seconds=scenario.duration_s), timedelta(seconds=scenario.slack_s)
        return Job(
            job_id=f"backtest {self.zone} {submitted_at:%Y-%m-%dT%H:%MZ} {duration} {slack}",
            zone=self.zone,
            policy=scenario.rule,
            submitted_at=submitted_at,
            deadline=submitted_at + duration + slack,
            expected_duration=duration,
            duration_margin=0.0,
            on_latest_start="start",
            threshold_gco2eq_per_kwh=self.threshold_gco2eq_per_kwh,
            minimum_gain_percent=self.minimum_gain_percent,
            poke_interval=poll,
            failure_budget=1,
            percentile=self.percentile,
            percentile_window=self.percentile_window,
            run_now_below_gco2eq_per_kwh=self.run_now_below_gco2eq_per_kwh,
            jitter=self.jitter,
            pausing=self.pausing if scenario.rule == "interruptible" else None,
        )


# When the jobs of a backtest are submitted: nightly by the clock on the wall, or once a day at a random full hour.


RANDOM = "random"


def submissions(start_s: float, end_s: float, timezone: ZoneInfo, submit: str, seed: int) -> list[float]:
    """Return one submission a day in ``[start_s, end_s)``, in UNIX seconds and time order.

    A random hour depends on the seed and the day only: neither the trace's length nor the jobs change it.

    :param submit: a clock time in ``timezone``, or ``random``.
    :raises ConfigurationError: anything else.
    """
    clock = _clock(submit)
    days = _days(start_s, end_s, timezone)
    moments = (moment_of_clock(day, clock or _random_hour(seed, day), timezone).timestamp() for day in days)
    return sorted({moment for moment in moments if start_s <= moment < end_s})


def _clock(submit: str) -> time | None:
    if submit == RANDOM:
        return None
    try:
        return parse_clock(submit)
    except ValueError as error:
        raise ConfigurationError(f"--submit {submit!r} is not a time of day; {error}, or random") from None


def _random_hour(seed: int, day: date) -> time:
    return time(random.Random(f"{seed} {day.isoformat()}").randrange(24))  # noqa: S311 a sample of hours, no secret


def _days(start_s: float, end_s: float, timezone: ZoneInfo) -> Iterator[date]:
    day = datetime.fromtimestamp(start_s, UTC).astimezone(timezone).date()
    last = datetime.fromtimestamp(end_s, UTC).astimezone(timezone).date()
    while day <= last:
        yield day
        day += timedelta(days=1)


# Which jobs can be simulated: those that end within the trace, away from its gaps.


class Counts(NamedTuple):
    """How many jobs were not run, over all scenarios, of how many."""

    jobs: int
    past_end: int
    at_gaps: int

    def sentences(self) -> tuple[str, ...]:
        """Return one sentence for each reason why jobs are missing."""
        told = []
        if self.past_end:
            told.append(f"{self.past_end:,} of {self.jobs:,} jobs pass the trace's end and are dropped")
        if self.at_gaps:
            told.append(
                f"{self.at_gaps:,} of {self.jobs:,} jobs meet a gap of the trace before their deadline and are left out"
            )
        return tuple(told)


@dataclass(frozen=True, slots=True, eq=False)
class Jobs:
    """The submissions of a backtest, and for each scenario which of them are run."""

    submitted_s: Floats
    chosen: tuple[Bools, ...]
    counts: Counts

    def of(self, number: int) -> Floats:
        """Return the submissions that are run of a scenario, by its number."""
        return self.submitted_s[self.chosen[number]]


def choose_jobs(config: SimConfig, actual: ActualTrace) -> Jobs:
    """Return the jobs that can be simulated on a trace."""
    submitted_s = np.array(submissions(actual.start_s, actual.end_s, config.timezone, config.submit, config.seed))
    chosen, past_end, at_gaps = [], 0, 0
    for scenario in config.scenarios():
        ends_s = submitted_s + room_s(config, scenario)
        inside = ends_s <= actual.end_s
        whole = inside & ~actual.touches_gap(submitted_s, ends_s)
        past_end += int((~inside).sum())
        at_gaps += int((inside & ~whole).sum())
        chosen.append(whole)
    return Jobs(submitted_s, tuple(chosen), Counts(len(submitted_s) * len(chosen), past_end, at_gaps))


def room_s(config: SimConfig, scenario: Scenario) -> float:
    """Return the time from submission to deadline, or to the end of a late run that takes longer than expected."""
    return scenario.slack_s + scenario.duration_s * max(1.0, config.duration_error)


# What was known at each time of a backtest, and nothing more; all jobs that check at one time share one outlook.


Predict = Callable[[datetime], Prediction | None]
Recall = Callable[[datetime], TrailingCurve | None]


class Outlooks:
    """Outlooks by the step of the trace that holds the moment: nothing that is known changes within a step.

    :param predict: the forecast made when a step begins, from what had ended by then; None for policies that want none.
    :param recall: what was known then over the days before.
    """

    def __init__(self, actual: ActualTrace, zone: str, *, predict: Predict | None, recall: Recall) -> None:
        self._actual = actual
        self._zone = zone
        self._predict = predict
        self._recall = recall
        self._by_row: dict[int, Outlook] = {}

    def __call__(self, now: datetime) -> Outlook:
        """Return what is known at a moment."""
        row = self._actual.row_of(now.timestamp())
        outlook = self._by_row.get(row)
        if outlook is None:
            outlook = self._by_row[row] = self._outlook_of_row(row)
        return outlook

    def forget_before(self, time_s: float) -> None:
        """Drop what no later job will ask for: the memory in use does not grow with the years."""
        first = self._actual.row_of(time_s)
        for row in [row for row in self._by_row if row < first]:
            del self._by_row[row]

    def _outlook_of_row(self, row: int) -> Outlook:
        actual = self._actual
        start = datetime.fromtimestamp(actual.start_s + row * actual.step_s, UTC)
        reading = Reading(
            zone=self._zone,
            start=start,
            end=datetime.fromtimestamp(actual.start_s + (row + 1) * actual.step_s, UTC),
            carbon_intensity_gco2eq_per_kwh=float(actual.values[row]),
            source="trace",
            kind=IntensityKind.REPLAYED,
            signal_type=SignalType.AVERAGE,
            emission_factor_type=EmissionFactorType.LIFECYCLE,
        )
        # what had ended when this step began: at any moment within the step that is all there is
        prediction = None if self._predict is None else self._predict(start)
        return Outlook(reading=reading, prediction=prediction, trailing=self._recall(start))


# Where a backtest's outlooks come from: the days before, forecasts from them alone, or perfect knowledge.


def trailing_source(grid: Grid) -> Recall:
    """Return the source of the trailing window before a step of the trace; it holds only what had ended by then."""
    step_s = grid.actual.step_s
    edges = [grid.known_from_s + i * step_s for i in range(len(grid.known) + 1)]
    curve = IntensityCurve(edges, grid.known.tolist())
    return lambda step_start: TrailingCurve(curve, step_start.timestamp())


def perfect_forecast(config: SimConfig, actual: ActualTrace) -> Predict:
    """Return a forecast that is the trace itself, as far as the longest job needs."""
    ahead = int(max(room_s(config, scenario) for scenario in config.scenarios()) // actual.step_s) + 2
    behind = int(config.jitter.total_seconds() // actual.step_s) + 1  # a job with jitter sees the curve later

    def predict(step_start: datetime) -> Prediction:
        row = actual.row_of(step_start.timestamp())
        first, last = max(0, row - behind), min(len(actual.values), row + ahead)
        edges = [actual.start_s + i * actual.step_s for i in range(first, last + 1)]
        curve = IntensityCurve(edges, actual.values[first:last].tolist())
        return Prediction(curve=curve, source="the trace itself", issued_at=step_start)

    return predict


def history_forecast(config: SimConfig, grid: Grid) -> Predict:
    """Return a forecast from history alone: the same forecaster as in production, on the same values."""
    series = Series(start_s=round(grid.known_from_s), step_s=round(grid.actual.step_s), values=grid.known)
    forecaster = HistoryForecaster(series, config.timezone, history_limit=config.history_limit)
    return lambda step_start: prediction_of(forecaster, step_start)


# How far a job has come that may pause: what it has done, and the stretches of time in which it ran.


_NONE = timedelta(0)


class JobState:
    """The work of one job, of which only the real length says when it is over.

    :param real_s: the time that the job really takes without pauses; decisions know the expected one only.
    """

    def __init__(self, job: Job, real_s: float) -> None:
        self._job = job
        self._left = timedelta(seconds=real_s)
        self._done = _NONE  # in earlier slices
        self._begun: datetime | None = None  # the work of the present slice, after the resume
        self.segments: list[Segment] = []

    @property
    def is_over(self) -> bool:
        """Whether all is done."""
        return self._left <= _NONE

    def job_at(self, now: datetime) -> Job:
        """Return the job with its progress."""
        if not self.segments:
            return self._job
        running = self._begun is not None
        here = self._in_slice(now)
        pauses = len(self.segments) - (1 if running else 0)
        progress = Progress(
            done=self._done + here, running=running, pauses=pauses, slice_done=here if running else None
        )
        return replace(self._job, progress=progress)

    def run_until(self, now: datetime, until: datetime) -> datetime:
        """Run, or resume, until a moment or the end of the work, and return which came first."""
        if self._begun is None:
            lost = self._job.limits.resume_time if self.segments else _NONE
            self._begun = now + lost
            self.segments.append((now.timestamp(), now.timestamp()))
        end = self._begun + self._left
        if until < end:
            return until
        self.stop(end)
        return end

    def stop(self, now: datetime) -> None:
        """End the present slice, if there is one."""
        if self._begun is None:
            return
        here = self._in_slice(now)
        self._done, self._left = self._done + here, self._left - here
        self.segments[-1] = (self.segments[-1][0], now.timestamp())
        self._begun = None

    def _in_slice(self, now: datetime) -> timedelta:
        return _NONE if self._begun is None else max(_NONE, now - self._begun)


# Runs one job through decide(), check by check, as the trigger and the command line do.


OutlookAt = Callable[[datetime], Outlook]
Segments = tuple[Segment, ...]
_NEVER = datetime.max.replace(tzinfo=UTC)


def without_pauses(job: Job, outlook_at: OutlookAt, real_s: float) -> Segments:
    """Return the run of a job that does not pause, checking again whenever a decision says so."""
    now = job.submitted_at
    while (decision := decide(job, now, outlook_at(now))).action is Action.WAIT:
        now = next_check(decision)
    return ((now.timestamp(), now.timestamp() + real_s),)


def with_pauses(job: Job, outlook_at: OutlookAt, real_s: float) -> Segments:
    """Return the run of a job that may pause: its progress goes back into every decision."""
    now, state = job.submitted_at, JobState(job, real_s)
    while not state.is_over:
        decision = decide(state.job_at(now), now, outlook_at(now))
        if decision.action is Action.RUN:
            now = state.run_until(now, _next_check_while_running(job, decision))
        else:
            state.stop(now)
            now = next_check(decision)
    return tuple(state.segments)


def as_planned_at_submission(job: Job, outlook_at: OutlookAt, real_s: float) -> Segments:
    """Return the run of a job that keeps to its first decision; without a plan it starts when it must."""
    now, state = job.submitted_at, JobState(job, real_s)
    decision = decide(job, now, outlook_at(now))
    start = now if decision.action is Action.RUN else decision.planned_start or job.latest_start or now
    *pieces, (last, _) = decision.segments or ((start, start),)
    for begin, end in pieces:
        state.stop(state.run_until(begin, end))
    if not state.is_over:  # what takes longer than expected runs on in the last piece
        state.run_until(last, _NEVER)
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


# Simulates the jobs of one process on shared outlooks.


class Simulator:
    """Runs jobs one after the other; their outlooks are shared, and dropped once no later job can ask for them."""

    def __init__(self, config: SimConfig, grid: Grid) -> None:
        self._config = config
        self._poll = config.poll or timedelta(seconds=grid.actual.step_s)
        recall = trailing_source(grid)
        predict = (
            perfect_forecast(config, grid.actual) if config.forecast == "perfect" else history_forecast(config, grid)
        )
        self._with_forecast = Outlooks(grid.actual, config.zone, predict=predict, recall=recall)
        self._without_forecast = Outlooks(grid.actual, config.zone, predict=None, recall=recall)

    def run(self, scenario: Scenario, submitted_s: float) -> Run:
        """Return the run of one job."""
        config = self._config
        job = config.job(scenario, submitted_s, self._poll)
        outlook_at = self._with_forecast if job.wanted.prediction else self._without_forecast
        run = as_planned_at_submission if config.decide_once else with_pauses if job.pausing else without_pauses
        segments = run(job, outlook_at, scenario.duration_s * config.duration_error)
        deadline_s = submitted_s + scenario.duration_s + scenario.slack_s
        return Run(submitted_s, deadline_s, segments)

    def forget_before(self, time_s: float) -> None:
        """Drop outlooks of an earlier time, which no later job asks for."""
        self._with_forecast.forget_before(time_s)
        self._without_forecast.forget_before(time_s)


# Simulates the jobs of a backtest, on several cores where that pays off.


_LEAST_JOBS = 2_000
"""A process takes most of a second to begin; fewer jobs than these are done sooner by one."""

Runs = list[list[Run]]


def simulate_jobs(config: SimConfig, grid: Grid, jobs: Jobs, *, workers: int | None = None) -> Runs:
    """Return the runs of each scenario's jobs, in the order of their submission.

    The jobs are cut by their time of submission, so that each process needs the forecasts of its part only.
    """
    count = min(worker_count(jobs) if workers is None else workers, len(jobs.submitted_s))
    if count < 2:
        return simulate_part(config, grid, jobs.submitted_s, jobs.chosen)
    cuts = np.array_split(np.arange(len(jobs.submitted_s)), count)
    parts = [(jobs.submitted_s[cut], [chosen[cut] for chosen in jobs.chosen]) for cut in cuts]
    # spawn: a forked copy of a process with threads (numpy's, a notebook's) may hang
    with ProcessPoolExecutor(count, mp_context=get_context("spawn")) as pool:
        runs = list(pool.map(partial(simulate_part, config, grid), *zip(*parts, strict=True)))
    return [list(chain.from_iterable(part)) for part in zip(*runs, strict=True)]


def simulate_part(config: SimConfig, grid: Grid, submitted_s: Floats, chosen: Sequence[Bools]) -> Runs:
    """Return the runs of one process's part: submission by submission, so that outlooks are made once and then dropped."""
    scenarios = config.scenarios()
    runs: Runs = [[] for _ in scenarios]
    simulator = Simulator(config, grid)
    for i, time_s in enumerate(submitted_s):
        simulator.forget_before(time_s)
        for number, scenario in enumerate(scenarios):
            if chosen[number][i]:
                runs[number].append(simulator.run(scenario, float(time_s)))
    return runs


def worker_count(jobs: Jobs) -> int:
    """Return how many processes pay off."""
    total = sum(int(chosen.sum()) for chosen in jobs.chosen)
    return max(1, min(_cores(), total // _LEAST_JOBS))


def _cores() -> int:
    # a container may be given fewer cores than the machine has
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
