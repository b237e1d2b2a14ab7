"""What the rows of a ledger come to, in the words of a record, finished or not."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from include.pipeline.accounts.machine_energy import machine_energy
from include.records import EmissionFactorType, EnergyTotals, LedgerRow, SignalType
from include.tracker import emissions_interval, summarise


def figures_of(rows: Sequence[LedgerRow], methods: Mapping[str, str]) -> dict[str, Any]:
    """Return a record's fields that follow from the rows alone.

    :param methods: how each component's energy was obtained.
    :raises MeasurementError: no rows, or rows without any energy.
    """
    summary = summarise(rows)
    totals = {"cpu": summary.cpu_energy_kwh, "gpu": summary.gpu_energy_kwh, "ram": summary.ram_energy_kwh}
    return {
        "started_at": summary.started_at,
        "ended_at": summary.ended_at,
        "attempts": summary.attempts,
        "energy_kwh": EnergyTotals.model_validate({**totals, "total": summary.total_energy_kwh, "methods": methods}),
        "machine_energy_kwh": machine_energy(rows),
        "energy_train_kwh": summary.train.energy_kwh,
        "emissions_gco2eq": summary.emissions_gco2eq,
        "emissions_train_gco2eq": summary.train.emissions_gco2eq,
        "mean_carbon_intensity_gco2eq_per_kwh": summary.mean_carbon_intensity_gco2eq_per_kwh,
        "intensity_kinds": summary.intensity_kinds,
        "uncertainty": emissions_interval(rows, methods),
    }


def foreign_share(rows: Sequence[LedgerRow], own: tuple[SignalType, EmissionFactorType]) -> float:
    """Return the share of the energy that was booked at another signal or factor type than the run's own."""
    foreign = [row for row in rows if (row.signal_type, row.emission_factor_type) != own]
    return math.fsum(row.energy_kwh for row in foreign) / math.fsum(row.energy_kwh for row in rows)


def real_duration_s(rows: Sequence[LedgerRow], *, speed: float) -> float:
    """Return how long the rows lasted in real seconds: failed attempts count as their energy does, pauses do not.

    :param speed: of policy time, above 1 under replay.
    """
    return math.fsum((row.end - row.start).total_seconds() for row in rows) / speed
