"""What a wait avoided and what it cost in time; for several runs, their means."""

import math
from collections.abc import Sequence
from datetime import datetime

from include.records import TrainingRecord
from include.report.waits.model import Oracle, Waiting
from include.report.waits.oracle import WaitEvidence, oracle_of

_S_PER_HOUR = 3600.0


def waiting_of(run: TrainingRecord, evidence: WaitEvidence | None = None) -> Waiting:
    """Return what waiting avoided against this run's own energy curve at submission, in grams and percent.

    :param evidence: ledger, readings and deadline; without it there is no oracle.
    """
    avoided = avoided_gco2eq([run])
    low, high = _bounds(run, avoided)
    later_s = run.wait_s + paused_s(run)
    oracle = oracle_of(run, evidence or WaitEvidence(missing="the wait's evidence was not at hand"))
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
        oracle=oracle if isinstance(oracle, Oracle) else None,
        oracle_unknown=None if isinstance(oracle, Oracle) else oracle,
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
        oracle_unknown="each of several runs has a wait and an oracle of its own; compare them one by one",
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
