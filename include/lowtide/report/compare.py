"""Compares runs with their baselines."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from lowtide.config.schema import ReportConfig
from lowtide.errors import ArtifactError
from lowtide.records import TrainingRecord
from lowtide.report.attribution import changes_of, controllable_of, credited, parts_of
from lowtide.report.claims import age_notes, headline, named, run_notes
from lowtide.report.comparability import METERS, agree_on, barring, comparability_of
from lowtide.report.model import AttributionParts, Changes, Comparison, Report
from lowtide.report.replicates import replicates_of
from lowtide.report.statistics import known_errors
from lowtide.report.waiting import NO_EVIDENCE, WaitEvidence, mean_waiting, waiting_of

Records = Sequence[TrainingRecord]


def compare_runs(
    baselines: Records,
    runs: Records,
    *,
    settings: ReportConfig,
    now: datetime,
    notes: Sequence[str] = (),
    evidence: Sequence[WaitEvidence] = (),
) -> Report:
    """Return the report of one or more runs beside one or more baselines: means, and intervals where both have several.

    :param evidence: of the runs' waits, in their order; empty for none.
    :raises ArtifactError: no run, one that is given twice or as its own baseline, or a record that contradicts itself.
    """
    _refuse_repetitions(baselines, runs)
    if not runs:
        raise ArtifactError("there is no run to compare; give at least one")
    waits = [waiting_of(run, found) for run, found in zip(runs, evidence or [NO_EVIDENCE] * len(runs), strict=True)]
    waiting, comparability = mean_waiting(runs, waits), comparability_of(baselines, runs)
    names = credited(baselines, runs, waiting, comparability)
    parts = parts_of(baselines or runs, runs)  # also without a baseline: a record must agree with itself
    comparable = bool(baselines) and not barring(comparability, "comparison")
    if not comparable:  # waiting alone is known without a comparable baseline
        parts = AttributionParts(waiting=None if waiting.avoided_gco2eq is None else -waiting.avoided_gco2eq)
    comparison = Comparison(
        changes=changes_of(baselines, runs, comparability) if baselines else Changes(),
        attribution_gco2eq=parts,
        controllable=controllable_of(parts, baselines, runs, names),
        waiting=waiting,
        fairness=comparability,
        known_errors=known_errors(baselines, runs, same_meters=agree_on(comparability, METERS), comparable=comparable),
        replicates=replicates_of(baselines, runs, waits, comparability, names),
        repeatability_percent=settings.repeatability_percent,
        baseline=baselines[0] if baselines else None,
        run=runs[0],
        baseline_notes=tuple(notes),
        notes=(
            *notes,
            *_not_attributed(baselines, runs, comparable=comparable),
            *_notes(baselines, runs, settings, now),
        ),
    )
    return Report(
        generated_at=now,
        run_id=runs[0].run_id,
        baseline_run_id=baselines[0].run_id if baselines else None,
        headline=headline(comparison),
        **dict(comparison),
    )


def _refuse_repetitions(baselines: Records, runs: Records) -> None:
    sides: dict[str, str] = {}
    for side, record in (*(("baseline", record) for record in baselines), *(("run", record) for record in runs)):
        first = sides.get(record.ledger_sha256)
        if first == side:
            raise ArtifactError(
                f"run {record.run_id!r} is given twice as a {side}: counted twice, it would understate the uncertainty of"
                " the figures; give it once"
            )
        if first is not None:
            raise ArtifactError(
                f"run {record.run_id!r} is also given as a baseline and would be compared with itself; give two runs, or no baseline"
            )
        sides[record.ledger_sha256] = side


def _not_attributed(baselines: Records, runs: Records, *, comparable: bool) -> Iterator[str]:
    if baselines and not comparable:
        yield "the change in emissions is not attributed, because the runs are not comparable"
        return
    at_submission = [(run.counterfactual, run) for run in runs]
    unknown = any(found is None for found, _ in at_submission)
    zero = any(found and found.emissions_gco2eq == 0 and run.emissions_gco2eq > 0 for found, run in at_submission)
    for why in (*["is not known"] * unknown, *["was zero"] * zero):
        yield f"waiting cannot be separated from grid conditions: the grid's intensity at submission {why}"


def _notes(baselines: Records, runs: Records, settings: ReportConfig, now: datetime) -> Iterator[str]:
    for record, who in named(runs, "run"):
        yield from run_notes(record, who)
    for record, who in named(baselines, "baseline"):
        yield from (*age_notes(record, who, settings, now), *run_notes(record, who))
