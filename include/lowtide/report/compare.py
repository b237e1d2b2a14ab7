"""Compares runs with their baselines; of several runs a side also means, spreads and the intervals of the changes."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from lowtide.config.schema import ReportConfig
from lowtide.errors import ArtifactError
from lowtide.io import write_atomically
from lowtide.records import TrainingRecord
from lowtide.report.attribution import changes_of, controllable_of, credited, parts_of
from lowtide.report.claims import age_notes, headline, named, run_notes
from lowtide.report.comparability import METERS, agree_on, barring, comparability_of
from lowtide.report.figures import FIGURES, WAIT_FIGURES
from lowtide.report.model import (
    AttributionParts,
    Changes,
    Comparability,
    Comparison,
    Interval,
    ReplicateFigure,
    Replicates,
    Report,
    Waiting,
)
from lowtide.report.statistics import CONFIDENCE_PERCENT, METHOD, intervals_of, known_errors, spread_of
from lowtide.report.text import render_markdown
from lowtide.report.waiting import NO_EVIDENCE, WaitEvidence, avoided_percent, mean_waiting, waiting_of

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
        replicates=_replicates(baselines, runs, waits, comparability, names),
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


def write_report(
    report: Report, folder: Path, *, baseline_folder: Path | None = None, run_folder: Path | None = None
) -> dict[str, Path]:
    """Write ``report.html``, ``report.md`` and ``report.json``, each whole or not at all; return their paths by file name.

    :param baseline_folder: where the baseline's ledger is, whose curves the page shows; None = where its figures say.
    :param run_folder: the same of the run. What cannot be read there is named on the page.
    :raises ArtifactError: the folder cannot be written.
    """
    from lowtide.report.html.page import render_html  # matplotlib, numpy, Jinja: only where a page is written

    page = render_html(report, baseline_folder=baseline_folder, run_folder=run_folder)
    return {
        "report.html": write_atomically(folder / "report.html", page),
        "report.md": write_atomically(folder / "report.md", render_markdown(report)),
        "report.json": write_atomically(folder / "report.json", report.model_dump_json(indent=2) + "\n"),
    }


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


# Several runs a side: each figure's mean, standard deviation and interval, and the intervals of the changes.


def _replicates(
    baselines: Records, runs: Records, waits: Sequence[Waiting], comparability: Comparability, names: Sequence[str]
) -> Replicates | None:
    """Return the spreads and intervals; None with one run a side.

    :param waits: of the runs, in their order.
    :param names: the controllable parts.
    """
    if len(baselines) <= 1 and len(runs) <= 1:
        return None
    changes, parts, controllable, waiting = (dict[str, Interval]() for _ in range(4))
    reason, groups = _without_interval(baselines, runs), (baselines, runs)
    if reason is None:
        changes = intervals_of(lambda g: changes_of(g[0], g[1], comparability).model_dump(), groups)
        if not barring(comparability, "comparison"):
            parts = intervals_of(lambda g: parts_of(g[0], g[1]).model_dump(), groups)
            controllable = intervals_of(lambda g: {"percent": _controllable_percent(g[0], g[1], names)}, groups)
    if len(runs) > 1:
        waiting = intervals_of(lambda g: {"percent": avoided_percent(g[0])}, [runs])
    return Replicates(
        baselines=tuple(baselines),
        runs=tuple(runs),
        confidence_percent=CONFIDENCE_PERCENT,
        method=METHOD,
        without_interval=reason,
        figures=(*_spreads(baselines, runs), *_wait_spreads(waits)),
        changes=changes,
        attribution_gco2eq=parts,
        controllable_percent=controllable.get("percent"),
        waiting_avoided_percent=waiting.get("percent"),
    )


def _without_interval(baselines: Records, runs: Records) -> str | None:
    if not baselines:
        return "there is no baseline"
    alone = [who for who, side in (("baseline", baselines), ("run", runs)) if len(side) == 1]
    return f"there is only one {alone[0]}, which has no spread; give at least two" if alone else None


def _controllable_percent(baselines: Records, runs: Records, names: Sequence[str]) -> float | None:
    found = controllable_of(parts_of(baselines, runs), baselines, runs, names)
    return found.change_percent if found else None


def _spreads(baselines: Records, runs: Records) -> Iterator[ReplicateFigure]:
    for figure in FIGURES:
        before, after = ([figure.read(record) for record in side] for side in (baselines, runs))
        yield ReplicateFigure(name=figure.key, baseline=spread_of(before) if before else None, run=spread_of(after))


def _wait_spreads(waits: Sequence[Waiting]) -> Iterator[ReplicateFigure]:
    """Yield the figures of waits that are known for every run."""
    for figure in WAIT_FIGURES:
        values = [value for wait in waits if (value := figure.read(wait)) is not None]
        if len(values) == len(waits):
            yield ReplicateFigure(name=figure.key, baseline=None, run=spread_of(values))
