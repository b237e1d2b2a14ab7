"""Compares runs with their baselines."""

from collections.abc import Sequence
from datetime import datetime

from lowtide.config.schema import ReportConfig
from lowtide.errors import ArtifactError
from lowtide.records import TrainingRecord
from lowtide.report.claims import Comparison, age_notes, compared, headline, named, run_notes
from lowtide.report.model import Report, RunFigures
from lowtide.report.waiting import WaitEvidence


def compare_runs(
    baselines: Sequence[TrainingRecord],
    runs: Sequence[TrainingRecord],
    *,
    settings: ReportConfig,
    now: datetime,
    notes: Sequence[str] = (),
    evidence: Sequence[WaitEvidence | None] = (),
) -> Report:
    """Return the report of one or more runs beside one or more baselines: means, and intervals where both have several.

    :param evidence: of the runs' waits, in their order; empty for none.
    :raises ArtifactError: no run, one that is given twice or as its own baseline, or a record that contradicts itself.
    """
    _refuse_repetitions(baselines, "baseline")
    _refuse_repetitions(runs, "run")
    _refuse_own_baseline(baselines, runs)
    if not runs:
        raise ArtifactError("there is no run to compare; give at least one")
    comparison = compared(baselines, runs, evidence or [None] * len(runs))
    return Report(
        generated_at=now,
        run_id=runs[0].run_id,
        baseline_run_id=baselines[0].run_id if baselines else None,
        headline=headline(comparison, repeatability_percent=settings.repeatability_percent),
        changes=comparison.changes,
        attribution_gco2eq=comparison.parts,
        controllable=comparison.controllable,
        waiting=comparison.waiting,
        fairness=comparison.comparability,
        known_errors=comparison.known_errors,
        replicates=comparison.replicates,
        repeatability_percent=settings.repeatability_percent,
        baseline=RunFigures.of(baselines[0]) if baselines else None,
        run=RunFigures.of(runs[0]),
        baseline_notes=tuple(notes),
        notes=(*notes, *_notes(comparison, settings, now)),
    )


def _refuse_repetitions(records: Sequence[TrainingRecord], side: str) -> None:
    seen: dict[str, str] = {}
    for record in records:
        if record.ledger_sha256 in seen:
            raise ArtifactError(
                f"run {record.run_id!r} is given twice as a {side}: counted twice, it would understate the uncertainty of"
                " the figures; give it once"
            )
        seen[record.ledger_sha256] = record.run_id


def _refuse_own_baseline(baselines: Sequence[TrainingRecord], runs: Sequence[TrainingRecord]) -> None:
    ledgers = {baseline.ledger_sha256 for baseline in baselines}
    for run in runs:
        if run.ledger_sha256 in ledgers:
            raise ArtifactError(
                f"run {run.run_id!r} is also given as a baseline and would be compared with itself; give two runs, or no baseline"
            )


def _notes(comparison: Comparison, settings: ReportConfig, now: datetime) -> list[str]:
    found = list(comparison.notes)
    for record, who in named(comparison.runs, "run"):
        found += run_notes(record, who)
    for record, who in named(comparison.baselines, "baseline"):
        found += [*age_notes(record, who, settings, now), *run_notes(record, who)]
    return found
