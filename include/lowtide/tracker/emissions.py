"""What a ledger comes to: totals, shares and phases, and the same run had it begun when it was submitted."""

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

from lowtide.errors import MeasurementError
from lowtide.records import (
    Counterfactual,
    EmissionFactorType,
    FunctionalUnit,
    IntensityKind,
    LedgerRow,
    Phase,
    Reading,
    SciScore,
    SignalType,
)
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


# The Software Carbon Intensity score, ISO/IEC 21031:2024: SCI = (O + M) per R, with M = TE x TS x RS.


def embodied_part_gco2eq(
    hardware_gco2eq: float, *, duration_s: float, lifespan_s: float, resource_share: float
) -> float:
    """Return a run's part of its hardware's embodied emissions in grams: M = TE x TS x RS.

    :param hardware_gco2eq: TE, of the whole hardware over its life.
    :param duration_s: how long the hardware was reserved; TS is its share of the lifespan.
    :param resource_share: RS, the share of the hardware that was reserved, 0 to 1.
    """
    return hardware_gco2eq * (duration_s / lifespan_s) * resource_share


def functional_units(unit: FunctionalUnit, *, epochs: int, samples: int) -> float:
    """Return how many of the functional unit R a run is."""
    return {"run": 1.0, "epoch": float(epochs), "1000_samples": samples / 1000}[unit]


def sci_score(
    operational_gco2eq: float, embodied_gco2eq: float | None, *, unit: FunctionalUnit, units: float
) -> SciScore | None:
    """Return the score, location-based; None for a run of no units, which has no rate."""
    if units <= 0:
        return None
    return SciScore(
        gco2eq_per_unit=(operational_gco2eq + (embodied_gco2eq or 0.0)) / units,
        functional_unit=unit,
        units=units,
        operational_gco2eq=operational_gco2eq,
        embodied_gco2eq=embodied_gco2eq,
    )


def rescored(score: SciScore | None, operational_gco2eq: float) -> SciScore | None:
    """Return a score with other operational emissions, as after a settlement."""
    if score is None:
        return None
    return sci_score(operational_gco2eq, score.embodied_gco2eq, unit=score.functional_unit, units=score.units)


# Books rows again at the grid's actual figures; what a row was booked at first stays in it.


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


# Energy x intensity over time: an interval of energy becomes rows, one for each interval of the grid.


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
    parts = _booking_parts(start, end, readings)
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


def _booking_parts(
    start: datetime, end: datetime, readings: Sequence[Reading]
) -> list[tuple[datetime, datetime, Reading]]:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseTotals:
    """Energy before PUE in kWh and emissions in g of one phase; its duration in policy time."""

    energy_kwh: float
    emissions_gco2eq: float
    duration_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerSummary:
    """Totals of all rows. The mean intensity is emissions / energy and so includes the PUE.

    ``attempts`` is the highest attempt with a row; ``intensity_kinds`` are shares of the energy and sum to 1.
    """

    cpu_energy_kwh: float
    gpu_energy_kwh: float
    ram_energy_kwh: float
    total_energy_kwh: float
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


def summarise(rows: Sequence[LedgerRow]) -> LedgerSummary:
    """Add the rows up with ``math.fsum``, so that anyone who adds them up gets the same to 1e-9.

    :raises MeasurementError: no rows, or rows without any energy: no mean intensity exists and the meter cannot have worked.
    """
    if not rows:
        raise MeasurementError("the ledger has no whole row; this run's energy is unknown")
    total_kwh = total_energy_kwh(rows)
    if total_kwh <= 0:
        raise MeasurementError(
            "the energy meter counted nothing in the whole run; check what it can read on this machine"
        )
    grams = math.fsum(row.emissions_gco2eq for row in rows)
    return LedgerSummary(
        cpu_energy_kwh=math.fsum(row.cpu_energy_kwh for row in rows),
        gpu_energy_kwh=math.fsum(row.gpu_energy_kwh for row in rows),
        ram_energy_kwh=math.fsum(row.ram_energy_kwh for row in rows),
        total_energy_kwh=total_kwh,
        emissions_gco2eq=grams,
        mean_carbon_intensity_gco2eq_per_kwh=grams / total_kwh,
        intensity_kinds=intensity_shares(rows),
        phases={phase: _phase_totals(rows, phase) for phase in Phase if any(row.phase is phase for row in rows)},
        started_at=min(row.start for row in rows),
        ended_at=max(row.end for row in rows),
        attempts=max(row.attempt for row in rows),
    )


def total_energy_kwh(rows: Iterable[LedgerRow]) -> float:
    """CPU, GPU and RAM of all rows, before PUE."""
    return math.fsum(row.energy_kwh for row in rows)


def intensity_shares(rows: Sequence[LedgerRow]) -> dict[IntensityKind, float]:
    """Return the share of the energy that was booked at each kind of intensity; there must be some energy."""
    total_kwh = total_energy_kwh(rows)
    kinds = sorted({row.intensity_kind for row in rows})
    return {kind: total_energy_kwh(row for row in rows if row.intensity_kind is kind) / total_kwh for kind in kinds}


def _phase_totals(rows: Sequence[LedgerRow], phase: Phase) -> PhaseTotals:
    own = [row for row in rows if row.phase is phase]
    return PhaseTotals(
        energy_kwh=total_energy_kwh(own),
        emissions_gco2eq=math.fsum(row.emissions_gco2eq for row in own),
        duration_s=math.fsum((row.end - row.start).total_seconds() for row in own),
    )


def counterfactual(
    rows: Sequence[LedgerRow], submitted_at: datetime, readings: Sequence[Reading], *, in_one_piece: bool = False
) -> Counterfactual | None:
    """Shift the run's own energy curve to begin at submission and book it against the grid of then.

    PUE is the one that the rows were booked with. The intensity is emissions / energy, as in the summary.

    :param readings: the grid's readings from submission on, oldest first.
    :param in_one_piece: leave out what lies between attempts: without waiting, there would have been no pauses for the grid.
    :returns: None where the readings do not cover the shifted curve, or where there is no energy to shift.
    """
    pue = _pue_of(rows)
    if pue is None:
        return None
    try:
        shifted = _shifted(_joined(rows) if in_one_piece else rows, submitted_at, readings, pue)
    except MeasurementError:  # only raised where no reading covers a part: the question has no answer
        return None
    grams = math.fsum(row.emissions_gco2eq for row in shifted)
    return Counterfactual(
        start=submitted_at,
        carbon_intensity_gco2eq_per_kwh=grams / total_energy_kwh(shifted),
        emissions_gco2eq=grams,
        intensity_kinds=intensity_shares(shifted),
    )


def _pue_of(rows: Sequence[LedgerRow]) -> float | None:
    if not rows or total_energy_kwh(rows) <= 0:
        return None
    before_pue = math.fsum(row.energy_kwh * row.carbon_intensity_gco2eq_per_kwh for row in rows)
    # a run on a grid without any emissions does not show its PUE
    return math.fsum(row.emissions_gco2eq for row in rows) / before_pue if before_pue > 0 else None


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
) -> list[LedgerRow]:
    shift = submitted_at - rows[0].start
    ahead = list(readings)
    shifted: list[LedgerRow] = []
    for row in rows:
        start, end = row.start + shift, row.end + shift
        while ahead and ahead[0].end <= start:  # a run of a month has half a million rows
            ahead.pop(0)
        shifted += book_interval(
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
