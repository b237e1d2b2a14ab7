"""The dynamic program behind the oracle that may pause."""

import csv
import io
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil, floor, gcd, inf
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lowtide.errors import ConfigurationError
from lowtide.io import write_atomically
from lowtide.scheduler.backtest.simulate import (
    Combination,
    Counts,
    Floats,
    Grid,
    Jobs,
    PauseCosts,
    Plan,
    Run,
    Truth,
    choose_jobs,
    emitted,
    place_jobs,
)
from lowtide.timeutil import format_moment

# The figures of one combination: what its jobs emitted per useful kWh, against starting at once and perfect knowledge.


HOUR_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcomes:
    """What became of the jobs of one combination, one value a job; intensities in g per useful kWh."""

    run_now: Floats
    policy: Floats
    oracle: Floats
    wait_s: Floats
    overrun_s: Floats
    segments: Floats


def result_of(plan: Plan, combination: Combination, outcomes: Outcomes) -> dict[str, Any]:
    """Return one combination's figures, as JSON has them; None where there was no job, or nothing to save."""
    run_now, policy, oracle = (_mean(v) for v in (outcomes.run_now, outcomes.policy, outcomes.oracle))
    saving, possible = _saving_percent(policy, run_now), _saving_percent(oracle, run_now)
    return {
        "zone": plan.zone,
        "policy": combination.policy,
        "duration_h": combination.duration_s / HOUR_S,
        "slack_h": combination.slack_s / HOUR_S,
        "submit": plan.submit,
        "interruptible": combination.interruptible,
        "jobs": len(outcomes.run_now),
        "run_now_gco2eq_per_kwh": run_now,
        "policy_gco2eq_per_kwh": policy,
        "oracle_gco2eq_per_kwh": oracle,
        "saving_percent": saving,
        "oracle_saving_percent": possible,
        "captured_percent": share_percent(saving, possible),
        "mean_wait_h": _hours(_mean(outcomes.wait_s)),
        "p95_wait_h": _hours(float(np.percentile(outcomes.wait_s, 95)) if len(outcomes.wait_s) else None),
        "deadline_misses": int((outcomes.overrun_s > 1.0).sum()),
        "mean_segments": _mean(outcomes.segments),
    }


class Pooled(NamedTuple):
    """Several lines together: mean savings in percent, and the sum of savings over the sum of the oracle's."""

    saving: float | None
    oracle: float | None
    captured: float | None


def pooled(results: Sequence[dict[str, Any]]) -> Pooled:
    """Return what lines come to together; a line without a saving is passed over."""
    known = [(r["saving_percent"], r["oracle_saving_percent"]) for r in results if r["saving_percent"] is not None]
    if not known:
        return Pooled(None, None, None)
    saving, oracle = (sum(column) / len(known) for column in zip(*known, strict=True))
    return Pooled(saving, oracle, share_percent(saving, oracle))


def share_percent(part: float | None, whole: float | None) -> float | None:
    """Return 100 x part / whole; None where either is missing or there is no whole to speak of."""
    return None if part is None or whole is None or abs(whole) < 1e-9 else 100.0 * part / whole


def _saving_percent(value: float | None, reference: float | None) -> float | None:
    return None if value is None or not reference else 100.0 * (1.0 - value / reference)


def _mean(values: Floats) -> float | None:
    return float(values.mean()) if len(values) else None


def _hours(seconds: float | None) -> float | None:
    return None if seconds is None else seconds / HOUR_S


# Perfect knowledge for jobs that run in one piece: the cleanest block between submission and deadline.


