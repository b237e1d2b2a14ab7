"""What a ledger comes to: totals, shares and phases, and the same run had it begun when it was submitted."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from include.errors import MeasurementError
from include.records import Counterfactual, IntensityKind, LedgerRow, Phase, Reading
from include.tracker.recording.booking import book_interval


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
