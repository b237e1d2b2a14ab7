"""Which jobs a backtest can judge: those that end within the trace, away from its gaps."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from include.scheduler.backtest.combination import Combination
from include.scheduler.backtest.plan import Plan
from include.scheduler.backtest.submissions import submissions
from include.scheduler.backtest.truth import Bools, Floats, Truth


class Counts(NamedTuple):
    """How many jobs were not run, over all combinations, of how many."""

    jobs: int
    past_end: int
    at_gaps: int

    def sentences(self) -> tuple[str, ...]:
        """Return what the user must know of jobs that are missing."""
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
    """The submissions of a backtest, and for each combination which of them are run."""

    submitted_s: Floats
    chosen: tuple[Bools, ...]
    counts: Counts

    def of(self, number: int) -> Floats:
        """Return the submissions that are run of a combination, by its number."""
        return self.submitted_s[self.chosen[number]]


def choose_jobs(plan: Plan, truth: Truth) -> Jobs:
    """Return the jobs that a trace can judge."""
    submitted_s = np.array(submissions(truth.start_s, truth.end_s, plan.timezone, plan.submit, plan.seed))
    chosen, past_end, at_gaps = [], 0, 0
    for combination in plan.combinations():
        ends_s = submitted_s + room_s(plan, combination)
        inside = ends_s <= truth.end_s
        whole = inside & ~truth.touches_gap(submitted_s, ends_s)
        past_end += int((~inside).sum())
        at_gaps += int((inside & ~whole).sum())
        chosen.append(whole)
    return Jobs(submitted_s, tuple(chosen), Counts(len(submitted_s) * len(chosen), past_end, at_gaps))


def room_s(plan: Plan, combination: Combination) -> float:
    """Return the time from submission to deadline, or to the end of a late run that takes longer than expected."""
    return combination.slack_s + combination.duration_s * max(1.0, plan.duration_error)
