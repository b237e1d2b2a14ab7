"""What a ledger comes to: totals, shares and phases, and the same run had it begun when it was submitted."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

from lowtide.errors import MeasurementError
from lowtide.grid.series import best_known
from lowtide.records import Counterfactual, IntensityKind, KnownIntensity, LedgerRow, Meaning, Phase, Reading, ValuedRow
from lowtide.timeutil import as_utc, format_moment
from lowtide.units import emissions_gco2eq

# What a whole machine used over a run's rows: the upper bound of what the run is charged.


class MachineTotals(NamedTuple):
    """Energy in kWh before PUE; of GPUs, the selected ones'."""

    cpu: float
    gpu: float
    ram: float

    @property
    def total(self) -> float:
        """All three."""
        return math.fsum(self)


def machine_totals(rows: Sequence[LedgerRow]) -> MachineTotals | None:
    """Add the machine's energy up; None where it is not known for every row (a replayed meter, an older ledger)."""
    figures = [(row.machine_cpu_energy_kwh, row.machine_gpu_energy_kwh, row.machine_ram_energy_kwh) for row in rows]
    known = [(cpu, gpu, ram) for cpu, gpu, ram in figures if cpu is not None and gpu is not None and ram is not None]
    if not known or len(known) < len(figures):
        return None
    cpu, gpu, ram = (math.fsum(column) for column in zip(*known, strict=True))
    return MachineTotals(cpu, gpu, ram)


# The join of energy and intensity.


@dataclass(frozen=True, slots=True, kw_only=True)
class Valuation:
    """A ledger's energy at the intensities that were known at a time; what no intensity is known of is ``unvalued``."""

    rows: tuple[ValuedRow, ...]
    unvalued: tuple[LedgerRow, ...] = ()

    @property
    def energy_kwh(self) -> float:
        """All energy before PUE, valued or not."""
        return total_energy_kwh((*self.rows, *self.unvalued))


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
    return Valuation(rows=tuple(valued), unvalued=tuple(unvalued))


def _row_parts(row: LedgerRow, steps: Sequence[KnownIntensity]) -> list[tuple[LedgerRow, KnownIntensity | None]]:
    by_reading = {id(step.reading): step for step in steps}
    spans = _spans(row.start, row.end, [step.reading for step in steps])
    if len(spans) == 1:
        return [(row, None if spans[0][2] is None else by_reading[id(spans[0][2])])]
    columns = {
        name: _shared(total_kwh, [(end - start) / (row.end - row.start) for start, end, _ in spans])
        for name in _DIVIDED
        if (total_kwh := getattr(row, name)) is not None
    }
    parts = []
    for k, (start, end, reading) in enumerate(spans):
        used = {name: column[k] for name, column in columns.items()}
        part = replace(row, start=start, end=end, **used)  # type: ignore[arg-type]  # figures by name
        parts.append((part, None if reading is None else by_reading[id(reading)]))
    return parts


def _valued(row: LedgerRow, reading: Reading, pue: float, learnt_at: datetime | None = None) -> ValuedRow:
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

Energy = tuple[float, float, float]
"""CPU, GPU and RAM in kWh, before PUE."""


def value_interval(
    start: datetime,
    end: datetime,
    energy: Energy,
    readings: Sequence[Reading],
    *,
    phase: Phase,
    attempt: int,
    monotonic_s: float,
    pue: float,
) -> list[ValuedRow]:
    """Value an interval at readings of which, where they overlap, the later one in the sequence counts.

    :raises MeasurementError: an interval that does not run forwards, or a part of it that no reading covers.
    """
    # two local times of one zone would be subtracted as clock readings, not as times
    start, end = as_utc(start), as_utc(end)
    if end <= start:
        raise MeasurementError(
            f"an energy interval from {format_moment(start)} to {format_moment(end)} does not run forwards"
        )
    spans = _spans(start, end, readings)
    columns = [_shared(total, [(b - a) / (end - start) for a, b, _ in spans]) for total in energy]
    rows = []
    for (part_start, part_end, reading), cpu, gpu, ram in zip(spans, *columns, strict=True):
        if reading is None:
            raise MeasurementError(
                f"no reading of the grid covers {format_moment(part_start)} to {format_moment(part_end)}"
            )
        row = LedgerRow(
            start=part_start,
            end=part_end,
            phase=phase,
            attempt=attempt,
            monotonic_s=monotonic_s,
            cpu_energy_kwh=cpu,
            gpu_energy_kwh=gpu,
            ram_energy_kwh=ram,
        )
        rows.append(_valued(row, reading, pue))
    return rows


def _shared(total_kwh: float, shares: Sequence[float]) -> list[float]:
    # the last takes what is left, so that the parts sum to the whole
    parts = [total_kwh * share for share in shares[:-1]]
    left_kwh = total_kwh
    for part_kwh in parts:
        left_kwh = max(0.0, left_kwh - part_kwh)
    return [*parts, left_kwh]


