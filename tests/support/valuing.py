"""An interval of energy at readings of the grid, as rows that tests write or compare with."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from lowtide.records import KnownIntensity, LedgerRow, Phase, Reading, ValuedRow
from lowtide.tracker.emissions import value_rows


def value_interval(
    start: datetime,
    end: datetime,
    energy: tuple[float, float, float],
    readings: Sequence[Reading],
    *,
    phase: Phase,
    attempt: int,
    monotonic_s: float,
    pue: float,
) -> list[ValuedRow]:
    """Value an interval at readings that cover it; of two of one kind the later one in the sequence was learnt later."""
    cpu_kwh, gpu_kwh, ram_kwh = energy
    row = LedgerRow(
        start=start.astimezone(UTC),
        end=end.astimezone(UTC),
        phase=phase,
        attempt=attempt,
        monotonic_s=monotonic_s,
        cpu_energy_kwh=cpu_kwh,
        gpu_energy_kwh=gpu_kwh,
        ram_energy_kwh=ram_kwh,
    )
    near = [reading for reading in readings if reading.start < row.end and reading.end > row.start]
    known = [KnownIntensity(reading=r, learnt_at=row.start + k * timedelta(seconds=1)) for k, r in enumerate(near)]
    found = value_rows([row], known, pue=pue)
    assert not found.unvalued
    return list(found.rows)
