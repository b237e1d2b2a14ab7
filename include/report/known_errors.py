"""Between which bounds a change lies if every method errs as far as is known, in the two runs independently."""

import math
from collections.abc import Callable, Sequence

from include.records import EmissionsInterval, TrainingRecord
from include.report.repeats.model import Interval, KnownErrors

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