def _spans(
    start: datetime, end: datetime, readings: Sequence[Reading]
) -> list[tuple[datetime, datetime, Reading | None]]:
    relevant = [reading for reading in readings if reading.start < end and reading.end > start]
    cuts = {cut for reading in relevant for cut in (reading.start, reading.end) if start < cut < end}
    spans: list[tuple[datetime, datetime, Reading | None]] = []
    for part_start, part_end in pairwise(sorted({start, end} | cuts)):
        reading = next((reading for reading in reversed(relevant) if reading.covers(part_start)), None)
        if spans and spans[-1][2] is reading:  # the boundary belonged to a reading that does not count here
            spans[-1] = (spans[-1][0], part_end, reading)
        else:
            spans.append((part_start, part_end, reading))
    return spans


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseTotals:
    """Energy before PUE in kWh and emissions in g of one phase; its duration in policy time."""

    energy_kwh: float
    emissions_gco2eq: float
    duration_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerSummary:
    """Totals of all rows. The mean intensity is emissions / (valued energy x PUE).

    ``attempts`` is the highest attempt with a row; ``intensity_kinds`` are shares of the energy and sum to 1.
    """

    cpu_energy_kwh: float
    gpu_energy_kwh: float
    ram_energy_kwh: float
    total_energy_kwh: float
    unvalued_energy_kwh: float
    emissions_gco2eq: float
    mean_carbon_intensity_gco2eq_per_kwh: float
    intensity_kinds: dict[IntensityKind, float]
    phases: dict[Phase, PhaseTotals]
    started_at: datetime
    ended_at: datetime
    attempts: int

    @property
    def train(self) -> PhaseTotals:
        """The training alone, without start-up, checkpoints and evaluation."""
        return self.phases.get(Phase.TRAIN, PhaseTotals(energy_kwh=0.0, emissions_gco2eq=0.0, duration_s=0.0))


def summarise(rows: Sequence[ValuedRow], unvalued: Sequence[LedgerRow] = (), *, pue: float = 1.0) -> LedgerSummary:
    """Add the rows up with ``math.fsum``, so that anyone who adds them up gets the same to 1e-9.

    :param unvalued: rows without an intensity: they count as energy, and in no emissions and no mean intensity.
    :raises MeasurementError: no rows, or rows without any energy: no mean intensity exists and the meter cannot have worked.
    """
    every: list[LedgerRow] = [*rows, *unvalued]
    if not every:
        raise MeasurementError("the ledger has no whole row; this run's energy is unknown")
    total_kwh, valued_kwh = total_energy_kwh(every), total_energy_kwh(rows)
    if total_kwh <= 0:
        raise MeasurementError(
            "the energy meter counted nothing in the whole run; check what it can read on this machine"
        )
    grams = math.fsum(row.emissions_gco2eq for row in rows)
    return LedgerSummary(
        cpu_energy_kwh=math.fsum(row.cpu_energy_kwh for row in every),
        gpu_energy_kwh=math.fsum(row.gpu_energy_kwh for row in every),
        ram_energy_kwh=math.fsum(row.ram_energy_kwh for row in every),
        total_energy_kwh=total_kwh,
        unvalued_energy_kwh=total_energy_kwh(unvalued),
        emissions_gco2eq=grams,
        mean_carbon_intensity_gco2eq_per_kwh=grams / (valued_kwh * pue) if valued_kwh > 0 else 0.0,
        intensity_kinds=intensity_shares(rows),
        phases={phase: _phase_totals(every, phase) for phase in Phase if any(row.phase is phase for row in every)},
        started_at=min(row.start for row in every),
        ended_at=max(row.end for row in every),
        attempts=max(row.attempt for row in every),
    )


def total_energy_kwh(rows: Iterable[LedgerRow]) -> float:
    """CPU, GPU and RAM of all rows, before PUE."""
    return math.fsum(row.energy_kwh for row in rows)


def intensity_shares(rows: Sequence[ValuedRow]) -> dict[IntensityKind, float]:
    """Return the share of the valued energy at each kind of intensity; empty where there is none."""
    total_kwh = total_energy_kwh(rows)
    kinds = sorted({row.intensity_kind for row in rows}) if total_kwh > 0 else []
    return {kind: total_energy_kwh(row for row in rows if row.intensity_kind is kind) / total_kwh for kind in kinds}


def _phase_totals(rows: Sequence[LedgerRow], phase: Phase) -> PhaseTotals:
    own = [row for row in rows if row.phase is phase]
    return PhaseTotals(
        energy_kwh=total_energy_kwh(own),
        emissions_gco2eq=math.fsum(row.emissions_gco2eq for row in own if isinstance(row, ValuedRow)),
        duration_s=math.fsum((row.end - row.start).total_seconds() for row in own),
    )


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
    try:
        shifted = _shifted(_joined(rows) if in_one_piece else rows, submitted_at, readings, pue)
    except MeasurementError:  # only raised where no reading covers a part: the question has no answer
        return None
    grams = math.fsum(row.emissions_gco2eq for row in shifted)
    return Counterfactual(
        start=submitted_at,
        carbon_intensity_gco2eq_per_kwh=grams / (total_energy_kwh(shifted) * pue),
        emissions_gco2eq=grams,
        intensity_kinds=intensity_shares(shifted),
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


def _shifted(
    rows: Sequence[LedgerRow], submitted_at: datetime, readings: Sequence[Reading], pue: float
) -> list[ValuedRow]:
    shift = submitted_at - rows[0].start
    ahead = list(readings)
    shifted: list[ValuedRow] = []
    for row in rows:
        start, end = row.start + shift, row.end + shift
        while ahead and ahead[0].end <= start:  # a run of a month has half a million rows
            ahead.pop(0)
        shifted += value_interval(
            start,
            end,
            (row.cpu_energy_kwh, row.gpu_energy_kwh, row.ram_energy_kwh),
            ahead,
            phase=row.phase,
            attempt=row.attempt,
            monotonic_s=row.monotonic_s,
            pue=pue,
        )
    return shifted
