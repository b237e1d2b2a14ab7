"""What a wait avoided, what it cost in time, and what perfect foresight would have avoided; for several runs, their means."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from lowtide.grid.series import IntensityCurve, gaps
from lowtide.records import IncompleteRecord, IntensityKind, LedgerRow, Reading, RecordedDecision, TrainingRecord
from lowtide.report.data_quality import CLAIM_LIMIT_SHARE, simulated_reasons
from lowtide.report.model import PerfectForesight, Span, Waiting
from lowtide.timeutil import format_time
from lowtide.units import duration_text, percent_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

_S_PER_HOUR = 3600.0
_KNOWN = (IntensityKind.MEASURED, IntensityKind.ESTIMATED, IntensityKind.REPLAYED)
_PAUSING = "interruptible"
_WAITS = ("wait", "pause")
_BY_ROUNDING = timedelta(milliseconds=1)
_SAME = 1e-9


class Delay(NamedTuple):
    """How long a run waited for the grid and how long it was queued, by its decisions; policy time.

    ``waited`` is None where the decisions were not kept; ``waited_s`` is from submission to the decision to start, ``paused_s``
    from the end of an attempt to the decision to resume, and ``queued_s`` from each of these decisions to the start after it.
    """

    waited: bool | None = None
    waited_s: float = 0.0
    paused_s: float = 0.0
    queued_s: float | None = None
    deadline: datetime | None = None


def delay_of(run: TrainingRecord | IncompleteRecord, newest_first: Iterable[RecordedDecision]) -> Delay:
    """Return a run's delay.

    :param newest_first: decisions; those from before the run's submission and after its end are another run's. No more of
        them are read than are needed.
    """
    starts: list[datetime] = []
    deadline, waited = None, None
    for one in newest_first:
        if one.decided_at < run.submitted_at:
            break
        if one.decided_at > run.ended_at:
            continue
        deadline = deadline or one.deadline
        waited = bool(waited) or one.action in _WAITS
        if one.action == "run":
            starts.append(one.decided_at)
        if waited and starts and starts[-1] <= run.started_at:
            break
    if not isinstance(run, TrainingRecord):
        return Delay(waited=waited, deadline=deadline)
    before_start_s = _queued_s(run.submitted_at, run.started_at, starts)
    in_pauses_s = math.fsum(_queued_s(gap.start, gap.end, starts) for gap in run.interruptions)
    return Delay(
        waited=waited,
        waited_s=max(0.0, run.wait_s - before_start_s) if waited else 0.0,
        paused_s=max(0.0, paused_s(run) - in_pauses_s),
        queued_s=None if waited is None else before_start_s + in_pauses_s,
        deadline=deadline,
    )


def _queued_s(stopped: datetime, started: datetime, decided_to_run: Sequence[datetime]) -> float:
    between = [at for at in decided_to_run if stopped <= at <= started]
    return (started - max(between)).total_seconds() if between else 0.0


def queue_reason(run: TrainingRecord, queued_s: float | None) -> str | None:
    """Return why waiting cannot be claimed for a run that was queued for more than 5 % of its delay; None where it can.

    Nothing is claimed of a simulated run, and under replay the seconds that any start takes are hours.
    """
    delay_s = run.wait_s + math.fsum((gap.end - gap.start).total_seconds() for gap in run.interruptions)
    if not queued_s or queued_s <= CLAIM_LIMIT_SHARE * delay_s or simulated_reasons(run, "run"):
        return None
    return (
        f"{duration_text(queued_s)} of the time until the start came after the decision to start: the effects of queue and"
        " wait on the emissions cannot be separated, and neither is claimed"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitEvidence:
    """What is known of a run's wait beside its record; all times are policy time.

    :param rows: the run's ledger, in time order.
    :param readings: the grid from submission on, in time order without overlap; kinds that are not actual are ignored.
    :param missing: why there are no rows, where there are none.
    :param waited: whether a decision made it wait or pause; None = its decisions were not kept.
    :param queued_s: as in ``Delay``.
    """

    rows: Sequence[LedgerRow] = ()
    readings: Sequence[Reading] = ()
    deadline: datetime | None = None
    missing: str | None = None
    waited: bool | None = None
    queued_s: float | None = None


def waiting_of(run: TrainingRecord, evidence: WaitEvidence | None = None) -> Waiting:
    """Return what waiting avoided against this run's own energy curve at submission, in grams and percent.

    :param evidence: ledger, readings and decisions; without it perfect foresight is not known.
    """
    evidence = evidence or WaitEvidence(missing="the evidence of the wait was not given")
    avoided = avoided_gco2eq([run])
    low, high = _bounds(run, avoided)
    later_s = run.wait_s + paused_s(run)
    best = perfect_foresight_of(run, evidence)
    return Waiting(
        wait_s=run.wait_s,
        no_wait=_no_wait(run, evidence),
        queued_s=evidence.queued_s,
        queue_bars_claim=queue_reason(run, evidence.queued_s) is not None,
        avoided_gco2eq=avoided,
        avoided_percent=avoided_percent([run]),
        avoided_low_gco2eq=low,
        avoided_high_gco2eq=high,
        paused_s=paused_s(run),
        later_s=later_s,
        avoided_gco2eq_per_hour=avoided / (later_s / _S_PER_HOUR) if avoided is not None and later_s > 0 else None,
        deadline=evidence.deadline,
        deadline_met=None if evidence.deadline is None else run.ended_at <= evidence.deadline,
        perfect_foresight=best if isinstance(best, PerfectForesight) else None,
        perfect_foresight_unknown=None if isinstance(best, PerfectForesight) else best,
    )


def mean_waiting(runs: Sequence[TrainingRecord], waits: Sequence[Waiting]) -> Waiting:
    """Return the mean of several runs' waits; the deadline was met where all runs met theirs."""
    avoided = avoided_gco2eq(runs)
    later_s = _mean([wait.later_s for wait in waits])
    met = [wait.deadline_met for wait in waits]
    deadlines = {wait.deadline for wait in waits}
    return Waiting(
        wait_s=_mean([wait.wait_s for wait in waits]),
        no_wait=next((wait.no_wait for wait in waits if wait.no_wait is not None), None),
        queued_s=_known_mean([wait.queued_s for wait in waits]),
        queue_bars_claim=any(wait.queue_bars_claim for wait in waits),
        avoided_gco2eq=avoided,
        avoided_percent=avoided_percent(runs),
        avoided_low_gco2eq=_known_mean([wait.avoided_low_gco2eq for wait in waits]),
        avoided_high_gco2eq=_known_mean([wait.avoided_high_gco2eq for wait in waits]),
        paused_s=_mean([wait.paused_s for wait in waits]),
        later_s=later_s,
        avoided_gco2eq_per_hour=avoided / (later_s / _S_PER_HOUR) if avoided is not None and later_s > 0 else None,
        deadline=deadlines.pop() if len(deadlines) == 1 else None,
        deadline_met=None if None in met else all(met),
        perfect_foresight_unknown="it differs for each of several runs; compare them one by one",
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
    """Return the policy time between a run's attempts; 0 where the policy does not pause, for then they are failures."""
    if run.policy != _PAUSING:
        return 0.0
    return math.fsum((gap.end - gap.start).total_seconds() for gap in run.interruptions)


def _no_wait(run: TrainingRecord, evidence: WaitEvidence) -> str | None:
    if run.policy == "immediate":
        return "its policy is immediate"
    return "no decision made it wait" if evidence.waited is False else None


def _bounds(run: TrainingRecord, avoided: float | None) -> tuple[float | None, float | None]:
    """Scale the grams by the meter's known errors: the percentage does not depend on the level, the grams do."""
    if avoided is None or run.uncertainty is None or not run.energy_kwh.total:
        return None, None
    bounds = (run.uncertainty.energy_low_kwh, run.uncertainty.energy_high_kwh)
    ends = [avoided * kwh / run.energy_kwh.total for kwh in bounds]
    return min(ends), max(ends)


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _known_mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return _mean(known) if len(known) == len(values) else None


# Perfect foresight: the run's own energy in the best place between submission and deadline, on the grid's actual intensities.


_Segments = Sequence[tuple[float, float]]
"""Start and end in seconds from submission, in time order."""
_Piece = tuple[float, float, int, float]
"""Start and end in seconds from submission, attempt, and energy in kWh after PUE."""


def perfect_foresight_of(run: TrainingRecord, evidence: WaitEvidence) -> PerfectForesight | str:
    """Return the best plan that knew the grid in advance, or a sentence why it is not known."""
    rows, deadline = evidence.rows, evidence.deadline
    if run.policy == "immediate":
        return "the run did not wait for the grid"
    if evidence.missing is not None or not rows:
        return evidence.missing or "the run's ledger has no rows"
    if deadline is None:
        return "the run's deadline is not known"
    if rows[0].start < run.submitted_at:
        return "the run's ledger begins before its submission"
    window = Span(start=run.submitted_at, end=max(deadline, rows[-1].end))
    known = _known(run, evidence.readings, window)
    unknown = [
        gap
        for gap in gaps([(r.start, r.end) for r in known], window.start, window.end)
        if gap[1] - gap[0] > _BY_ROUNDING
    ]
    if unknown:
        return (
            f"the grid's actual intensity is known for {percent_text(100 * _share(known, window))} of the wait's window"
            f" only: not from {format_time(unknown[0][0])}"
        )
    return _best_plan(run, rows, known, window)


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


def _share(readings: Iterable[Reading], window: Span) -> float:
    covered = (min(r.end, window.end) - max(r.start, window.start) for r in readings)
    return sum(covered, timedelta(0)) / (window.end - window.start)


def _best_plan(
    run: TrainingRecord, rows: Sequence[LedgerRow], known: Sequence[Reading], window: Span
) -> PerfectForesight:
    import numpy as np  # not while DAGs are parsed

    def seconds(time: datetime) -> float:
        return (time - window.start).total_seconds()

    may_pause = run.policy == _PAUSING
    edges = [0.0, *(seconds(reading.end) for reading in known[:-1]), seconds(window.end)]
    curve = IntensityCurve(edges, [reading.carbon_intensity_gco2eq_per_kwh for reading in known])
    pieces = [(seconds(r.start), seconds(r.end), r.attempt if may_pause else 1, r.energy_kwh * run.pue) for r in rows]
    attempts = _attempts(pieces)
    energy = np.array(_energy_curve(pieces, attempts))
    ran, work_s = list(attempts.values()), float(energy[-1, 0])
    as_run = _grams(curve, ran, energy)
    at_once = [(0.0, work_s)]
    at_submission = _grams(curve, at_once, energy)
    candidates = [_planned(curve, work_s, may_pause=may_pause), at_once, *_blocks(curve, work_s)]
    plans = [(_grams(curve, plan, energy), plan) for plan in candidates]
    grams, best = min(plans, key=lambda plan: plan[0])
    if grams >= as_run * (1 - _SAME):
        grams, best = as_run, ran
    avoided = at_submission - grams
    kinds = sorted({reading.kind for reading in known})
    return PerfectForesight(
        window=window,
        may_pause=may_pause,
        segments=tuple(
            Span(start=window.start + timedelta(seconds=a), end=window.start + timedelta(seconds=b)) for a, b in best
        ),
        emissions_gco2eq=grams,
        at_submission_gco2eq=at_submission,
        as_run_gco2eq=as_run,
        avoided_gco2eq=avoided,
        avoided_percent=100.0 * avoided / at_submission if at_submission else None,
        captured_percent=100.0 * (at_submission - as_run) / avoided if avoided > 0 else None,
        intensity_kinds={kind: _share((r for r in known if r.kind is kind), window) for kind in kinds},
        sources=tuple(sorted({reading.source for reading in known})),
    )


def _planned(curve: IntensityCurve, work_s: float, *, may_pause: bool) -> _Segments:
    """Return the planner's best segments at constant power, or, for a run in one piece, the best block."""
    if may_pause:
        from lowtide.grid.planner import Task, cheapest_steps  # numpy: not while DAGs are parsed

        return cheapest_steps(
            curve,
            Task(
                now_s=0.0,
                end_s=curve.end_s,
                work_s=work_s,
                state="new",
                minimum_slice_s=0.0,
                resume_time_s=0.0,
                resume_energy_s=0.0,
                pauses_left=len(curve.values),
            ),
        )
    block = curve.best_start(0.0, curve.end_s - work_s, work_s)
    start_s = 0.0 if block is None else block.start_s  # None: the window is no longer than the work
    return [(start_s, start_s + work_s)]


def _blocks(curve: IntensityCurve, work_s: float) -> Iterator[_Segments]:
    """Yield the blocks that begin or end where the intensity changes: power varies, so the best one at constant power may not be it."""
    for edge_s in curve.edges_s:
        for start_s in (edge_s, edge_s - work_s):
            if 0.0 <= start_s <= curve.end_s - work_s:
                yield [(start_s, start_s + work_s)]


def _attempts(pieces: Sequence[_Piece]) -> dict[int, tuple[float, float]]:
    """Return when each attempt ran."""
    spans: dict[int, tuple[float, float]] = {}
    for start_s, end_s, attempt, _ in pieces:
        spans[attempt] = (spans.get(attempt, (start_s, end_s))[0], end_s)
    return spans


def _energy_curve(pieces: Sequence[_Piece], attempts: Mapping[int, tuple[float, float]]) -> list[tuple[float, float]]:
    """Return seconds of work, without the time between attempts, each with the kWh used until then."""
    shifts, done_s = {}, 0.0
    for attempt, (start_s, end_s) in attempts.items():
        shifts[attempt], done_s = start_s - done_s, done_s + end_s - start_s
    points = [(0.0, 0.0)]
    for start_s, end_s, attempt, energy_kwh in pieces:
        work_s, used_kwh = points[-1]
        points.append((max(work_s, start_s - shifts[attempt]), used_kwh))
        points.append((max(work_s, end_s - shifts[attempt]), used_kwh + energy_kwh))
    return points


def _grams(curve: IntensityCurve, segments: _Segments, energy: "NDArray[Any]") -> float:
    """Return the grams of the energy laid into segments, exact: each step's intensity times the energy used in it.

    :param energy: shape (points, 2): seconds of work, and the kWh used until then.
    """
    import numpy as np

    times = [time for segment in segments for time in segment]
    done = np.repeat(np.cumsum([0.0, *(end_s - start_s for start_s, end_s in segments)]), 2)[1:-1]
    used = np.interp(np.interp(curve.edges_s, times, done), energy[:, 0], energy[:, 1])
    return float(np.dot(curve.values, np.diff(used)))
