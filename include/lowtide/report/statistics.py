"""How far a test set of this size leaves the accuracy of a single run open.

One run's accuracy: the score interval for a proportion (Wilson, JASA 22, 1927). The difference of two: the interval made of
both score intervals (Newcombe, Statistics in Medicine 17, 1998, method 10). That one takes the two test sets for independent
draws. Two runs on the same test set mostly err on the same samples, so it is wider than what a paired comparison would give:
an upper bound, since a record does not keep which samples were classified right.
"""

import math
from collections.abc import Callable, Sequence

from lowtide.records import EmissionsInterval, TrainingRecord
from lowtide.report.model import AccuracySampling, Interval, KnownErrors

_Z = 1.959964
"""The 97.5 % quantile of the normal distribution."""


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


# Between which bounds a change lies if every method errs as far as is known, in the two runs independently.


_Bounds = Callable[[EmissionsInterval], tuple[float, float]]
_Records = Sequence[TrainingRecord]


def known_errors(baselines: _Records, runs: _Records, *, same_meters: bool, comparable: bool) -> KnownErrors | None:
    """Return the bounds of the changes; None without a baseline, or where a record knows no bounds.

    :param comparable: whether kWh and g/kWh of the two mean the same thing.
    """
    if not baselines or any(record.uncertainty is None for record in (*baselines, *runs)):
        return None
    if not comparable:
        return KnownErrors(emissions_percent=None, energy_per_sample_percent=None, same_meters=same_meters)
    return KnownErrors(
        emissions_percent=_change(
            _mean(baselines, lambda u: (u.emissions_low_gco2eq, u.emissions_high_gco2eq)),
            _mean(runs, lambda u: (u.emissions_low_gco2eq, u.emissions_high_gco2eq)),
        ),
        energy_per_sample_percent=energy_per_sample_bounds(baselines, runs),
        same_meters=same_meters,
    )


def energy_per_sample_bounds(baselines: _Records, runs: _Records) -> Interval | None:
    """Return the bounds of the change in kWh per sample, before PUE, in percent; None where they are not known."""
    before, after = (_per_sample(side) for side in (baselines, runs))
    return None if before is None or after is None else _change(before, after)


def _per_sample(records: _Records) -> tuple[float, float] | None:
    samples = sum(record.samples for record in records)
    if samples == 0 or any(record.uncertainty is None for record in records):
        return None
    low, high = _mean(records, lambda u: (u.energy_low_kwh, u.energy_high_kwh))
    return low * len(records) / samples, high * len(records) / samples


def _mean(records: _Records, bounds: _Bounds) -> tuple[float, float]:
    found = [bounds(record.uncertainty) for record in records if record.uncertainty is not None]
    return math.fsum(low for low, _ in found) / len(found), math.fsum(high for _, high in found) / len(found)


def _change(before: tuple[float, float], after: tuple[float, float]) -> Interval | None:
    if before[0] <= 0:
        return None
    return Interval(low=100.0 * (after[0] / before[1] - 1.0), high=100.0 * (after[1] / before[0] - 1.0))
