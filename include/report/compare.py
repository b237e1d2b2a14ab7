"""Compares a run's record with a baseline's: the one entry of this room."""

from collections.abc import Sequence
from datetime import datetime

from include.config import ReportConfig
from include.errors import ArtifactError
from include.records import TrainingRecord
from include.report.changes import Comparison, compared
from include.report.headline import headline
from include.report.model import Report, RunFigures
from include.report.notes import age_notes, differences, run_notes


def compare_runs(
    baseline: TrainingRecord | None,
    run: TrainingRecord,
    *,
    settings: ReportConfig,
    now: datetime,
    notes: Sequence[str] = (),
) -> Report:
    """Return the report of a run beside its baseline, or alone.

    :param notes: what the caller found out while it looked for the baseline; they stand first.
    :raises ArtifactError: the two have different comparison keys, or a record contradicts itself.
    """
    if baseline is not None and baseline.comparison_key != run.comparison_key:
        raise ArtifactError(
            f"runs {baseline.run_id!r} and {run.run_id!r} cannot be compared: {_differing_parts(baseline, run)};"
            " compare runs of the same model, data, zone and effective batch"
        )
    comparison = compared(baseline, run)
    return Report(
        generated_at=now,
        run_id=run.run_id,
        baseline_run_id=None if baseline is None else baseline.run_id,
        headline=headline(comparison, repeatability_percent=settings.repeatability_percent),
        changes=comparison.changes,
        attribution_gco2eq=comparison.parts,
        waiting=comparison.waiting,
        baseline=None if baseline is None else RunFigures.of(baseline),
        run=RunFigures.of(run),
        notes=(*notes, *_notes(comparison, settings, now)),
    )


def _notes(comparison: Comparison, settings: ReportConfig, now: datetime) -> list[str]:
    found = [*comparison.notes, *run_notes(comparison.run, "run")]
    if comparison.baseline is None:
        return found
    found += age_notes(comparison.baseline, settings, now)
    found += run_notes(comparison.baseline, "baseline")
    return found + differences(comparison.baseline, comparison.run)


def _differing_parts(baseline: TrainingRecord, run: TrainingRecord) -> str:
    before, after = baseline.comparison_key.split("; "), run.comparison_key.split("; ")
    if len(before) != len(after):
        return f"{baseline.comparison_key!r} is not {run.comparison_key!r}"
    pairs = zip(before, after, strict=True)
    return ", ".join(f"{old!r} is not {new!r}" for old, new in pairs if old != new)
