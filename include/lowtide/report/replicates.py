"""Several runs on a side: each figure's mean and spread, and how sure the changes are."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from lowtide.records import TrainingRecord
from lowtide.report.attribution import changes_of, grid_intensity, ours_of, parts_of
from lowtide.report.model import Fairness, Interval, RepeatedFigure, Repeats, RunFigures, Spread, Waiting
from lowtide.report.waiting import avoided_percent

# Intervals over repeated runs: Student's t, for any figure of groups of runs by the jackknife.
#
# Leave one run out at a time, and see how far the figure moves: s^2 = sum over the groups of (n - 1)/n x the squared distances
# from their mean (Tukey 1958; Efron and Tibshirani, An Introduction to the Bootstrap, chapter 11). For a mean this is exactly
# s/sqrt(n), for a difference of two means exactly Welch's; the degrees of freedom are Welch and Satterthwaite's (1947).


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


Records = Sequence[TrainingRecord]

_FIGURES: Mapping[str, Callable[[TrainingRecord], float]] = {
    "emissions_gco2eq": lambda r: r.emissions_gco2eq,
    "energy_kwh": lambda r: r.energy_kwh.total,
    "mean_intensity_gco2eq_per_kwh": grid_intensity,
    "peak_memory_bytes": lambda r: float(r.peak_memory_bytes),
    "test_accuracy": lambda r: r.test_accuracy,
    "duration_s": lambda r: r.duration_s,
    "wait_s": lambda r: r.wait_s,
}


def repeats_of(
    baselines: Records, runs: Records, waits: Sequence[Waiting], fairness: Fairness, names: Sequence[str]
) -> Repeats | None:
    """Return the spreads and intervals; None with one run a side.

    :param waits: of the runs, in their order.
    :param names: the parts that count as ours.
    """
    if len(baselines) <= 1 and len(runs) <= 1:
        return None
    reason = _without_interval(baselines, runs)
    found = (
        {}
        if reason
        else intervals_of(lambda groups: _figures(groups[0], groups[1], fairness, names), [baselines, runs])
    )
    return Repeats(
        baselines=tuple(map(RunFigures.of, baselines)),
        runs=tuple(map(RunFigures.of, runs)),
        confidence_percent=CONFIDENCE_PERCENT,
        method=METHOD,
        without_interval=reason,
        figures=(*_spreads(baselines, runs), *_wait_spreads(waits)),
        changes=_of("changes", found),
        attribution_gco2eq=_of("parts", found),
        ours_percent=found.get("ours"),
        waiting_avoided_percent=_waiting_interval(runs),
    )


def _without_interval(baselines: Records, runs: Records) -> str | None:
    if not baselines:
        return "there is no baseline"
    alone = [who for who, side in (("baseline", baselines), ("run", runs)) if len(side) == 1]
    return f"there is one {alone[0]} only, whose spread nobody knows; give at least two" if alone else None


def _figures(baselines: Records, runs: Records, fairness: Fairness, names: Sequence[str]) -> dict[str, float | None]:
    found: dict[str, float | None] = {
        f"changes.{key}": value for key, value in changes_of(baselines, runs, fairness).model_dump().items()
    }
    if any(difference.bars == "comparison" for difference in fairness.differences):
        return found
    parts = parts_of(baselines, runs)
    ours = ours_of(parts, baselines, runs, names)
    return (
        found
        | {f"parts.{key}": value for key, value in parts.model_dump().items()}
        | {"ours": ours.change_percent if ours else None}
    )


def _of(family: str, found: Mapping[str, Interval]) -> dict[str, Interval]:
    return {key.partition(".")[2]: interval for key, interval in found.items() if key.startswith(f"{family}.")}


def _waiting_interval(runs: Records) -> Interval | None:
    if len(runs) < 2:
        return None
    return intervals_of(lambda groups: {"waiting": avoided_percent(groups[0])}, [runs]).get("waiting")


def _spreads(baselines: Records, runs: Records) -> list[RepeatedFigure]:
    return [
        RepeatedFigure(
            name=name,
            baseline=spread_of([value(record) for record in baselines]) if baselines else None,
            run=spread_of([value(record) for record in runs]),
        )
        for name, value in _FIGURES.items()
    ]


def _wait_spreads(waits: Sequence[Waiting]) -> list[RepeatedFigure]:
    """Return what is told of waits only where every run knows it."""
    figures = {
        "waiting_avoided_percent": [wait.avoided_percent for wait in waits],
        "oracle_avoided_percent": [wait.oracle.avoided_percent if wait.oracle else None for wait in waits],
        "captured_percent": [wait.oracle.captured_percent if wait.oracle else None for wait in waits],
    }
    known = {name: [v for v in values if v is not None] for name, values in figures.items()}
    return [
        RepeatedFigure(name=name, baseline=None, run=spread_of(values))
        for name, values in known.items()
        if len(values) == len(waits)
    ]