def best_blocks(truth: Truth, submitted_s: Floats, latest_start_s: Floats, duration_s: float) -> Floats:
    """Return the least mean intensity of a block of ``duration_s`` for each job, in g/kWh. Exact.

    The mean is piecewise linear in the start, so it is least where a block begins or ends at a step's edge, or at the
    ends of the range. Where submission and duration fall on the trace's steps that is every step from submission on.
    """
    starts = [submitted_s, latest_start_s]
    longest_s = float(np.max(latest_start_s - submitted_s, initial=0.0))
    for shift_s in {0.0, duration_s % truth.step_s}:
        first = submitted_s + (truth.start_s - shift_s - submitted_s) % truth.step_s
        steps = np.arange(int(longest_s // truth.step_s) + 1) * truth.step_s
        starts.extend(np.minimum(first + step, latest_start_s) for step in steps)
    candidates = np.stack(starts, axis=1)
    best: Floats = truth.mean(candidates, candidates + duration_s).min(axis=1)
    return best


_TINY = 1e-9


class SlotSearch:
    """Finds the cheapest slots for jobs of one shape.

    Work is done in whole slots, but for the last, which ends with the work; a resume is over when its slot begins. States
    are jobs x slots worked x pauses: ``on`` while running, ``off`` while paused. A slice is entered for as many slots as it
    must last, so that no state has to remember how long it has run.

    :param sums: the integral of intensity from submission to each slot's edge, one row a job, in g/kWh x s.
    """

    def __init__(self, sums: Floats, slot_s: float, work_s: float, costs: PauseCosts) -> None:
        self._sums, self._slot_s, self._costs = sums, slot_s, costs
        self._count = sums.shape[1] - 1
        self._need = work_s / slot_s - np.arange(ceil(work_s / slot_s - _TINY))
        self._least = min(work_s, costs.minimum_slice_s) / slot_s
        self._entry = max(1, ceil(self._least - _TINY))
        self._gap = floor(costs.resume_time_s / slot_s + _TINY) + 1  # a pause no longer than its resume is none
        self._best = np.full(len(sums), np.inf)

    def best(self) -> Floats:
        """Return the least integral of intensity over full-power seconds for each job."""
        layers = min(self._costs.maximum_pauses, self._count) + 1
        on = np.full((len(self._sums), len(self._need), layers), np.inf)
        off = on
        paused: deque[Floats] = deque(maxlen=self._entry + self._gap)
        for t in range(self._count):
            off = np.minimum(off, on)
            paused.append(off)
            self._end_first_slice(t)
            self._end_running(on, t)
            if len(paused) > self._gap:
                self._end_later_slice(paused[-1 - self._gap], t)
            on = self._run_on(on, paused, t)
        return self._best

    def _run_on(self, on: Floats, paused: "deque[Floats]", t: int) -> Floats:
        """Return the running states at the end of slot ``t``: run on through it, or entered some slots before."""
        following = np.full_like(on, np.inf)
        following[:, 1:] = on[:, :-1] + self._between(t, t + 1)[:, None, None]
        begun, entry = t + 1 - self._entry, self._entry
        if begun < 0 or entry >= following.shape[1]:
            return following
        through = self._between(begun, t + 1)
        following[:, entry, 0] = np.minimum(following[:, entry, 0], through)
        if len(paused) == entry + self._gap:
            resumed = paused[0][:, :-entry, :-1] + (self._resuming(begun) + through)[:, None, None]
            following[:, entry:, 1:] = np.minimum(following[:, entry:, 1:], resumed)
        return following

    def _end_running(self, on: Floats, t: int) -> None:
        """End in slot ``t`` what has one slot's work or less to do."""
        self._note(on[:, -1].min(axis=1) + self._between(t, t + float(self._need[-1])))

    def _end_first_slice(self, t: int) -> None:
        """End in the slice that begins at ``t``, for jobs that are no longer than a slice must be."""
        need = float(self._need[0])
        if need <= self._entry + _TINY and t + need <= self._count + _TINY:
            self._note(self._between(t, t + need))

    def _end_later_slice(self, off: Floats, t: int) -> None:
        """End in the slice that is resumed at ``t``; the last slice too holds as much work as a slice must."""
        if off.shape[2] == 1:
            return
        for slots in np.flatnonzero((self._need <= self._entry + _TINY) & (self._need >= self._least - _TINY)):
            end = t + float(self._need[slots])
            if end <= self._count + _TINY:
                self._note(off[:, slots, :-1].min(axis=1) + self._resuming(t) + self._between(t, end))

    def _resuming(self, t: int) -> Floats:
        """Return what the resume before slot ``t`` emits, as full-power seconds x g/kWh."""
        over = self._costs.resume_time_s / self._slot_s
        if over == 0:  # a resume that takes no time is booked at the intensity of its moment
            return self._costs.resume_energy_s / self._slot_s * self._between(t, t + 1)
        return self._costs.resume_energy_s / self._costs.resume_time_s * self._between(t - over, t)

    def _between(self, begin: float, end: float) -> Floats:
        return self._up_to(end) - self._up_to(begin)

    def _up_to(self, edge: float) -> Floats:
        whole = min(int(edge), self._count - 1)
        sums = self._sums
        return np.asarray(sums[:, whole] + (edge - whole) * (sums[:, whole + 1] - sums[:, whole]))

    def _note(self, ends: Floats) -> None:
        np.minimum(self._best, ends, out=self._best)


# Perfect knowledge for jobs that may pause: the cheapest slots between submission and deadline, pauses paid for.
#
# A dynamic program over the slots, exact for work in whole slots that ends anywhere. Its state is how many slots have been
# worked and how often was paused; all jobs of one shape go through it together.


_STATES_AT_ONCE = 200_000
_FINER = ((6 * 3600.0, 900), (24 * 3600.0, 1800), (inf, 3600))
_FINEST_SHARE = 12
"""A slot is a twelfth of the trace's step at least: a duration of 61 minutes must not make slots of one."""


def best_slots(truth: Truth, submitted_s: Floats, room_s: float, duration_s: float, costs: PauseCosts) -> Floats:
    """Return the least emissions of each job per useful kWh, in g/kWh.

    :param room_s: from submission to deadline, the same for all jobs; a job that does not fit runs at once.
    """
    slot_s = slot_length(truth, submitted_s, duration_s)
    count = max(int(room_s / slot_s + 1e-9), ceil(duration_s / slot_s - 1e-9))
    edges = submitted_s[:, None] + slot_s * np.arange(count + 1)
    until_s = np.minimum(edges, truth.end_s)
    sums = truth.integral(submitted_s[:, None], until_s)
    states = (duration_s / slot_s + 1) * (costs.maximum_pauses + 1)
    parts = np.array_split(sums, max(1, ceil(len(sums) * states / _STATES_AT_ONCE)))
    found = [SlotSearch(part, slot_s, duration_s, costs).best() for part in parts if len(part)]
    return np.concatenate(found) / duration_s if found else np.empty(0)


def slot_length(truth: Truth, submitted_s: Floats, duration_s: float) -> float:
    """Return the longest slot that divides the trace's step, the duration and the way from a step's edge to submission.

    Shorter jobs get finer slots: with little slack it matters when the minutes of a resume are made up for.
    """
    offsets = {round(float(offset)) for offset in (submitted_s - truth.start_s) % truth.step_s}
    wanted = next(slot_s for limit_s, slot_s in _FINER if duration_s <= limit_s)
    slot = gcd(round(truth.step_s), round(duration_s), wanted, *offsets)
    return float(max(slot, round(truth.step_s / _FINEST_SHARE), 1))


# Runs a backtest: every job through decide(), then the figures of every combination.


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Line:
    """One combination: its runs, what became of them, and its figures as JSON has them."""

    combination: Combination
    runs: Sequence[Run]
    outcomes: Outcomes
    result: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Backtest:
    """A backtest that has been run."""

    plan: Plan
    grid: Grid
    lines: Sequence[Line]
    counts: Counts

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user must know beside the figures, a sentence each."""
        return (*self.grid.notes, *self.counts.sentences())


def run_backtest(plan: Plan, grid: Grid, *, workers: int | None = None) -> Backtest:
    """Run a backtest.

    :param workers: processes; None: as many as pay off. They do not change a figure.
    :raises ConfigurationError: no job of any combination can be run on the trace.
    """
    jobs = choose_jobs(plan, grid.truth)
    if not any(chosen.any() for chosen in jobs.chosen):
        raise ConfigurationError(_nothing_to_run(jobs))
    placed = place_jobs(plan, grid, jobs, workers=workers)
    lines = [_line(plan, grid.truth, *found) for found in zip(plan.combinations(), placed, strict=True)]
    return Backtest(plan=plan, grid=grid, lines=lines, counts=jobs.counts)


def _nothing_to_run(jobs: Jobs) -> str:
    told = "; ".join(jobs.counts.sentences()) or "no submission falls into the trace"
    return f"the trace leaves no job to run ({told}); give a longer trace, shorter slacks or durations"


def _line(plan: Plan, truth: Truth, combination: Combination, runs: Sequence[Run]) -> Line:
    outcomes = _outcomes(plan, truth, combination, runs)
    return Line(combination=combination, runs=runs, outcomes=outcomes, result=result_of(plan, combination, outcomes))


def _outcomes(plan: Plan, truth: Truth, combination: Combination, runs: Sequence[Run]) -> Outcomes:
    real_s = combination.duration_s * plan.duration_error
    submitted = np.array([run.submitted_s for run in runs])
    deadline = np.array([run.deadline_s for run in runs])
    ended = np.array([run.segments[-1][1] for run in runs])
    return Outcomes(
        run_now=truth.mean(submitted, submitted + real_s),
        policy=emitted(truth, runs, real_s, plan.rules.pause_costs()),
        oracle=_oracle(plan, truth, combination, submitted),
        wait_s=ended - submitted - real_s,
        overrun_s=ended - deadline,
        segments=np.array([float(len(run.segments)) for run in runs]),
    )


def _oracle(plan: Plan, truth: Truth, combination: Combination, submitted: Floats) -> Floats:
    real_s = combination.duration_s * plan.duration_error
    room_s = combination.duration_s + combination.slack_s
    best = best_blocks(truth, submitted, submitted + max(0.0, room_s - real_s), real_s)
    if not combination.interruptible:
        return best
    # a block may begin within a slot, so it is compared too
    return np.minimum(best, best_slots(truth, submitted, room_s, real_s, plan.rules.pause_costs()))


# Writes when every job ran, so that anyone can recompute the figures.


COLUMNS = ("policy", "duration_h", "slack_h", "submit", "deadline", "segment_start", "segment_end")


def write_starts(path: Path, runs: Sequence[tuple[Combination, Sequence[Run]]]) -> None:
    """Write one CSV row per job and segment; moments are ISO-8601 in UTC.

    :raises ArtifactError: the file cannot be written.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for combination, placed in runs:
        shape = (combination.policy, f"{combination.duration_s / HOUR_S:.10g}", f"{combination.slack_s / HOUR_S:.10g}")
        for run in placed:
            times = (_moment(run.submitted_s), _moment(run.deadline_s))
            writer.writerows((*shape, *times, _moment(start), _moment(end)) for start, end in run.segments)
    write_atomically(path, text.getvalue())


def _moment(seconds: float) -> str:
    return format_moment(datetime.fromtimestamp(seconds, UTC))
