"""The figures of a comparison: changes in percent, parts in grams, what waiting avoided, and how sure all that is."""

from collections.abc import Sequence
from dataclasses import dataclass

from include.records import TrainingRecord
from include.report.accuracy import AccuracySampling, accuracy_sampling
from include.report.fairness.differences import METERS, agree_on, barring, fairness_of
from include.report.known_errors import known_errors
from include.report.model import AttributionParts, Changes, Fairness, KnownErrors, Ours, Repeats, Waiting
from include.report.ours import credited, ours_of, queued_reasons, waiting_barred
from include.report.repeats.spread import repeats_of
from include.report.sides import changes_of, parts_of, waiting_part
from include.report.waits.oracle import WaitEvidence
from include.report.waits.wait import mean_waiting, waiting_of

Records = Sequence[TrainingRecord]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Records and what follows from them; the input of the headline's rules. Without a baseline, ``baselines`` is empty."""

    baselines: tuple[TrainingRecord, ...]
    runs: tuple[TrainingRecord, ...]
    fairness: Fairness
    changes: Changes
    parts: AttributionParts
    ours: Ours | None
    waiting: Waiting
    queued: bool
    waiting_barred: tuple[str, ...]
    known_errors: KnownErrors | None
    repeats: Repeats | None
    accuracy: AccuracySampling | None
    notes: tuple[str, ...]


def compared(baselines: Records, runs: Records, evidence: Sequence[WaitEvidence | None]) -> Comparison:
    """Return all figures of a comparison; None wherever two figures do not mean the same thing.

    :param evidence: of the runs' waits, in their order.
    :raises ArtifactError: a record contradicts itself.
    """
    queued = queued_reasons(runs, evidence)
    fairness = fairness_of(baselines, runs)
    names = credited(baselines, runs, fairness, queued=bool(queued))
    waits = [waiting_of(run, found) for run, found in zip(runs, evidence, strict=True)]
    parts, notes = _attribution(baselines, runs, fairness)
    return Comparison(
        baselines=tuple(baselines),
        runs=tuple(runs),
        fairness=fairness,
        changes=changes_of(baselines, runs, fairness) if baselines else Changes(),
        parts=parts,
        ours=ours_of(parts, baselines, runs, names),
        waiting=waits[0] if len(waits) == 1 else mean_waiting(runs, waits),
        queued=bool(queued),
        waiting_barred=tuple(queued or waiting_barred(runs)),
        known_errors=known_errors(
            baselines, runs, same_meters=agree_on(fairness, METERS), comparable=parts.total is not None
        ),
        repeats=repeats_of(baselines, runs, waits, fairness, names),
        accuracy=_accuracy(baselines, runs, fairness),
        notes=tuple(notes),
    )


def _accuracy(baselines: Records, runs: Records, fairness: Fairness) -> AccuracySampling | None:
    """Return how sure single runs are; of several, their spread tells more."""
    if len(runs) > 1 or len(baselines) > 1:
        return None
    same_data = agree_on(fairness, ("data",))
    return accuracy_sampling(baselines[0] if baselines else None, runs[0], same_data=same_data)


def _attribution(baselines: Records, runs: Records, fairness: Fairness) -> tuple[AttributionParts, list[str]]:
    whole = parts_of(baselines or runs, runs)  # also without a baseline: a record must agree with itself
    unknown = _not_separated(runs)
    if not baselines:
        return waiting_part(runs), unknown
    if barring(fairness, "comparison"):
        return waiting_part(runs), ["the change in emissions is not attributed, because the two are not comparable"]
    return whole, unknown


def _not_separated(runs: Records) -> list[str]:
    found = []
    for run in runs:
        at_submission = run.counterfactual
        if at_submission is None:
            found.append("is not known")
        elif at_submission.emissions_gco2eq == 0 and run.emissions_gco2eq > 0:
            found.append("was zero")
    return [
        f"waiting cannot be separated from grid conditions: the grid's intensity at submission {why}"
        for why in dict.fromkeys(found)
    ]
