"""Readings with closed-form intensities, shared by the tracker's tests."""

from collections.abc import Callable, Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from lowtide.records import (
    EmissionFactorType,
    IntensityKind,
    KnownIntensity,
    LedgerRow,
    Phase,
    Reading,
    SignalType,
    ValuedRow,
    read_intensity,
)
from lowtide.tracker.emissions import Valuation, value_rows
from lowtide.tracker.ledger import read_ledger

T0 = datetime(2025, 4, 15, 5, 0, tzinfo=UTC)


def reading(
    start: datetime,
    end: datetime,
    intensity: float,
    *,
    kind: IntensityKind = IntensityKind.MEASURED,
    source: str = "test",
) -> Reading:
    return Reading(
        zone="GB",
        start=start,
        end=end,
        carbon_intensity_gco2eq_per_kwh=intensity,
        source=source,
        kind=kind,
        signal_type=SignalType.AVERAGE,
        emission_factor_type=EmissionFactorType.DIRECT,
    )


def sampled(
    start: datetime, hours: float, step_s: float, intensity: Callable[[float], float], **origin: object
) -> list[Reading]:
    """Readings whose value is the function at the middle of each interval, in hours since the start."""
    step = timedelta(seconds=step_s)
    count = round(hours * 3600 / step_s)
    middles = [(k + 0.5) * step_s / 3600 for k in range(count)]
    return [reading(start + k * step, start + (k + 1) * step, intensity(h)) for k, h in enumerate(middles)]


def constant(start: datetime, end: datetime) -> list[Reading]:
    """The grid at 100 g/kWh, whenever it is asked for."""
    return [reading(start - timedelta(days=1), end + timedelta(days=1), 100.0)]


def row(
    k: int = 0, *, attempt: int = 1, seconds: float = 5.0, energy: tuple[float, float, float] = (1e-3, 2e-3, 5e-4)
) -> LedgerRow:
    """The k-th of a chain of rows of equal length."""
    return LedgerRow(
        start=T0 + timedelta(seconds=k * seconds),
        end=T0 + timedelta(seconds=(k + 1) * seconds),
        phase=Phase.TRAIN,
        attempt=attempt,
        monotonic_s=(k + 1) * seconds,
        cpu_energy_kwh=energy[0],
        gpu_energy_kwh=energy[1],
        ram_energy_kwh=energy[2],
    )


def valued(k: int = 0, **how: Any) -> ValuedRow:
    """The same row at a measured 100 g/kWh."""
    plain = row(k, **how)
    return ValuedRow(
        **{field.name: getattr(plain, field.name) for field in fields(LedgerRow)},
        carbon_intensity_gco2eq_per_kwh=100.0,
        intensity_kind=IntensityKind.MEASURED,
        intensity_source="test",
        signal_type=SignalType.AVERAGE,
        emission_factor_type=EmissionFactorType.DIRECT,
        emissions_gco2eq=plain.energy_kwh * 100.0,
    )


def known(readings: Sequence[Reading], learnt_at: datetime = T0) -> list[KnownIntensity]:
    """The readings, all learnt at one time."""
    return [KnownIntensity(reading=one, learnt_at=learnt_at) for one in readings]


def valued_ledger(path: Path, *, pue: float = 1.0) -> Valuation:
    """A ledger's rows at the intensities beside it."""
    return value_rows(read_ledger(path).rows, read_intensity(path.parent)[0], pue=pue)
