"""How far a test set of this size leaves the accuracy of a single run open.

One run's accuracy: the score interval for a proportion (Wilson, JASA 22, 1927). The difference of two: the interval made of
both score intervals (Newcombe, Statistics in Medicine 17, 1998, method 10). That one takes the two test sets for independent
draws. Two runs on the same test set mostly err on the same samples, so it is wider than what a paired comparison would give:
an upper bound, since a record does not keep which samples were classified right.
"""

import math
from typing import Annotated

from pydantic import Field

from include.records import TrainingRecord
from include.records.accounts import Frozen
from include.report.repeats.model import Interval

CONFIDENCE_PERCENT = 95.0
METHOD = "Wilson score interval (1927); of the change, Newcombe's of two independent ones (1998, method 10)"
_Z = 1.959964
"""The 97.5 % quantile of the normal distribution."""


class AccuracySampling(Frozen):
    """What the choice of the test samples alone may have done to the accuracies, of one run a side; each sample one draw."""

    confidence_percent: float = CONFIDENCE_PERCENT
    method: str = METHOD
    baseline_test_samples: int | None = None
    run_test_samples: int | None = None
    baseline_percent: Annotated[Interval | None, Field(description="of the test set classified right")] = None
    run_percent: Annotated[Interval | None, Field(description="of the test set classified right")] = None
    change_points: Annotated[
        Interval | None,
        Field(description="as if the test sets were independent: an upper bound where both runs saw the same one"),
    ] = None
    beyond_sampling: Annotated[
        bool | None, Field(description="whether the change is more than that may make; false does not say it is none")
    ] = None


def accuracy_sampling(
    baseline: TrainingRecord | None, run: TrainingRecord, *, same_data: bool
) -> AccuracySampling | None:
    """Return the intervals; None where neither record knows its number of test samples.

    :param same_data: of two data sets, the difference of the accuracies is no change, and has no interval.
    """
    sides = [_side(record) for record in (baseline, run)]
    if sides == [None, None]:
        return None
    before, after = sides
    change = newcombe_points(before, after) if before and after and same_data else None
    return AccuracySampling(
        baseline_test_samples=None if before is None else before[1],
        run_test_samples=None if after is None else after[1],
        baseline_percent=None if before is None else wilson_percent(*before),
        run_percent=None if after is None else wilson_percent(*after),
        change_points=change,
        beyond_sampling=None if change is None else not change.low <= 0 <= change.high,
    )


def wilson_percent(share: float, samples: int) -> Interval:
    """Return the 95 % interval of a share of so many samples, in percent; within 0 and 100 also for a share of 0 or 1."""
    square = _Z**2 / samples
    middle = (share + square / 2) / (1 + square)
    half = math.sqrt(share * (1 - share) * square + square**2 / 4) / (1 + square)
    # at the ends the bound is the share itself, but for rounding
    return Interval(low=100 * max(0.0, min(middle - half, share)), high=100 * min(1.0, max(middle + half, share)))


def newcombe_points(before: tuple[float, int], after: tuple[float, int]) -> Interval:
    """Return the 95 % interval of the change between two shares of independent samples, in percentage points.

    :param before: the share, and of how many samples; likewise ``after``.
    """
    (share0, share1), (first, second) = (100 * before[0], 100 * after[0]), map(_wilson, (before, after))
    change = share1 - share0
    return Interval(
        low=change - math.hypot(share1 - second.low, first.high - share0),
        high=change + math.hypot(second.high - share1, share0 - first.low),
    )


def _wilson(side: tuple[float, int]) -> Interval:
    return wilson_percent(*side)


def _side(record: TrainingRecord | None) -> tuple[float, int] | None:
    return None if record is None or record.test_samples is None else (record.test_accuracy, record.test_samples)
