"""What counts as ours: efficiency where it can be told from the meter, waiting where there was a wait that can be counted."""

import math
from collections.abc import Sequence

from include.records import TrainingRecord
from include.report.attribution import RunFactors
from include.report.evidence import (
    counterfactual_reasons,
    estimated_energy_reasons,
    no_wait_reasons,
    simulated_reasons,
)
from include.report.factors import factors_of
from include.report.fairness.differences import barring
from include.report.model import AttributionParts, Fairness, Ours
from include.report.sides import mean_emissions
from include.report.waits.oracle import WaitEvidence
from include.report.waits.queue import queue_reason


def credited(
    baselines: Sequence[TrainingRecord], runs: Sequence[TrainingRecord], fairness: Fairness, *, queued: bool
) -> tuple[str, ...]:
    """Return the parts of the attribution that count as ours for these runs.

    In a simulation waiting does although the intensity at submission is replayed, and efficiency although its energy is
    estimated, as all of it is: nothing is claimed there.

    :param queued: no decision made the runs wait, or a queue came after it.
    """
    both = (*baselines, *runs)
    simulated = any(simulated_reasons(record, "record") for record in both)
    waiting = not queued and (waited(runs) if simulated else not waiting_barred(runs))
    estimated = any(estimated_energy_reasons(record, "record") for record in both)
    efficiency = simulated or not (estimated or barring(fairness, "efficiency"))
    return (*(("waiting",) if waiting else ()), *(("efficiency",) if efficiency else ()))


def waited(runs: Sequence[TrainingRecord]) -> bool:
    """Whether these runs waited for the grid, and their emissions at submission are known, however surely."""
    return not any(no_wait_reasons(run) for run in runs)


def waiting_barred(runs: Sequence[TrainingRecord]) -> list[str]:
    """Return why waiting cannot be claimed; empty where it can."""
    return list(dict.fromkeys(reason for run in runs for reason in counterfactual_reasons(run)))


def queued_reasons(runs: Sequence[TrainingRecord], evidence: Sequence[WaitEvidence | None]) -> list[str]:
    """Return why runs that began late did not wait, or not only: what no decision made them do was a queue, and luck."""
    if any(run.policy == "immediate" for run in runs):
        return []
    if any(found is not None and found.waited is False for found in evidence):
        return [
            "no decision made the run wait: the time from submission to start was a queue's, and is no waiting to claim"
        ]
    queues = (found.queued_s for found in evidence if found is not None)
    return list(dict.fromkeys(queue_reason(queued_s) for queued_s in queues if queued_s))


def ours_of(
    parts: AttributionParts, baselines: Sequence[TrainingRecord], runs: Sequence[TrainingRecord], names: Sequence[str]
) -> Ours | None:
    """Return what our parts did: their grams of the attribution, and the change against a run without them; None if unknown.

    The percentage is not the grams over the rest: an additive part is weighed by the baseline's emissions too, so that a
    cleaner week would make a wait of 10 % one of 40 %, and its noise a claim.
    """
    if parts.total is None or not names:
        return None
    after, without = mean_emissions(runs), _without(baselines, runs, names)
    return Ours(
        parts=tuple(names),
        change_gco2eq=sum(getattr(parts, name) or 0.0 for name in names),
        change_percent=100.0 * (after - without) / without if without > 0 else 0.0,
    )


def _without(baselines: Sequence[TrainingRecord], runs: Sequence[TrainingRecord], names: Sequence[str]) -> float:
    """Return the mean grams of these samples, each at a baseline's energy and at submission, where those parts are ours."""
    before, after = ([factors_of(record) for record in side] for side in (baselines, runs))
    grams = [_energy(b, a, names) * _intensity(a, names) for b in before for a in after]
    return math.fsum(grams) / len(grams)


def _energy(baseline: RunFactors, run: RunFactors, names: Sequence[str]) -> float:
    if "efficiency" not in names or baseline.samples == 0:
        return run.energy_kwh
    return run.samples * baseline.energy_kwh / baseline.samples


def _intensity(run: RunFactors, names: Sequence[str]) -> float:
    return run.pivot_gco2eq_per_kwh if "waiting" in names else run.mean_intensity_gco2eq_per_kwh
