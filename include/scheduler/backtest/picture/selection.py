"""Which of many lines and weeks a picture shows: the one in the middle, never the best."""

from datetime import timedelta
from math import inf

import numpy as np

from include.config import format_duration
from include.scheduler.backtest.engine import Backtest, Line
from include.scheduler.backtest.runs import Run

_WEEK_S = 7 * 86_400.0


def shown_line(backtest: Backtest) -> Line:
    """Return the line that is drawn: the first policy that waits, with the middle duration and slack."""
    waiting = [policy for policy in backtest.plan.policies if policy != "immediate"]
    policy = waiting[0] if waiting else backtest.plan.policies[0]
    durations, slacks = sorted(backtest.plan.durations), sorted(backtest.plan.slacks)
    wanted = (durations[len(durations) // 2].total_seconds(), slacks[len(slacks) // 2].total_seconds())
    lines = [line for line in backtest.lines if line.combination.policy == policy and line.runs]
    same = [line for line in lines if (line.combination.duration_s, line.combination.slack_s) == wanted]
    return (same or lines or [line for line in backtest.lines if line.runs])[0]


def typical_week(line: Line) -> tuple[float, float]:
    """Return the week, in UNIX seconds, whose saving lies nearest to that of the whole line; longer for long waits."""
    length_s = max(_WEEK_S, 2.0 * (line.combination.duration_s + line.combination.slack_s))
    submitted = np.array([run.submitted_s for run in line.runs])
    outcomes = line.outcomes
    whole = outcomes.policy.sum() / max(outcomes.run_now.sum(), 1e-9)
    best, nearest = float(submitted[0]), np.inf
    for start in submitted[submitted <= max(submitted[0], submitted[-1] - length_s)]:
        week = (submitted >= start) & (submitted < start + length_s)
        apart = abs(outcomes.policy[week].sum() / max(outcomes.run_now[week].sum(), 1e-9) - whole)
        if apart < nearest:
            best, nearest = float(start), apart
    return best, best + length_s


def shown_runs(line: Line, begin_s: float = -inf, end_s: float = inf) -> list[Run]:
    """Return the runs submitted in a span, passing over those that come before an earlier one must be done.

    Two jobs that run at the same time cannot both be seen.
    """
    shown: list[Run] = []
    for run in line.runs:
        if begin_s <= run.submitted_s < end_s and (not shown or run.submitted_s >= shown[-1].deadline_s):
            shown.append(run)
    return shown


def told_share(line: Line) -> str:
    """Return how many of the jobs are shown, in words; nothing where it is all of them."""
    count = len(shown_runs(line))
    return "" if count == len(line.runs) else f" ({count} of {len(line.runs)} jobs, of which no two overlap)"


def told_shape(line: Line) -> str:
    """Return a line's shape of job in words."""
    duration, slack = (format_duration(timedelta(seconds=s)) for s in line.combination[1:3])
    return f"jobs of {duration} with {slack} of slack" + (", may pause" if line.combination.interruptible else "")
