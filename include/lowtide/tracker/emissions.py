"""What a ledger comes to: totals, shares and phases, and the same run had it begun when it was submitted."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from functools import cached_property
from itertools import pairwise

from lowtide.grid.series import best_known
from lowtide.records import (
    Counterfactual,
    IntensityKind,
    KnownIntensity,
    LedgerRow,
    MachineEnergy,
    Meaning,
    Phase,
    Reading,
    ValuedRow,
)
from lowtide.units import emissions_gco2eq

# What a whole machine used over a run's rows: the upper bound of what the run is charged.


def machine_totals(rows: Sequence[LedgerRow]) -> MachineEnergy | None:
    """Add the machine's energy up; None where it is not known for every row, as with a replayed meter."""
    figures = [(row.machine_cpu_energy_kwh, row.machine_gpu_energy_kwh, row.machine_ram_energy_kwh) for row in rows]
    known = [(cpu, gpu, ram) for cpu, gpu, ram in figures if cpu is not None and gpu is not None and ram is not None]
    if not known or len(known) < len(figures):
        return None
    cpu, gpu, ram = (math.fsum(column) for column in zip(*known, strict=True))
    return MachineEnergy(total=math.fsum((cpu, gpu, ram)), cpu=cpu, gpu=gpu, ram=ram)


# The join of energy and intensity.


@dataclass(frozen=True, kw_only=True)
class Valuation:
    """A ledger's energy at the intensities that were known at a time; what no intensity is known of is ``unvalued``.

    Unvalued energy counts as energy, and in no emissions and no mean intensity. Sums are by ``math.fsum``, so that anyone who
    adds the rows up gets the same to 1e-9.
    """

    rows: tuple[ValuedRow, ...]
    unvalued: tuple[LedgerRow, ...] = ()
    pue: float = 1.0

    @property
    def every(self) -> tuple[LedgerRow, ...]:
        """All rows, valued or not; the valued ones first."""
        return (*self.rows, *self.unvalued)

    @cached_property
    def energy_kwh(self) -> float:
        """All energy before PUE, valued or not."""
        return total_energy_kwh(self.every)

    @cached_property
    def emissions_gco2eq(self) -> float:
        """Emissions in g, with PUE."""
        return math.fsum(row.emissions_gco2eq for row in self.rows)

    @property
    def mean_carbon_intensity_gco2eq_per_kwh(self) -> float:
        """Emissions / (valued energy x PUE); 0 where nothing is valued."""
        valued_kwh = total_energy_kwh(self.rows)
        return self.emissions_gco2eq / (valued_kwh * self.pue) if valued_kwh > 0 else 0.0

    @property
    def intensity_kinds(self) -> dict[IntensityKind, float]:
        """The share of the valued energy at each kind of intensity, which sum to 1; empty where there is none."""
        valued_kwh = total_energy_kwh(self.rows)
        kinds = sorted({row.intensity_kind for row in self.rows}) if valued_kwh > 0 else []
        return {
            kind: total_energy_kwh(row for row in self.rows if row.intensity_kind is kind) / valued_kwh
            for kind in kinds
        }

    def of(self, phase: Phase) -> "Valuation":
        """Return what was used and emitted in a phase."""
        rows = tuple(row for row in self.rows if row.phase is phase)
        return replace(self, rows=rows, unvalued=tuple(row for row in self.unvalued if row.phase is phase))


def value_rows(
    rows: Sequence[LedgerRow],
    entries: Sequence[KnownIntensity],
    *,
    pue: float,
    meaning: Meaning | None = None,
    as_of: datetime | None = None,
) -> Valuation:
    """Join rows and intensities: rows are cut where the intensity changes, energy in proportion to time, emissions = E x PUE x I.

    The parts of a row sum to the row. ``meaning`` and ``as_of`` as in ``best_known``.
    """
    steps = best_known(entries, meaning=meaning, as_of=as_of)
    starts = [step.reading.start for step in steps]
    valued: list[ValuedRow] = []
    unvalued: list[LedgerRow] = []
    for row in rows:
        first = max(0, bisect_right(starts, row.start) - 1)
        for part, step in _row_parts(row, steps[first : bisect_left(starts, row.end)]):
            if step is None:
                unvalued.append(part)
            else:
                valued.append(_valued(part, step.reading, pue, step.learnt_at))
    return Valuation(rows=tuple(valued), unvalued=tuple(unvalued), pue=pue)


