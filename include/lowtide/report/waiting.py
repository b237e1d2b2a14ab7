"""What a wait avoided, what it cost in time, and what perfect foresight would have avoided; for several runs, their means."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

from lowtide.grid.series import IntensityCurve, gaps
from lowtide.records import AnyRecord, IntensityKind, LedgerRow, Reading, RecordedDecision, TrainingRecord
from lowtide.report.data_quality import CLAIM_LIMIT_SHARE, simulated_reasons, unsure_share
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


def delay_of(run: AnyRecord, newest_first: Iterable[RecordedDecision]) -> Delay:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitEvidence:
    """What is known of a run's wait beside its record; all times are policy time.

    :param rows: the run's ledger, in time order.
    :param readings: the grid from submission on, in time order without overlap; kinds that are not actual are ignored.
    :param missing: why there are no rows, where there are none.
    """

    rows: Sequence[LedgerRow] = ()
    readings: Sequence[Reading] = ()
    missing: str | None = None
    delay: Delay = field(default_factory=Delay)


NO_EVIDENCE = WaitEvidence(missing="the evidence of the wait was not given")


def waiting_reasons(run: TrainingRecord, delay: Delay) -> list[str]:
    """Return why what a run's wait did is not controllable; empty where it is. Headline, attribution and savings ask this one.

    In a simulation it is although the intensity at submission is replayed, as all of it is: nothing is claimed there.
    """
    if run.policy == "immediate":
        return ["the run did not wait for the grid, so there is no waiting to claim"]
    if delay.waited is False:
        return [
            "no decision made the run wait: the time from submission to start was spent in a queue, and time in a queue is"
            " no saving"
        ]
    if run.counterfactual is None:
        return ["the grid's intensity at submission is not known"]
    if run.counterfactual.emissions_gco2eq == 0:
        return ["the emissions at submission are zero, so no percentage exists"]
    if simulated_reasons(run, "run"):
        return []
    if _queue_bars_claim(run, delay):
        return [
            f"{duration_text(delay.queued_s or 0.0)} of the time until the start came after the decision to start: the effects"
            " of queue and wait on the emissions cannot be separated, and neither is claimed"
        ]
    unsure = unsure_share(run.counterfactual.intensity_kinds)
    if unsure > CLAIM_LIMIT_SHARE:
        return [
            f"{percent_text(100 * unsure)} of the intensity at submission is forecast, cached, modelled or replayed"
        ]
    return []


def _queue_bars_claim(run: TrainingRecord, delay: Delay) -> bool:
    """Whether a run was queued for more than 5 % of its delay; under replay the seconds that any start takes are hours."""
    delay_s = run.wait_s + _in_gaps_s(run)
    return (delay.queued_s or 0.0) > CLAIM_LIMIT_SHARE * delay_s and not simulated_reasons(run, "run")


def waiting_of(run: TrainingRecord, evidence: WaitEvidence) -> Waiting:
    """Return what waiting avoided against this run's own energy curve at submission, in grams and percent."""
    avoided, low, high = avoided_with_bounds(run)
    delay, later_s = evidence.delay, run.wait_s + paused_s(run)
    best = perfect_foresight_of(run, evidence)
    return Waiting(
        wait_s=run.wait_s,
        no_wait=_no_wait(run, delay),
        queued_s=delay.queued_s,
        queue_bars_claim=_queue_bars_claim(run, delay),
        not_claimed=tuple(waiting_reasons(run, delay)),
        avoided_gco2eq=avoided,
        avoided_percent=avoided_percent([run]),
        avoided_low_gco2eq=low,
        avoided_high_gco2eq=high,
        paused_s=paused_s(run),
        later_s=later_s,
        avoided_gco2eq_per_hour=_per_hour(avoided, later_s),
        deadline=delay.deadline,
        deadline_met=None if delay.deadline is None else run.ended_at <= delay.deadline,
        perfect_foresight=best if isinstance(best, PerfectForesight) else None,
        perfect_foresight_unknown=None if isinstance(best, PerfectForesight) else best,
    )


def mean_waiting(runs: Sequence[TrainingRecord], waits: Sequence[Waiting]) -> Waiting:
    """Return the mean of several runs' waits, or the only one; the deadline was met where all runs met theirs."""
    if len(waits) == 1:
        return waits[0]
    avoided, later_s = _mean([wait.avoided_gco2eq for wait in waits]), _mean([wait.later_s for wait in waits]) or 0.0
    met = [wait.deadline_met for wait in waits]
    deadlines = {wait.deadline for wait in waits}
    return Waiting(
        wait_s=_mean([wait.wait_s for wait in waits]) or 0.0,
        no_wait=next((wait.no_wait for wait in waits if wait.no_wait is not None), None),
        queued_s=_mean([wait.queued_s for wait in waits]),
        queue_bars_claim=any(wait.queue_bars_claim for wait in waits),
        not_claimed=tuple(dict.fromkeys(reason for wait in waits for reason in wait.not_claimed)),
        avoided_gco2eq=avoided,
        avoided_percent=avoided_percent(runs),
        avoided_low_gco2eq=_mean([wait.avoided_low_gco2eq for wait in waits]),
        avoided_high_gco2eq=_mean([wait.avoided_high_gco2eq for wait in waits]),
        paused_s=_mean([wait.paused_s for wait in waits]) or 0.0,
        later_s=later_s,
        avoided_gco2eq_per_hour=_per_hour(avoided, later_s),
        deadline=deadlines.pop() if len(deadlines) == 1 else None,
        deadline_met=None if None in met else all(met),
        perfect_foresight_unknown="it differs for each of several runs; compare them one by one",
    )


