"""Changes and parts of one side's runs against the other's; with several runs a side, those of the means."""

import math
from collections.abc import Sequence
from dataclasses import replace

from include.records import TrainingRecord
from include.report.attribution import Attribution, attribute
from include.report.factors import factors_of, grid_intensity
from include.report.fairness.differences import ENERGY, INTENSITY, agree_on
from include.report.model import AttributionParts, Changes, Fairness
from include.report.waits.wait import avoided_gco2eq
from include.units import relative_change_percent

Records = Sequence[TrainingRecord]


def changes_of(baselines: Records, runs: Records, fairness: Fairness) -> Changes:
    """Return the changes of the means; None wherever two figures do not mean the same thing."""
    energy = agree_on(fairness, ENERGY)
    intensity = agree_on(fairness, INTENSITY)
    memory = agree_on(fairness, ("peak_memory_kind",))

    def percent(comparable: bool, after: float, before: float) -> float | None:
        return relative_change_percent(after, before) if comparable else None

    return Changes(
        emissions_percent=percent(energy and intensity, mean_emissions(runs), mean_emissions(baselines)),
        energy_percent=percent(energy, _mean_energy(runs), _mean_energy(baselines)),
        mean_intensity_percent=percent(intensity, _mean_intensity(runs), _mean_intensity(baselines)),
        peak_memory_percent=percent(memory, _mean_memory(runs), _mean_memory(baselines)),
        accuracy_points=100.0 * (_mean_accuracy(runs) - _mean_accuracy(baselines)),
        duration_percent=percent(True, _mean_duration(runs), _mean_duration(baselines)),
    )


def parts_of(baselines: Records, runs: Records) -> AttributionParts:
    """Return the mean over all pairs of the parts: they sum to the difference of the means without a residual."""
    # a baseline is taken as it ran: what its own wait did for it is weather to the run
    before = [replace(factors_of(record), submission_intensity_gco2eq_per_kwh=None) for record in baselines]
    after = [factors_of(record) for record in runs]
    pairs = [attribute(b, a) for b in before for a in after]
    return AttributionParts(
        work=_mean_part(pairs, "work"),
        efficiency=_mean_part(pairs, "efficiency"),
        grid_conditions=_mean_part(pairs, "grid_conditions"),
        waiting=_mean_part(pairs, "waiting"),
        total=_mean_part(pairs, "total"),
    )


def waiting_part(runs: Records) -> AttributionParts:
    """Return what is known without a comparable baseline: waiting alone."""
    avoided = avoided_gco2eq(runs)
    return AttributionParts(waiting=None if avoided is None else -avoided)


def mean_emissions(records: Records) -> float:
    """Return the mean emissions in g."""
    return _mean([record.emissions_gco2eq for record in records])


def _mean_part(pairs: Sequence[Attribution], name: str) -> float:
    return _mean([getattr(pair, name) for pair in pairs])


def _mean_intensity(records: Records) -> float:
    energy_kwh = math.fsum(record.energy_kwh.total for record in records)
    if not energy_kwh:
        return _mean([grid_intensity(record) for record in records])
    return math.fsum(grid_intensity(r) * r.energy_kwh.total for r in records) / energy_kwh


def _mean_energy(records: Records) -> float:
    return _mean([record.energy_kwh.total for record in records])


def _mean_memory(records: Records) -> float:
    return _mean([float(record.peak_memory_bytes) for record in records])


def _mean_accuracy(records: Records) -> float:
    return _mean([record.test_accuracy for record in records])


def _mean_duration(records: Records) -> float:
    return _mean([record.duration_s for record in records])


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
