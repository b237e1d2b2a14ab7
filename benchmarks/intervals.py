"""Medians and means of paired figures, with intervals that suppose little."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

_T_975 = {
    1: 12.706,
    2: 4.303,
    3: 3.182,
    4: 2.776,
    5: 2.571,
    6: 2.447,
    7: 2.365,
    8: 2.306,
    9: 2.262,
    14: 2.145,
    19: 2.093,
    29: 2.045,
}
"""Quantiles of Student's t for 95 % intervals, by degrees of freedom; between two, the wider one is taken."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure between two bounds, and the probability with which such bounds hold the true one."""

    middle: float
    low: float
    high: float
    coverage: float

    def show(self, digits: int = 3) -> str:
        return f"{self.middle:.{digits}f} [{self.low:.{digits}f}, {self.high:.{digits}f}]"


def median_interval(values: Sequence[float], coverage: float = 0.95) -> Interval:
    """Bounds from order statistics (the sign test turned round): exact for any continuous distribution.

    The k-th smallest and the k-th largest, with the largest k that still covers; the smallest and the largest if none does.
    """
    ordered, count = sorted(values), len(values)
    best = 1
    for k in range(2, count // 2 + 1):
        if _covered(count, k) >= coverage:
            best = k
    return Interval(statistics.median(ordered), ordered[best - 1], ordered[-best], _covered(count, best))


def _covered(count: int, k: int) -> float:
    return float(1 - 2 * sum(math.comb(count, below) for below in range(k)) / 2**count)


def mean_interval(values: Sequence[float]) -> Interval:
    """Student's t, 95 %: for differences that are about normal, such as accuracies over seeds."""
    mean, freedom = statistics.mean(values), len(values) - 1
    if freedom < 1:
        return Interval(mean, -math.inf, math.inf, 1.0)
    t = _T_975[max(known for known in _T_975 if known <= freedom)]
    half = t * statistics.stdev(values) / math.sqrt(len(values))
    return Interval(mean, mean - half, mean + half, 0.95)


def paired_ratio(numerators: Sequence[float], denominators: Sequence[float]) -> Interval:
    """Median of the ratios of figures that were measured one after the other."""
    return median_interval([a / b for a, b in zip(numerators, denominators, strict=True)])
