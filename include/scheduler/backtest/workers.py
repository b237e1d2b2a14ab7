"""Places the jobs of a backtest, over the cores where that pays off."""

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import chain
from multiprocessing import get_context

import numpy as np

from include.scheduler.backtest.files import Grid
from include.scheduler.backtest.jobs import Jobs
from include.scheduler.backtest.placing import Placing
from include.scheduler.backtest.plan import Plan
from include.scheduler.backtest.runs import Run
from include.scheduler.backtest.truth import Bools, Floats

_LEAST_JOBS = 2_000
"""A process takes most of a second to begin; fewer jobs than these are done sooner by one."""

Placed = list[list[Run]]


def place_jobs(plan: Plan, grid: Grid, jobs: Jobs, *, workers: int | None = None) -> Placed:
    """Return the runs of each combination's jobs, in the order of their submission.

    The jobs are cut by their time of submission, so that each process needs the forecasts of its part only.
    """
    count = min(worth(jobs) if workers is None else workers, len(jobs.submitted_s))
    if count < 2:
        return place_part(plan, grid, jobs.submitted_s, jobs.chosen)
    cuts = np.array_split(np.arange(len(jobs.submitted_s)), count)
    parts = [(jobs.submitted_s[cut], [chosen[cut] for chosen in jobs.chosen]) for cut in cuts]
    # spawn: a forked copy of a process with threads (numpy's, a notebook's) may hang
    with ProcessPoolExecutor(count, mp_context=get_context("spawn")) as pool:
        placed = list(pool.map(partial(place_part, plan, grid), *zip(*parts, strict=True)))
    return [list(chain.from_iterable(part)) for part in zip(*placed, strict=True)]


def place_part(plan: Plan, grid: Grid, submitted_s: Floats, chosen: Sequence[Bools]) -> Placed:
    """Return the runs of one process's part: submission by submission, so that outlooks are made once and then dropped."""
    combinations = plan.combinations()
    placed: Placed = [[] for _ in combinations]
    placing = Placing(plan, grid)
    for i, moment_s in enumerate(submitted_s):
        placing.forget_before(moment_s)
        for number, combination in enumerate(combinations):
            if chosen[number][i]:
                placed[number].append(placing.place(combination, float(moment_s)))
    return placed


def worth(jobs: Jobs) -> int:
    """Return how many processes pay off."""
    total = sum(int(chosen.sum()) for chosen in jobs.chosen)
    return max(1, min(_cores(), total // _LEAST_JOBS))


def _cores() -> int:
    # a container may be given fewer cores than the machine has
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
