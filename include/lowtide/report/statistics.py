"""Intervals: Student's t over several runs, and the bounds within which the methods' known errors leave a change.

The interval of any figure of two groups of runs, such as a change in percent, is Welch's: the variance of the mean of each
group's pseudo-values (Tukey 1958: n times the figure, less n - 1 times the figure without one run). For a difference of two means
that is exactly Welch's interval (Biometrika 34, 1947); for a quotient of sums it weighs each run by its denominator, as it must.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean, stdev, variance
from typing import TypeVar

from lowtide.records import EmissionsInterval, TrainingRecord
from lowtide.report.model import Interval, KnownErrors, Spread

CONFIDENCE_PERCENT = 95.0
METHOD = "Student's t, of changes by Welch (1947)"

_T_975 = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)
"""The 97.5 % quantile for 1 to 30 degrees of freedom, as in any table: SciPy for these alone would be 100 MB to install."""
_T_975_BEYOND = ((120, 1.980), (60, 2.000), (40, 2.021), (30, 2.042))

_Item = TypeVar("_Item")
Figures = Callable[[Sequence[Sequence[_Item]]], Mapping[str, float | None]]
"""From groups of runs to figures by name; None where one is not known."""

_Records = Sequence[TrainingRecord]


def t_975(degrees_of_freedom: float) -> float:
    """Return the 97.5 % quantile of Student's t, of the next table entry below: never too small an interval."""
    whole = math.floor(degrees_of_freedom + 1e-9)
    if whole <= len(_T_975):
        return _T_975[max(whole, 1) - 1]
    return next(t for least, t in _T_975_BEYOND if whole >= least)


def spread_of(values: Sequence[float]) -> Spread:
    """Return mean, standard deviation and the 95 % interval of the mean; one value has neither of the latter."""
    n, mean = len(values), fmean(values)
    if n == 1:
        return Spread(runs=1, mean=mean, standard_deviation=None, interval=None)
    deviation = stdev(values)
    half = t_975(n - 1) * deviation / math.sqrt(n)
    return Spread(runs=n, mean=mean, standard_deviation=deviation, interval=Interval(low=mean - half, high=mean + half))


def intervals_of(figures: Figures[_Item], groups: Sequence[Sequence[_Item]]) -> dict[str, Interval]:
    """Return the 95 % interval of every figure; one that is not known, also for a single run, is left out.

    :raises ValueError: a group of fewer than two runs, which has no spread.
    """
    if min(map(len, groups)) < 2:
        raise ValueError(f"groups of {', '.join(str(len(group)) for group in groups)} runs: a single run has no spread")
    without = [
        [figures([*groups[:g], [*group[:i], *group[i + 1 :]], *groups[g + 1 :]]) for i in range(len(group))]
        for g, group in enumerate(groups)
    ]
    intervals = {}
    for name, value in figures(groups).items():
        found = [[left[name] for left in group] for group in without]
        known = [[v for v in group if v is not None] for group in found]
        if value is not None and known == found:
            half = _welch_half_width([[len(group) * value - (len(group) - 1) * v for v in group] for group in known])
            intervals[name] = Interval(low=value - half, high=value + half)
    return intervals


def _welch_half_width(groups: Sequence[Sequence[float]]) -> float:
    variances = [variance(group) / len(group) for group in groups]
    total = math.fsum(variances)
    if total == 0:
        return 0.0
    inverse = math.fsum((v / total) ** 2 / (len(group) - 1) for v, group in zip(variances, groups, strict=True))
    return t_975(1.0 / inverse) * math.sqrt(total)


def known_errors(baselines: _Records, runs: _Records, *, same_meters: bool, comparable: bool) -> KnownErrors | None:
    """Return the bounds of the changes if every method errs as far as is known, in the two runs independently.

    None without a baseline, or where a record knows no bounds.

    :param comparable: whether kWh and g/kWh of the two mean the same thing.
    """
    if not baselines or any(record.uncertainty is None for record in (*baselines, *runs)):
        return None
    emissions, energy_per_sample = None, None
    if comparable:
        sides = ((side, len(side)) for side in (baselines, runs))
        emissions = _change(
            *(_bounds(*side, lambda u: (u.emissions_low_gco2eq, u.emissions_high_gco2eq)) for side in sides)
        )
        energy_per_sample = energy_per_sample_bounds(baselines, runs)
    return KnownErrors(
        emissions_percent=emissions, energy_per_sample_percent=energy_per_sample, same_meters=same_meters
    )


def energy_per_sample_bounds(baselines: _Records, runs: _Records) -> Interval | None:
    """Return the bounds of the change in kWh per sample, before PUE, in percent; None where they are not known."""
    sides = [(side, sum(record.samples for record in side)) for side in (baselines, runs)]
    if any(samples == 0 for _, samples in sides) or any(r.uncertainty is None for r in (*baselines, *runs)):
        return None
    return _change(*(_bounds(*side, lambda u: (u.energy_low_kwh, u.energy_high_kwh)) for side in sides))


def _bounds(
    records: _Records, number: int, read: Callable[[EmissionsInterval], tuple[float, float]]
) -> tuple[float, float]:
    """Return the sums of the records' lower and of their upper bounds, divided by a number of runs or samples."""
    found = [read(record.uncertainty) for record in records if record.uncertainty is not None]
    return math.fsum(low for low, _ in found) / number, math.fsum(high for _, high in found) / number


def _change(before: tuple[float, float], after: tuple[float, float]) -> Interval | None:
    if before[0] <= 0:
        return None
    return Interval(low=100.0 * (after[0] / before[1] - 1.0), high=100.0 * (after[1] / before[0] - 1.0))
