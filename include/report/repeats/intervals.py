"""Intervals over repeated runs: Student's t, for any figure of groups of runs by the jackknife.

Leave one run out at a time, and see how far the figure moves: s^2 = sum over the groups of (n - 1)/n x the squared distances
from their mean (Tukey 1958; Efron and Tibshirani, An Introduction to the Bootstrap, chapter 11). For a mean this is exactly
s/sqrt(n), for a difference of two means exactly Welch's; the degrees of freedom are Welch and Satterthwaite's (1947).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from include.report.repeats.model import Interval, Spread

CONFIDENCE_PERCENT = 95.0
METHOD = "Student's t on the jackknife's variance, degrees of freedom by Welch and Satterthwaite"

_T_975 = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)
"""The 97.5 % quantile for 1 to 30 degrees of freedom, as in any table."""
_T_975_BEYOND = ((120, 1.980), (60, 2.000), (40, 2.021), (30, 2.042))

_Item = TypeVar("_Item")
Figures = Callable[[Sequence[Sequence[_Item]]], Mapping[str, float | None]]
"""From groups of runs to figures by name; None where one is not known."""


def t_975(degrees_of_freedom: float) -> float:
    """Return the 97.5 % quantile of Student's t, of the next table entry below: never too small an interval."""
    whole = math.floor(degrees_of_freedom + 1e-9)
    if whole <= len(_T_975):
        return _T_975[max(whole, 1) - 1]
    return next(t for least, t in _T_975_BEYOND if whole >= least)


def spread_of(values: Sequence[float]) -> Spread:
    """Return mean, standard deviation and the 95 % interval of the mean; one value has neither of the latter."""
    n, mean = len(values), math.fsum(values) / len(values)
    if n == 1:
        return Spread(runs=1, mean=mean, standard_deviation=None, interval=None)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
    half = t_975(n - 1) * deviation / math.sqrt(n)
    return Spread(runs=n, mean=mean, standard_deviation=deviation, interval=Interval(low=mean - half, high=mean + half))


def intervals_of(figures: Figures[_Item], groups: Sequence[Sequence[_Item]]) -> dict[str, Interval]:
    """Return the 95 % interval of every figure; one that is not known, also without one of the runs, is left out.

    :raises ValueError: a group of one or none, whose spread nobody knows.
    """
    if min(map(len, groups)) < 2:
        raise ValueError(f"groups of {', '.join(str(len(group)) for group in groups)} runs: one alone has no spread")
    left_out = [[figures(_without(groups, g, i)) for i in range(len(group))] for g, group in enumerate(groups)]
    intervals = {}
    for name, value in figures(groups).items():
        moved = [[some[name] for some in group] for group in left_out]
        known = [[v for v in group if v is not None] for group in moved]
        if value is not None and known == moved:
            half = _half_width(known)
            intervals[name] = Interval(low=value - half, high=value + half)
    return intervals


def _half_width(left_out: Sequence[Sequence[float]]) -> float:
    variances = [_variance(group) for group in left_out]
    variance = math.fsum(variances)
    if variance == 0:
        return 0.0
    inverse = math.fsum((v / variance) ** 2 / (len(group) - 1) for v, group in zip(variances, left_out, strict=True))
    return t_975(1.0 / inverse) * math.sqrt(variance)


def _variance(values: Sequence[float]) -> float:
    mean = math.fsum(values) / len(values)
    return (len(values) - 1) / len(values) * math.fsum((value - mean) ** 2 for value in values)


def _without(groups: Sequence[Sequence[_Item]], group: int, index: int) -> list[Sequence[_Item]]:
    left = list(groups)
    left[group] = [*groups[group][:index], *groups[group][index + 1 :]]
    return left
