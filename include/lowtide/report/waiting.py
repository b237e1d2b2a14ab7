"""What a wait avoided and what it cost in time; for several runs, their means."""

# What perfect knowledge would have made of a run's wait: its own energy curve on the grid's actual intensities.
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from lowtide.records import IntensityKind, LedgerRow, Reading, TrainingRecord
from lowtide.report.data_quality import CLAIM_LIMIT_SHARE
from lowtide.report.model import PerfectForesight, Span, Waiting
from lowtide.timeutil import format_moment, parse_moment
from lowtide.units import duration_text, percent_text

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


def perfect_foresight_of(run: TrainingRecord, evidence: WaitEvidence) -> PerfectForesight | str:
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


def _searched(
    run: TrainingRecord, rows: Sequence[LedgerRow], known: Sequence[Reading], window: Span
) -> PerfectForesight:
    from lowtide.report.optimal import (
        Steps,  # numpy: not while DAGs are parsed
        search,
    )

    begin = window.start
    pieces = [
        (_seconds(begin, row.start), _seconds(begin, row.end), row.attempt, row.energy_kwh * run.pue) for row in rows
    ]
    edges = [0.0, *(_seconds(begin, reading.end) for reading in known[:-1]), _seconds(begin, window.end)]
    steps = Steps.of(edges, [reading.carbon_intensity_gco2eq_per_kwh for reading in known])
    found = search(pieces, steps, may_pause=run.policy == _PAUSING)
    avoided = found.at_submission_gco2eq - found.best.emissions_gco2eq
    kept = found.at_submission_gco2eq - found.as_run_gco2eq
    return PerfectForesight(
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


# What of the time until a start was a queue's: it came after the decision to start, so it was no wait for the grid.


USUAL_START_S = 600.0
"""Real seconds that a start may take, all starts together: the scheduler, a new process, its imports. No queue is told below."""


class Queue(NamedTuple):
    """Policy seconds in a queue: before the first start, and before going on after pauses. Both 0 where that is negligible."""

    before_start_s: float = 0.0
    in_pauses_s: float = 0.0

    @property
    def total_s(self) -> float:
        """Both together."""
        return self.before_start_s + self.in_pauses_s


def queue_of(run: TrainingRecord, decided_to_run: Sequence[datetime]) -> Queue:
    """Return how long a run stood in a queue after a decision had let it start, or go on.

    Of no more than ten real minutes, or a twentieth of the time until the starts, nothing is told.

    :param decided_to_run: when a decision said so, in time order; others than this run's waits and pauses are left aside.
    """
    first = _queued_s(run.submitted_at, run.started_at, decided_to_run)
    later = sum(_queued_s(gap.start, gap.end, decided_to_run) for gap in run.interruptions)
    until_starts_s = run.wait_s + sum((gap.end - gap.start).total_seconds() for gap in run.interruptions)
    real_s = (first + later) / (run.replay.speed if run.replay else 1.0)
    if real_s <= USUAL_START_S or first + later <= CLAIM_LIMIT_SHARE * until_starts_s:
        return Queue()
    return Queue(first, later)


def queue_reason(queued_s: float) -> str:
    """Say why waiting cannot be claimed for a run that stood in a queue, too."""
    return (
        f"{duration_text(queued_s)} of the time until the start came after the decision to start: that was a queue's, what it"
        " did to the emissions cannot be told from what the wait did, and neither is counted"
    )


def _queued_s(stop: datetime, start: datetime, decided_to_run: Sequence[datetime]) -> float:
    between = [at for at in decided_to_run if stop <= at <= start]
    return (start - between[-1]).total_seconds() if between else 0.0


_S_PER_HOUR = 3600.0


def waiting_of(run: TrainingRecord, evidence: WaitEvidence | None = None) -> Waiting:
    """Return what waiting avoided against this run's own energy curve at submission, in grams and percent.

    :param evidence: ledger, readings and deadline; without it there is no oracle.
    """
    avoided = avoided_gco2eq([run])
    low, high = _bounds(run, avoided)
    later_s = run.wait_s + paused_s(run)
    oracle = perfect_foresight_of(run, evidence or WaitEvidence(missing="the wait's evidence was not at hand"))
    deadline = evidence.deadline if evidence else None
    return Waiting(
        wait_s=run.wait_s,
        no_wait=_no_wait(run, evidence),
        queued_s=evidence.queued_s if evidence else None,
        avoided_gco2eq=avoided,
        avoided_percent=avoided_percent([run]),
        avoided_low_gco2eq=low,
        avoided_high_gco2eq=high,
        paused_s=paused_s(run),
        later_s=later_s,
        avoided_gco2eq_per_hour=avoided / (later_s / _S_PER_HOUR) if avoided is not None and later_s > 0 else None,
        deadline=deadline,
        deadline_met=None if deadline is None else run.ended_at <= deadline,
        perfect_foresight=oracle if isinstance(oracle, PerfectForesight) else None,
        perfect_foresight_unknown=None if isinstance(oracle, PerfectForesight) else oracle,
    )


def mean_waiting(runs: Sequence[TrainingRecord], waits: Sequence[Waiting]) -> Waiting:
    """Return the mean of several runs' waits; the deadline was met where all runs met theirs."""
    avoided = avoided_gco2eq(runs)
    later_s = _mean([wait.later_s for wait in waits])
    met = [wait.deadline_met for wait in waits]
    return Waiting(
        wait_s=_mean([wait.wait_s for wait in waits]),
        no_wait=next((wait.no_wait for wait in waits if wait.no_wait is not None), None),
        queued_s=_known_mean([wait.queued_s for wait in waits]),
        avoided_gco2eq=avoided,
        avoided_percent=avoided_percent(runs),
        avoided_low_gco2eq=_known_mean([wait.avoided_low_gco2eq for wait in waits]),
        avoided_high_gco2eq=_known_mean([wait.avoided_high_gco2eq for wait in waits]),
        paused_s=_mean([wait.paused_s for wait in waits]),
        later_s=later_s,
        avoided_gco2eq_per_hour=avoided / (later_s / _S_PER_HOUR) if avoided is not None and later_s > 0 else None,
        deadline=_same([wait.deadline for wait in waits]),
        deadline_met=None if None in met else all(met),
        perfect_foresight_unknown="each of several runs has a wait and an oracle of its own; compare them one by one",
    )


def avoided_gco2eq(runs: Sequence[TrainingRecord]) -> float | None:
    """Return the mean of the grams avoided; None where a run's intensity at submission is not known."""
    found = [
        run.counterfactual.emissions_gco2eq - run.emissions_gco2eq for run in runs if run.counterfactual is not None
    ]
    return _mean(found) if len(found) == len(runs) else None


def avoided_percent(runs: Sequence[TrainingRecord]) -> float | None:
    """Return what was avoided, of all that would have been emitted at submission."""
    avoided = avoided_gco2eq(runs)
    at_submission = math.fsum(run.counterfactual.emissions_gco2eq for run in runs if run.counterfactual is not None)
    return None if avoided is None or at_submission == 0 else 100.0 * avoided * len(runs) / at_submission


def paused_s(run: TrainingRecord) -> float:
    """Return the policy time between a run's attempts; 0 where the policy does not pause, for then they are mishaps."""
    if run.policy != "interruptible":
        return 0.0
    return math.fsum((gap.end - gap.start).total_seconds() for gap in run.interruptions)


def _no_wait(run: TrainingRecord, evidence: WaitEvidence | None) -> str | None:
    if run.policy == "immediate":
        return "its policy is immediate"
    if evidence is not None and evidence.waited is False:
        return "no decision made it wait"
    return None


def _bounds(run: TrainingRecord, avoided: float | None) -> tuple[float | None, float | None]:
    """Scale the grams by the meter's known errors: the percentage does not depend on the level, the grams do."""
    if avoided is None or run.uncertainty is None or not run.energy_kwh.total:
        return None, None
    ends = [avoided * kwh / run.energy_kwh.total for kwh in _energy_bounds(run)]
    return min(ends), max(ends)


def _energy_bounds(run: TrainingRecord) -> tuple[float, float]:
    bounds = run.uncertainty
    return (bounds.energy_low_kwh, bounds.energy_high_kwh) if bounds else (run.energy_kwh.total, run.energy_kwh.total)


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _known_mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return _mean(known) if len(known) == len(values) else None


def _same(moments: Sequence[datetime | None]) -> datetime | None:
    return moments[0] if len(set(moments)) == 1 else None


# What a run's decisions say of its wait: whether it waited for the grid, until when it had to be done, and its last word.


_WAITED = (b'"action": "wait"', b'"action": "pause"')
_RUN = b'"action": "run"'
"""As ``json.dumps`` writes it; inside a text the quotes would be escaped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitSeen:
    """``waited`` is None where the decisions were not kept."""

    waited: bool | None
    deadline: datetime | None = None
    last_action: str | None = None
    decided_to_run: tuple[datetime, ...] = ()


def wait_seen(paths: Sequence[Path], since: datetime, started_at: datetime | None = None) -> WaitSeen:
    """Read a run's decisions.

    :param paths: where they lie, those that were made first, first.
    :param since: the training's submission: a run that was submitted anew keeps the decisions of its earlier wait.
    :param started_at: the training's first start; None where there was none, and then no decision to start is looked for.
    """
    lines = [line for path in paths for line in _lines(path)]
    last = next((found for line in reversed(lines) if (found := _decision(line))), None)
    if last is None:
        return WaitSeen(waited=None)
    # from the end: of a run that waited, the look before the start says so, however many there were before
    waited = any((at or since) >= since for at in _moments(lines, *_WAITED))
    return WaitSeen(
        waited=waited,
        deadline=_time_of(last, "deadline"),
        last_action=str(last.get("action")),
        decided_to_run=() if started_at is None else _until(started_at, _moments(lines, _RUN)),
    )


def _until(started_at: datetime, newest_first: Iterator[datetime | None]) -> tuple[datetime, ...]:
    """Return the moments down to the one that let the training start, in time order; nobody needs those before it."""
    found: list[datetime] = []
    for at in newest_first:
        if at is not None:
            found.append(at)
            if at <= started_at:
                break
    return tuple(reversed(found))


def _moments(lines: Sequence[bytes], *marks: bytes) -> Iterator[datetime | None]:
    return (_time_of(_decision(line), "decided_at") for line in reversed(lines) if any(mark in line for mark in marks))


def _lines(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().splitlines()
    except OSError:
        return []


def _decision(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:  # a line that a killed worker left half-written
        return {}
    return found if isinstance(found, dict) else {}


def _time_of(decision: dict[str, Any], name: str) -> datetime | None:
    try:
        return parse_moment(decision[name])
    except (KeyError, TypeError, ValueError):
        return None