def avoided_with_bounds(run: AnyRecord) -> tuple[float | None, float | None, float | None]:
    """Return the grams that waiting avoided, and their bounds by the meter's known errors; None where they are not known.

    The percentage does not depend on the meter's level, the grams do.
    """
    if run.counterfactual is None:
        return None, None, None
    avoided = run.counterfactual.emissions_gco2eq - run.emissions_gco2eq
    if run.uncertainty is None or not run.energy_kwh.total:
        return avoided, None, None
    bounds = (run.uncertainty.energy_low_kwh, run.uncertainty.energy_high_kwh)
    low, high = sorted(avoided * kwh / run.energy_kwh.total for kwh in bounds)
    return avoided, low, high


def avoided_percent(runs: Sequence[TrainingRecord]) -> float | None:
    """Return what was avoided, of all that would have been emitted at submission; None where that is not known, or zero."""
    avoided = _mean([avoided_with_bounds(run)[0] for run in runs])
    at_submission = math.fsum(run.counterfactual.emissions_gco2eq for run in runs if run.counterfactual is not None)
    return None if avoided is None or at_submission == 0 else 100.0 * avoided * len(runs) / at_submission


def paused_s(run: AnyRecord) -> float:
    """Return the policy time between a run's attempts; 0 where the policy does not pause, for then they are failures."""
    return _in_gaps_s(run) if run.policy == _PAUSING else 0.0


def _in_gaps_s(run: AnyRecord) -> float:
    return math.fsum((gap.end - gap.start).total_seconds() for gap in run.interruptions)


def _no_wait(run: TrainingRecord, delay: Delay) -> str | None:
    if run.policy == "immediate":
        return "its policy is immediate"
    return "no decision made it wait" if delay.waited is False else None


def _per_hour(avoided_gco2eq: float | None, later_s: float) -> float | None:
    return None if avoided_gco2eq is None or later_s <= 0 else avoided_gco2eq / (later_s / _S_PER_HOUR)


def _mean(values: Sequence[float | None]) -> float | None:
    """Return the mean; None where one is not known."""
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if len(known) == len(values) else None


# Perfect foresight: the run's own energy in the best place between submission and deadline, on the grid's actual intensities.


_Segments = Sequence[tuple[float, float]]
"""Start and end in seconds from submission, in time order."""


def perfect_foresight_of(run: TrainingRecord, evidence: WaitEvidence) -> PerfectForesight | str:
    """Return the best plan that knew the grid in advance, or a sentence why it is not known."""
    rows, deadline = evidence.rows, evidence.delay.deadline
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
    ran, points = _work(pieces)
    energy, work_s = np.array(points), points[-1][0]
    as_run = _grams(curve, ran, energy)
    at_submission = _grams(curve, [(0.0, work_s)], energy)
    candidates = [*([_segments(curve, work_s)] if may_pause else []), *_blocks(curve, work_s)]
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


def _segments(curve: IntensityCurve, work_s: float) -> _Segments:
    """Return the planner's best segments at constant power."""
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


def _blocks(curve: IntensityCurve, work_s: float) -> list[_Segments]:
    """Return the blocks that begin at submission, or begin or end where the intensity changes: one of them is the best."""
    last_s = curve.end_s - work_s
    starts = {start_s for edge_s in curve.edges_s for start_s in (edge_s, edge_s - work_s) if 0.0 <= start_s <= last_s}
    return [[(start_s, start_s + work_s)] for start_s in sorted({0.0, *starts})]


def _work(
    pieces: Sequence[tuple[float, float, int, float]],
) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """Return when each attempt ran, and seconds of work without the time between attempts, each with the kWh used until then.

    :param pieces: start and end in seconds from submission, attempt, and energy in kWh after PUE.
    """
    ran, points, done_s = [], [(0.0, 0.0)], 0.0
    for _, attempt in groupby(pieces, key=lambda piece: piece[2]):
        rows = list(attempt)
        began_s, ended_s = rows[0][0], rows[-1][1]
        ran.append((began_s, ended_s))
        for start_s, end_s, _, energy_kwh in rows:
            work_s, used_kwh = points[-1]
            points.append((max(work_s, start_s - (began_s - done_s)), used_kwh))
            points.append((max(work_s, end_s - (began_s - done_s)), used_kwh + energy_kwh))
        done_s += ended_s - began_s
    return ran, points


def _grams(curve: IntensityCurve, segments: _Segments, energy: "NDArray[Any]") -> float:
    """Return the grams of the energy laid into segments, exact: each step's intensity times the energy used in it.

    :param energy: shape (points, 2): seconds of work, and the kWh used until then.
    """
    import numpy as np

    times = [time for segment in segments for time in segment]
    done = np.repeat(np.cumsum([0.0, *(end_s - start_s for start_s, end_s in segments)]), 2)[1:-1]
    used = np.interp(np.interp(curve.edges_s, times, done), energy[:, 0], energy[:, 1])
    return float(np.dot(curve.values, np.diff(used)))
