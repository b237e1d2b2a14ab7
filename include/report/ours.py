"""What counts as ours: efficiency always, waiting only where there was a wait that can be counted."""

from collections.abc import Sequence

from include.records import TrainingRecord
from include.report.evidence import counterfactual_reasons, no_wait_reasons, simulated_reasons
from include.report.model import AttributionParts, Ours
from include.report.sides import mean_emissions


def credited(baselines: Sequence[TrainingRecord], runs: Sequence[TrainingRecord]) -> tuple[str, ...]:
    """Return the parts of the attribution that count as ours for these runs.

    In a simulation waiting does although the intensity at submission is replayed, as all of it is: nothing is claimed there.
    """
    simulated = any(simulated_reasons(record, "record") for record in (*baselines, *runs))
    barred = not waited(runs) if simulated else bool(waiting_barred(runs))
    return ("efficiency",) if barred else ("waiting", "efficiency")


def waited(runs: Sequence[TrainingRecord]) -> bool:
    """Whether these runs waited for the grid, and their emissions at submission are known, however surely."""
    return not any(no_wait_reasons(run) for run in runs)


def waiting_barred(runs: Sequence[TrainingRecord]) -> list[str]:
    """Return why waiting cannot be claimed; empty where it can."""
    return list(dict.fromkeys(reason for run in runs for reason in counterfactual_reasons(run)))


def ours_of(parts: AttributionParts, runs: Sequence[TrainingRecord], names: Sequence[str]) -> Ours | None:
    """Return what our parts did to the emissions that there would have been without them; None where unknown."""
    if parts.total is None:
        return None
    grams = sum(getattr(parts, name) or 0.0 for name in names)
    without = mean_emissions(runs) - grams
    return Ours(parts=tuple(names), change_gco2eq=grams, change_percent=100.0 * grams / without if without > 0 else 0.0)
