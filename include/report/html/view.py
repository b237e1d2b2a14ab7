"""Everything that the page says, in the order in which it says it; the template only puts it into place."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from include.report.fairness.checks import CHECKS, DEVICE_NAME, GPU_DEVICES, METHODS, WHOLE_KEY
from include.report.html import drawings
from include.report.html.evidence import Evidence
from include.report.html.licences import licences_of
from include.report.html.parts import Facts, Shown, Tile
from include.report.html.provenance import Provenance, provenance_of, sources_of
from include.report.html.repeating import repeats_of
from include.report.html.tiles import tiles_of
from include.report.html.timeline import Span, activities, total_s
from include.report.html.trusting import trust_of
from include.report.html.typography import time_text
from include.report.html.words import DIRECTION, FOLLOWS, STATUS, TERMS
from include.report.model import Report
from include.report.text import figures
from include.report.text.table import render_table
from include.report.waits.text import waiting_sentences


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What the template shows; plain text and drawings, escaped where it is rendered."""

    title: str
    status: dict[str, str]
    direction: str | None
    headline: str
    ids: tuple[tuple[str, str], ...]
    tiles: tuple[Tile, ...]
    why: str
    waterfall: Shown | None
    no_waterfall: str
    reasons: tuple[str, ...]
    trust: Facts
    when: str
    wait: tuple[str, ...]
    intensity: Shown | None
    no_intensity: str
    missing: tuple[str, ...]
    power: Shown | None
    quality: Shown
    repeats: dict[str, Any] | None
    fairness: dict[str, Any]
    notes: tuple[str, ...]
    all_figures: Sequence[tuple[str, str, str, str]]
    provenance: tuple[Provenance, ...]
    licences: tuple[str, ...]
    words: tuple[tuple[str, str], ...]
    footer: str


def view_of(report: Report, *, baseline: Evidence, run: Evidence) -> View:
    """Return the view of a report and of what its runs left."""
    word, meaning = STATUS[report.headline.status]
    spans = activities(report.run, run)
    return View(
        title=f"{word}: run {report.run_id}",
        status={"key": report.headline.status, "word": word, "meaning": meaning},
        direction=_direction(report),
        headline=report.headline.text,
        ids=_ids(report),
        tiles=tiles_of(report),
        why=_why(report),
        waterfall=drawings.waterfall(report),
        no_waterfall="The intensity at submission is not known, so not even what waiting did can be shown.",
        reasons=report.headline.reasons,
        trust=trust_of(report),
        when=_when(report, spans),
        wait=tuple(waiting_sentences(report)),
        intensity=drawings.intensity(report, run, spans),
        no_intensity="No intensity is known for the time from submission to the end: the ledger cannot be read here.",
        missing=_missing(report, baseline, run),
        power=drawings.power(report, baseline, run, spans),
        quality=drawings.quality(report),
        repeats=repeats_of(report),
        fairness=_fairness(report),
        notes=report.notes,
        all_figures=render_table(report),
        provenance=_provenance(report, baseline, run),
        licences=licences_of((*sources_of(run), *sources_of(baseline))) or ("No source is known here.",),
        words=TERMS,
        footer=f"Written {figures.moment_text(report.generated_at)}. The same figures: report.json and report.md, beside this file.",
    )


def _direction(report: Report) -> str | None:
    """Name the direction, and whose it is where it is the wait's alone: the total may well be higher."""
    found = report.headline.direction
    if found is None:
        return None
    by_waiting = found != "no_measurable_change" and report.ours is not None and report.ours.parts == ("waiting",)
    return DIRECTION[found] + (" by waiting" if by_waiting else "")


def _ids(report: Report) -> tuple[tuple[str, str], ...]:
    run = report.run
    return (
        ("Run", report.run_id),
        ("Baseline", report.baseline_run_id or "none"),
        ("Zone", run.zone),
        ("Policy", run.policy),
        ("Device", run.device_name),
        ("Ended", figures.moment_text(run.ended_at)),
    )


def _why(report: Report) -> str:
    if report.baseline is None:
        return "Without a baseline, only the run's own energy at submission can be held against it."
    if report.attribution_gco2eq.total is None:
        return "The two runs are not comparable, so the change is not attributed. Shown is this run against its own energy at submission."
    total = figures.signed_grams_text(report.attribution_gco2eq.total)
    return f"A change of {total}: filled bars count as ours, hatched ones do not."


def _when(report: Report, spans: Sequence[Span]) -> str:
    waited, paused = total_s(spans, "waiting"), total_s(spans, "paused")
    told = [f"waited {time_text(waited)}" if waited else "started at once"]
    if paused:
        told.append(f"paused for {time_text(paused)}")
    if queued_s := report.waiting.queued_s:  # before the start, or before going on after a pause
        told[-1] += f" ({time_text(queued_s)} {'of both ' if waited and paused else ''}in a queue)"
    if lost := total_s(spans, "interrupted"):
        told.append(f"was interrupted for {time_text(lost)}")
    replayed = (
        " All times are the replayed grid's." if any(kind == "replayed" for kind in report.run.intensity_kinds) else ""
    )
    ran = time_text(total_s(spans, "running"))
    return f"Submitted {figures.moment_text(report.run.submitted_at)}; the run {', '.join(told)} and ran for {ran}.{replayed}"


def _missing(report: Report, baseline: Evidence, run: Evidence) -> tuple[str, ...]:
    sides = [("This run", run)] if report.baseline is None else [("The baseline", baseline), ("This run", run)]
    first = (
        () if report.repeats is None else ("Drawn are the first baseline and the first run; the table holds all runs.",)
    )
    return first + tuple(
        f"{who} is missing here: {'; '.join(evidence.problems)}. Its totals stand in the tables."
        for who, evidence in sides
        if evidence.rows is None
    )


def _fairness(report: Report) -> dict[str, Any]:
    found, checked = report.fairness.differences, report.fairness.checked
    different = {difference.what for difference in found}
    labels = {check.what: check.label for check in (*CHECKS, *METHODS, DEVICE_NAME, GPU_DEVICES, WHOLE_KEY)}
    same = [labels.get(key, key.replace("_", " ")) for key in checked if key not in different]
    if report.baseline is None:
        text = "There is no baseline to compare with."
    elif found:
        text = "What two runs should have in common, and where these two differ."
    else:
        text = "Nothing differs that should not."
    differences = [difference.model_dump() | {"follows": FOLLOWS[difference.bars]} for difference in found]
    return {"text": text, "differences": differences, "same": same}


def _provenance(report: Report, baseline: Evidence, run: Evidence) -> tuple[Provenance, ...]:
    now = provenance_of("This run", report.run, run)
    return (now,) if report.baseline is None else (now, provenance_of("Baseline", report.baseline, baseline))