def _row_parts(row: LedgerRow, steps: Sequence[KnownIntensity]) -> list[tuple[LedgerRow, KnownIntensity | None]]:
    edges = {edge for step in steps for edge in (step.reading.start, step.reading.end) if row.start < edge < row.end}
    return [
        (part, next((step for step in steps if step.reading.covers(part.start)), None))
        for part in split_row(row, sorted(edges))
    ]


def split_row(row: LedgerRow, times: Sequence[datetime]) -> list[LedgerRow]:
    """Split a row at times within it, energy in proportion to time; the last part takes what is left, so that the parts sum to it."""
    spans = list(pairwise((row.start, *times, row.end)))
    if len(spans) == 1:
        return [row]
    shares = [(end - start) / (row.end - row.start) for start, end in spans]
    columns = {name: _shared(kwh, shares) for name in _DIVIDED if (kwh := getattr(row, name)) is not None}
    return [
        replace(row, start=start, end=end, **{name: column[k] for name, column in columns.items()})  # type: ignore[arg-type]  # by name
        for k, (start, end) in enumerate(spans)
    ]


def _valued(row: LedgerRow, reading: Reading, pue: float, learnt_at: datetime) -> ValuedRow:
    return ValuedRow(
        **{name: getattr(row, name) for name in _ROW_FIELDS},
        carbon_intensity_gco2eq_per_kwh=reading.carbon_intensity_gco2eq_per_kwh,
        intensity_kind=reading.kind,
        intensity_source=reading.source,
        signal_type=reading.signal_type,
        emission_factor_type=reading.emission_factor_type,
        emissions_gco2eq=emissions_gco2eq(row.energy_kwh, reading.carbon_intensity_gco2eq_per_kwh, pue),
        learnt_at=learnt_at,
    )


_ROW_FIELDS = tuple(field.name for field in fields(LedgerRow))
_DIVIDED = tuple(name for name in _ROW_FIELDS if name.endswith("_energy_kwh"))


def _shared(total_kwh: float, shares: Sequence[float]) -> list[float]:
    parts = [total_kwh * share for share in shares[:-1]]
    left_kwh = total_kwh
    for part_kwh in parts:
        left_kwh = max(0.0, left_kwh - part_kwh)
    return [*parts, left_kwh]


def total_energy_kwh(rows: Iterable[LedgerRow]) -> float:
    """CPU, GPU and RAM of all rows, before PUE."""
    return math.fsum(row.energy_kwh for row in rows)


def counterfactual(
    rows: Sequence[LedgerRow],
    submitted_at: datetime,
    readings: Sequence[Reading],
    *,
    pue: float,
    in_one_piece: bool = False,
) -> Counterfactual | None:
    """Shift the run's own energy curve to begin at submission and value it at the grid of then.

    :param readings: the grid's readings from submission on, oldest first.
    :param in_one_piece: leave out what lies between attempts: without waiting, there would have been no pauses for the grid.
    :returns: None where the readings do not cover the shifted curve, or where there is no energy to shift.
    """
    if not rows or total_energy_kwh(rows) <= 0:
        return None
    ahead = _joined(rows) if in_one_piece else rows
    shift = submitted_at - ahead[0].start
    shifted = [replace(row, start=row.start + shift, end=row.end + shift) for row in ahead]
    found = value_rows(shifted, [KnownIntensity(reading=one, learnt_at=submitted_at) for one in readings], pue=pue)
    if found.unvalued:
        return None
    return Counterfactual(
        start=submitted_at,
        carbon_intensity_gco2eq_per_kwh=found.mean_carbon_intensity_gco2eq_per_kwh,
        emissions_gco2eq=found.emissions_gco2eq,
        intensity_kinds=found.intensity_kinds,
    )


def _joined(rows: Sequence[LedgerRow]) -> list[LedgerRow]:
    """Return the rows with each attempt moved up to the end of the one before."""
    joined: list[LedgerRow] = []
    earlier = timedelta(0)
    for row in rows:
        if joined and row.attempt != joined[-1].attempt:
            earlier = row.start - joined[-1].end
        joined.append(replace(row, start=row.start - earlier, end=row.end - earlier))
    return joined
