"""Runs a backtest: every job through decide(), then the figures of every combination."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from include.errors import ConfigurationError
from include.scheduler.backtest.combination import Combination
from include.scheduler.backtest.costs import emitted
from include.scheduler.backtest.figures import Outcomes, result_of
from include.scheduler.backtest.files import Grid
from include.scheduler.backtest.jobs import Counts, Jobs, choose_jobs
from include.scheduler.backtest.oracle import best_blocks
from include.scheduler.backtest.pausing_oracle import best_slots
from include.scheduler.backtest.plan import Plan
from include.scheduler.backtest.runs import Run
from include.scheduler.backtest.truth import Floats, Truth
from include.scheduler.backtest.workers import place_jobs


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
