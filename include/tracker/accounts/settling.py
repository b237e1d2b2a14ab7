"""Books rows again at the grid's actual figures; what a row was booked at first stays in it."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import pairwise

from include.records import EmissionFactorType, IntensityKind, LedgerRow, Reading, SignalType
from include.units import emissions_gco2eq

_RANK = {IntensityKind.MEASURED: 2, IntensityKind.ESTIMATED: 1}
_DIVIDED = (
    "cpu_energy_kwh",
    "gpu_energy_kwh",
    "ram_energy_kwh",
    "machine_cpu_energy_kwh",
    "machine_gpu_energy_kwh",
    "machine_ram_energy_kwh",
)
Meaning = tuple[SignalType, EmissionFactorType]


def actual_readings(readings: Sequence[Reading], meaning: Meaning, *, now: datetime) -> list[Reading]:
    """Return what may settle an account, in time order: actual figures of the same meaning, of intervals that are over.

    The figure of an interval that still runs is a part of it, and would be settled again an hour later.
    """
    sound = (r for r in readings if r.kind in _RANK and (r.signal_type, r.emission_factor_type) == meaning)
    return sorted((reading for reading in sound if reading.end <= now), key=lambda reading: reading.start)


def settle_rows(
    rows: Sequence[LedgerRow], actuals: Sequence[Reading], *, pue: float, settled_at: datetime
) -> list[LedgerRow]:
    """Return the rows, booked again wherever an actual figure is at least as good as theirs and says something else.

    A row is split where the actual figures' intervals meet; energy is divided in proportion to time and its sum stays.
    Replayed rows stay as they are: no grid ever had them. Settling twice with the same figures changes nothing more.

    :param actuals: from ``actual_readings``; where two overlap, the one that begins later counts.
    """
    starts = [reading.start for reading in actuals]
    longest = max((reading.end - reading.start for reading in actuals), default=None)
    settled: list[LedgerRow] = []
    for row in rows:
        if longest is None or row.intensity_kind is IntensityKind.REPLAYED:
            settled.append(row)
            continue
        near = actuals[bisect_right(starts, row.start - longest) : bisect_right(starts, row.end)]
        useful = [r for r in near if r.start < row.end and r.end > row.start and _says_more(r, row)]
        settled += _rebooked(row, useful, pue, settled_at) if useful else [row]
    return settled


def _says_more(reading: Reading, row: LedgerRow) -> bool:
    meaning = (row.signal_type, row.emission_factor_type)
    foreign = meaning != (reading.signal_type, reading.emission_factor_type)
    if not foreign and _RANK[reading.kind] < _RANK.get(row.intensity_kind, 0):
        return False
    known = (row.carbon_intensity_gco2eq_per_kwh, row.intensity_kind, row.intensity_source)
    return foreign or known != (reading.carbon_intensity_gco2eq_per_kwh, reading.kind, reading.source)


def _rebooked(row: LedgerRow, actuals: Sequence[Reading], pue: float, settled_at: datetime) -> Iterator[LedgerRow]:
    cuts = {cut for reading in actuals for cut in (reading.start, reading.end) if row.start < cut < row.end}
    for part in _parts(row, sorted(cuts), pue):
        reading = next((r for r in reversed(actuals) if r.covers(part.start)), None)
        yield part if reading is None else _booked_at(part, reading, pue, settled_at)


def _parts(row: LedgerRow, cuts: Sequence[datetime], pue: float) -> Iterator[LedgerRow]:
    if not cuts:
        yield row
        return
    left = {name: getattr(row, name) for name in _DIVIDED if getattr(row, name) is not None}
    whole = dict(left)
    for start, end in pairwise((row.start, *cuts, row.end)):
        share = (end - start) / (row.end - row.start)
        used = dict(left) if end == row.end else {name: total * share for name, total in whole.items()}
        left = {name: max(0.0, rest - used[name]) for name, rest in left.items()}
        clock_s = row.monotonic_s - (row.end - end).total_seconds()  # no replayed row comes here: time is real
        yield _with_emissions(replace(row, start=start, end=end, monotonic_s=clock_s, **used), pue)


def _with_emissions(row: LedgerRow, pue: float) -> LedgerRow:
    """Return a part of a row with its part of the emissions, of the first booking too."""
    row = replace(row, emissions_gco2eq=emissions_gco2eq(row.energy_kwh, row.carbon_intensity_gco2eq_per_kwh, pue))
    if row.booked_carbon_intensity_gco2eq_per_kwh is None:
        return row
    first = emissions_gco2eq(row.energy_kwh, row.booked_carbon_intensity_gco2eq_per_kwh, pue)
    return replace(row, booked_emissions_gco2eq=first)


def _booked_at(row: LedgerRow, reading: Reading, pue: float, settled_at: datetime) -> LedgerRow:
    if row.settled_at is None:
        row = replace(
            row,
            booked_carbon_intensity_gco2eq_per_kwh=row.carbon_intensity_gco2eq_per_kwh,
            booked_intensity_kind=row.intensity_kind,
            booked_intensity_source=row.intensity_source,
            booked_emissions_gco2eq=row.emissions_gco2eq,
        )
    intensity = reading.carbon_intensity_gco2eq_per_kwh
    return replace(
        row,
        carbon_intensity_gco2eq_per_kwh=intensity,
        intensity_kind=reading.kind,
        intensity_source=reading.source,
        signal_type=reading.signal_type,
        emission_factor_type=reading.emission_factor_type,
        emissions_gco2eq=emissions_gco2eq(row.energy_kwh, intensity, pue),
        settled_at=settled_at,
    )
