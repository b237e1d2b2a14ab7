"""What perfect knowledge would have made of a run's wait: its own energy curve on the grid's actual intensities."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from include.moments import format_moment
from include.records import IntensityKind, LedgerRow, Reading, TrainingRecord
from include.report.text.figures import percent_text
from include.report.waits.model import Oracle, Span

_KNOWN = (IntensityKind.MEASURED, IntensityKind.ESTIMATED, IntensityKind.REPLAYED)
_PAUSING = "interruptible"
_BY_ROUNDING = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitEvidence:
    """What is known of a run's wait beside its record; all moments in policy time.

    :param rows: the run's ledger, in time order.
    :param readings: the grid from submission on, in time order without overlap; what is no actual figure is left aside.
    :param missing: why there are no rows, where there are none.
    :param waited: whether a decision made it wait or pause; None = its decisions were not kept. A queue is no wait.
    :param queued_s: policy time in a queue after the decision to start; None = its decisions were not kept.
    """

    rows: Sequence[LedgerRow] = ()
    readings: Sequence[Reading] = ()
    deadline: datetime | None = None
    missing: str | None = None
    waited: bool | None = None
    queued_s: float | None = None


def oracle_of(run: TrainingRecord, evidence: WaitEvidence) -> Oracle | str:
    """Return the oracle, or in words why there is none."""
    if run.policy == "immediate":
        return "the run did not wait for the grid"
    if evidence.missing is not None or not evidence.rows:
        return evidence.missing or "the run's ledger has no rows"
    if evidence.deadline is None:
        return "the run's deadline is not known, so nobody can say until when it might have waited"
    rows = evidence.rows
    window = Span(start=run.submitted_at, end=max(evidence.deadline, rows[-1].end))
    if rows[0].start < run.submitted_at:
        return "the run's ledger begins before its submission"
    known = _known(run, evidence.readings, window)
    if gap := _first_gap(known, window):
        return (
            f"the grid's actual intensity is known for {percent_text(100 * _covered(known, window))} of the wait's window"
            f" only: not from {format_moment(gap)}"
        )
    return _searched(run, rows, known, window)


def _known(run: TrainingRecord, readings: Sequence[Reading], window: Span) -> list[Reading]:
    meaning = (run.signal_type, run.emission_factor_type)
    return [
        reading
        for reading in readings
        if reading.kind in _KNOWN
        and (reading.signal_type, reading.emission_factor_type) == meaning
        and reading.start < window.end
        and reading.end > window.start
    ]


def _first_gap(readings: Sequence[Reading], window: Span) -> datetime | None:
    until = window.start
    for reading in readings:
        if reading.start > until + _BY_ROUNDING:
            return until
        until = max(until, reading.end)
    return until if until + _BY_ROUNDING < window.end else None


def _covered(readings: Sequence[Reading], window: Span) -> float:
    spans = (min(r.end, window.end) - max(r.start, window.start) for r in readings)
    return sum(spans, timedelta(0)) / (window.end - window.start)


def _searched(run: TrainingRecord, rows: Sequence[LedgerRow], known: Sequence[Reading], window: Span) -> Oracle:
    from include.report.waits.oracle_search import Steps, search  # noqa: PLC0415 numpy: not while DAGs are parsed

    begin = window.start
    pieces = [
        (_seconds(begin, row.start), _seconds(begin, row.end), row.attempt, row.energy_kwh * run.pue) for row in rows
    ]
    edges = [0.0, *(_seconds(begin, reading.end) for reading in known[:-1]), _seconds(begin, window.end)]
    steps = Steps.of(edges, [reading.carbon_intensity_gco2eq_per_kwh for reading in known])
    found = search(pieces, steps, may_pause=run.policy == _PAUSING)
    avoided = found.at_submission_gco2eq - found.best.emissions_gco2eq
    kept = found.at_submission_gco2eq - found.as_run_gco2eq
    return Oracle(
        window=window,
        may_pause=run.policy == _PAUSING,
        segments=tuple(Span(start=_moment(begin, a), end=_moment(begin, b)) for a, b in found.best.segments_s),
        emissions_gco2eq=found.best.emissions_gco2eq,
        at_submission_gco2eq=found.at_submission_gco2eq,
        as_run_gco2eq=found.as_run_gco2eq,
        avoided_gco2eq=avoided,
        avoided_percent=100.0 * avoided / found.at_submission_gco2eq if found.at_submission_gco2eq else None,
        captured_percent=100.0 * kept / avoided if avoided > 0 else None,
        intensity_kinds=_shares(known, window),
        sources=tuple(sorted({reading.source for reading in known})),
    )


def _shares(known: Sequence[Reading], window: Span) -> dict[IntensityKind, float]:
    kinds = sorted({reading.kind for reading in known})
    return {kind: _covered([reading for reading in known if reading.kind is kind], window) for kind in kinds}


def _seconds(begin: datetime, moment: datetime) -> float:
    return (moment - begin).total_seconds()


def _moment(begin: datetime, seconds: float) -> datetime:
    return begin + timedelta(seconds=seconds)
