"""Energy x intensity over time: an interval of energy becomes rows, one for each interval of the grid."""

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from itertools import pairwise

from include.errors import MeasurementError
from include.moments import as_utc, format_moment
from include.records import LedgerRow, Phase, Reading
from include.units import emissions_gco2eq

Energy = tuple[float, float, float]
"""CPU, GPU and RAM in kWh, before PUE."""

_MACHINE_FIGURES = ("machine_cpu_energy_kwh", "machine_gpu_energy_kwh", "machine_ram_energy_kwh")


def book_interval(
    start: datetime,
    end: datetime,
    energy: Energy,
    readings: Sequence[Reading],
    *,
    phase: Phase,
    attempt: int,
    monotonic_s: float,
    pue: float,
) -> list[LedgerRow]:
    """Split an interval at the readings' boundaries; energy in proportion to time, emissions = E x PUE x I.

    Where readings overlap, the later one in the sequence counts. The last row takes the remainder, so that the rows' energy
    sums to the given energy. All rows carry ``monotonic_s``; ``spread_monotonic`` gives each its own.

    :raises MeasurementError: an interval that does not run forwards, or a part of it that no reading covers.
    """
    start, end = (
        as_utc(start),
        as_utc(end),
    )  # two local times of one zone are subtracted as clock readings, not as moments
    if end <= start:
        raise MeasurementError(
            f"an energy interval from {format_moment(start)} to {format_moment(end)} does not run forwards"
        )
    parts = _parts(start, end, readings)
    left = list(energy)
    rows = []
    for part_start, part_end, reading in parts:
        share = (part_end - part_start) / (end - start)
        used = tuple(left) if part_end == end else tuple(total * share for total in energy)
        left = [max(0.0, rest - part) for rest, part in zip(left, used, strict=True)]
        rows.append(
            LedgerRow(
                start=part_start,
                end=part_end,
                phase=phase,
                attempt=attempt,
                monotonic_s=monotonic_s,
                cpu_energy_kwh=used[0],
                gpu_energy_kwh=used[1],
                ram_energy_kwh=used[2],
                carbon_intensity_gco2eq_per_kwh=reading.carbon_intensity_gco2eq_per_kwh,
                intensity_kind=reading.kind,
                intensity_source=reading.source,
                signal_type=reading.signal_type,
                emission_factor_type=reading.emission_factor_type,
                emissions_gco2eq=emissions_gco2eq(math.fsum(used), reading.carbon_intensity_gco2eq_per_kwh, pue),
            )
        )
    return rows


def spread_monotonic(rows: Sequence[LedgerRow], monotonic_start_s: float) -> list[LedgerRow]:
    """Give each row of one booked interval the monotonic second at its own end, in proportion to time."""
    start, end, end_s = rows[0].start, rows[-1].end, rows[-1].monotonic_s
    pace = (end_s - monotonic_start_s) / (end - start).total_seconds()
    inner = [
        replace(row, monotonic_s=monotonic_start_s + pace * (row.end - start).total_seconds()) for row in rows[:-1]
    ]
    return [*inner, rows[-1]]


def spread_machine_energy(rows: Sequence[LedgerRow], energy: Energy) -> list[LedgerRow]:
    """Give each row of one booked interval its part of the machine's energy, in proportion to time.

    The last row takes the remainder, so that the rows' figures sum to the given energy.
    """
    start, end = rows[0].start, rows[-1].end
    left = list(energy)
    spread = []
    for row in rows:
        share = (row.end - row.start) / (end - start)
        used = tuple(left) if row is rows[-1] else tuple(total * share for total in energy)
        left = [max(0.0, rest - part) for rest, part in zip(left, used, strict=True)]
        figures = dict(zip(_MACHINE_FIGURES, used, strict=True))
        spread.append(replace(row, **figures))  # type: ignore[arg-type]  # three floats by name
    return spread


def _parts(start: datetime, end: datetime, readings: Sequence[Reading]) -> list[tuple[datetime, datetime, Reading]]:
    relevant = [reading for reading in readings if reading.start < end and reading.end > start]
    cuts = {cut for reading in relevant for cut in (reading.start, reading.end) if start < cut < end}
    parts: list[tuple[datetime, datetime, Reading]] = []
    for part_start, part_end in pairwise(sorted({start, end} | cuts)):
        reading = _covering(part_start, part_end, relevant)
        if parts and parts[-1][2] is reading:  # the boundary belonged to a reading that does not count here
            parts[-1] = (parts[-1][0], part_end, reading)
        else:
            parts.append((part_start, part_end, reading))
    return parts


def _covering(start: datetime, end: datetime, readings: Sequence[Reading]) -> Reading:
    for reading in reversed(readings):
        if reading.covers(start):
            return reading
    raise MeasurementError(f"no reading of the grid covers {format_moment(start)} to {format_moment(end)}")
