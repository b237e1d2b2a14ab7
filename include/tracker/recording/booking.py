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
    # two local times of one zone would be subtracted as clock readings, not as moments
    start, end = as_utc(start), as_utc(end)
    if end <= start:
        raise MeasurementError(
            f"an energy interval from {format_moment(start)} to {format_moment(end)} does not run forwards"
        )
    parts = _parts(start, end, readings)
    energies = _divided(energy, [(part_start, part_end) for part_start, part_end, _ in parts])
    return [
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
        for (part_start, part_end, reading), used in zip(parts, energies, strict=True)
    ]


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
    energies = _divided(energy, [(row.start, row.end) for row in rows])
    return [
        replace(row, **dict(zip(_MACHINE_FIGURES, used, strict=True)))  # type: ignore[arg-type]  # three floats by name
        for row, used in zip(rows, energies, strict=True)
    ]


def _divided(energy: Energy, spans: Sequence[tuple[datetime, datetime]]) -> list[Energy]:
    """Divide energy among spans that follow one another, in proportion to time."""
    whole = spans[-1][1] - spans[0][0]
    shares = [(end - start) / whole for start, end in spans]
    cpu, gpu, ram = (_shared(total_kwh, shares) for total_kwh in energy)
    return list(zip(cpu, gpu, ram, strict=True))


def _shared(total_kwh: float, shares: Sequence[float]) -> list[float]:
    # the last takes what is left, so that the parts sum to the whole
    parts = [total_kwh * share for share in shares[:-1]]
    left_kwh = total_kwh
    for part_kwh in parts:
        left_kwh = max(0.0, left_kwh - part_kwh)
    return [*parts, left_kwh]


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
