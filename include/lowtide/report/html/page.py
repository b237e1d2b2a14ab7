"""Everything that the page says, in the order in which it says it; the template only puts it into place."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lowtide import units
from lowtide.config.providers import licences_of
from lowtide.report.comparability import CHECKS, DEVICE_NAME, GPU_DEVICES, METHODS, WHOLE_KEY
from lowtide.report.figures import DURATION, EMISSIONS, ENERGY, INTENSITY, PEAK_MEMORY, TEST_ACCURACY, Figure, runs_of
from lowtide.report.html.charts import Table, intensity, power, waterfall
from lowtide.report.html.run_data import Evidence, Span, activities, total_s
from lowtide.report.model import Direction, Interval, Report, RunFigures, Status, Waiting
from lowtide.report.text import (
    DIFFERENCE_HEADER,
    INTERVAL_HEADER,
    difference_rows,
    interval_rows,
    quality_facts,
    render_table,
    run_facts,
    waiting_sentences,
)
from lowtide.units import change_text, duration_text, grams_text, percent_text, signed_grams_text

STATUS: Final[dict[Status, tuple[str, str]]] = {
    "claimed": ("Claimed", "The figures meet the rules for a claim. Only the sentence above is claimed."),
    "simulated": (
        "Simulated",
        "The grid or the energy was replayed or modelled. The figures show how Lowtide works; nothing is claimed.",
    ),
    "withheld": ("Withheld", "No claim is made, for the reasons below."),
    "no_baseline": (
        "No baseline",
        "There is no run to compare with. Only the effect of waiting on this run's own emissions is known.",
    ),
}
DIRECTION: Final[dict[Direction, str]] = {
    "lower": "Lower",
    "higher": "Higher",
    "no_measurable_change": "No measurable change",
}
TERMS: Final = (
    (
        "Emissions",
        "The sum over the ledger's rows of energy x the site's PUE x the grid's intensity at that time. Location-based, in"
        " grams of CO2-equivalent.",
    ),
    (
        "Attribution",
        "The change in grams, divided without a residual into work, efficiency, grid conditions and waiting"
        " (LMDI-I: Ang, Energy Policy 32, 2004).",
    ),
    (
        "Controllable change",
        "The grams of waiting and efficiency, as far as they may be claimed, and their percentage of the baseline's emissions."
        " The last line of the tile, and the headline, relate them to what the same samples would have emitted without them.",
    ),
    ("Work", "More or fewer samples than the baseline. External."),
    ("Efficiency", "Energy per sample, PUE included. Controllable where the meters can measure it."),
    (
        "Grid conditions",
        "The grid when this run was submitted, compared with the grid of the baseline. External: the weather.",
    ),
    (
        "Waiting",
        "The grid when the run used its energy, compared with the grid had it started at submission. Controllable where a"
        " decision made the run wait.",
    ),
    (
        "Perfect foresight",
        "The same energy curve at the best time between submission and deadline, known only afterwards. No plan can do better.",
    ),
    (
        "Known errors",
        "The bounds if every method errs as far as its published error goes, all in the same direction.",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One key figure; ``lines`` say compared with what, and within which bounds."""

    label: str
    now: str
    lines: tuple[str, ...] = ()


def view_of(report: Report, *, baseline: Evidence, run: Evidence) -> dict[str, Any]:
    """Return what the template shows of a report and of what its runs left: plain text and drawings, escaped there."""
    word, meaning = STATUS[report.headline.status]
    spans = activities(report.run, run)
    sides = [("This run", report.run, run)]
    if report.baseline is not None:
        sides.append(("Baseline", report.baseline, baseline))
    return {
        "title": f"{word}: run {report.run_id}",
        "status": {"key": report.headline.status, "word": word, "meaning": meaning},
        "direction": _direction(report),
        "headline": report.headline.text,
        "ids": _ids(report),
        "tiles": tiles_of(report),
        "why": _why(report),
        "waterfall": waterfall(report),
        "reasons": report.headline.reasons,
        "quality": quality_facts(report),
        "when": _when(report, spans),
        "wait": tuple(waiting_sentences(report)),
        "intensity": intensity(report, run, spans),
        "missing": _missing(report, baseline, run),
        "power": power(report, baseline, run, spans),
        "tables": tuple(_tables(report)),
        "same": _same(report),
        "notes": report.notes,
        "sources": tuple(
            {
                "who": who,
                "facts": (*run_facts(figures), *_read_facts(figures, found)),
                "files": found.files,
                "problems": found.problems,
            }
            for who, figures, found in sides
        ),
        "licences": licences_of((*sources_of(run), *sources_of(baseline))) or ("No source is known here.",),
        "terms": TERMS,
        "footer": f"Written {units.timestamp_text(report.generated_at)}. The same figures are in report.json and report.md beside"
        " this file.",
    }


def _direction(report: Report) -> str | None:
    """Name the direction, and waiting where it is waiting's alone: the total may well be higher."""
    found = report.headline.direction
    if found is None:
        return None
    by_waiting = (
        found != "no_measurable_change"
        and report.controllable is not None
        and report.controllable.parts == ("waiting",)
    )
    return DIRECTION[found] + (" by waiting" if by_waiting else "")


def _ids(report: Report) -> tuple[tuple[str, str], ...]:
    run = report.run
    return (
        ("Run", report.run_id),
        ("Baseline", report.baseline_run_id or "none"),
        ("Zone", run.zone),
        ("Policy", run.policy),
        ("Device", run.device_name),
        ("Ended", units.timestamp_text(run.ended_at)),
    )


def _why(report: Report) -> str:
    if report.run.counterfactual is None and (report.baseline is None or report.attribution_gco2eq.total is None):
        return "The intensity at submission is not known, so not even the effect of waiting can be shown."
    if report.baseline is None:
        return "Without a baseline, the run is compared with its own energy at submission."
    if report.attribution_gco2eq.total is None:
        return "The two runs are not comparable, so the change is not attributed. The run is compared with its own energy at submission."
    total = signed_grams_text(report.attribution_gco2eq.total)
    return f"A change of {total}: filled bars are controllable, hatched ones are not."


def _when(report: Report, spans: Sequence[Span]) -> str:
    waited, paused = total_s(spans, "waiting"), total_s(spans, "paused")
    done = [f"waited {duration_text(waited)}" if waited else "started at once"]
    if paused:
        done.append(f"paused for {duration_text(paused)}")
    if queued_s := report.waiting.queued_s:  # before the start, or before resuming after a pause
        done[-1] += f" ({duration_text(queued_s)} {'of both ' if waited and paused else ''}queued or starting)"
    if lost := total_s(spans, "interrupted"):
        done.append(f"was interrupted for {duration_text(lost)}")
    replayed = any(kind == "replayed" for kind in report.run.intensity_kinds)
    times = " All times are the replayed grid's." if replayed else ""
    ran = duration_text(total_s(spans, "running"))
    submitted = units.timestamp_text(report.run.submitted_at)
    return f"Submitted {submitted}; the run {', '.join(done)} and ran for {ran}.{times}"


def _missing(report: Report, baseline: Evidence, run: Evidence) -> tuple[str, ...]:
    sides = [("This run", run)] if report.baseline is None else [("The baseline", baseline), ("This run", run)]
    drawn = (
        ()
        if report.replicates is None
        else ("The first baseline and the first run are drawn; the tables hold the means.",)
    )
    return drawn + tuple(
        f"{who} is missing here: {'; '.join(evidence.problems)}. Its totals are in the tables."
        for who, evidence in sides
        if evidence.rows is None
    )


# The key figures: what they are now, what they were, and between which bounds they lie.


def tiles_of(report: Report) -> tuple[Tile, ...]:
    """Return the tiles, in the order of what a reader asks first."""
    rest = (ENERGY, INTENSITY, TEST_ACCURACY, PEAK_MEMORY, DURATION)
    return (_tile(report, EMISSIONS), _controllable(report), _waiting(report), *(_tile(report, f) for f in rest))


def _tile(report: Report, figure: Figure) -> Tile:
    now = figure.mean(report, "run")
    lines = [*_before(report, figure)]
    bounds = report.run.uncertainty
    if figure is EMISSIONS and bounds is not None and report.replicates is None:
        low, high = grams_text(bounds.emissions_low_gco2eq), grams_text(bounds.emissions_high_gco2eq)
        lines.append(f"known errors: {low} to {high}")
    return Tile(label=figure.label, now=units.NONE_TEXT if now is None else figure.write(now), lines=tuple(lines))


def _before(report: Report, figure: Figure) -> Iterator[str]:
    mean = figure.mean(report, "baseline")
    if mean is None:
        return
    before, change, total = figure.write(mean), figure.change_in(report.changes), report.attribution_gco2eq.total
    if change == units.NONE_TEXT:
        yield f"{before} before; not comparable"
    elif figure is EMISSIONS and total is not None:
        yield f"{signed_grams_text(total)}, {change} of the baseline's {before}"
    else:
        yield f"{change} from {before}"
    interval = None if report.replicates is None else report.replicates.changes.get(figure.change or "")
    if interval is not None:
        yield f"{figure.change_text(interval.low)} to {figure.change_text(interval.high)} over {_runs(report)}"


def _runs(report: Report) -> str:
    return f"{len(runs_of(report, 'baseline'))} and {len(runs_of(report, 'run'))} runs"


def _controllable(report: Report) -> Tile:
    found = report.controllable
    if found is None:
        attributed = report.attribution_gco2eq.total is not None
        why = "nothing is controllable here" if attributed else "nothing is attributed"
        return Tile(label="Controllable change", now=units.NONE_TEXT, lines=(why,))
    lines = [
        f"by {' and '.join(found.parts)}",
        f"{change_text(found.change_percent)} of what it would have been without",
    ]
    if before := EMISSIONS.mean(report, "baseline"):
        share = change_text(100 * found.change_gco2eq / before)
        lines.insert(0, f"{share} of the baseline's {grams_text(before)}")
    interval: Interval | None = None if report.replicates is None else report.replicates.controllable_percent
    if interval is not None:
        lines.append(f"{change_text(interval.low)} to {change_text(interval.high)} over {_runs(report)}")
    return Tile(label="Controllable change", now=signed_grams_text(found.change_gco2eq), lines=tuple(lines))


def _waiting(report: Report) -> Tile:
    waiting = report.waiting
    waited = _waited(waiting)
    if waiting.avoided_gco2eq is None:
        return Tile(
            label="Avoided by waiting", now=units.NONE_TEXT, lines=(waited, "intensity at submission not known")
        )
    lines = [waited]
    if waiting.avoided_percent is not None:
        lines.insert(0, f"{change_text(-waiting.avoided_percent)} compared with submission")
    captured = None if waiting.perfect_foresight is None else waiting.perfect_foresight.captured_percent
    if captured is not None and captured >= 0:
        lines.append(f"{percent_text(captured)} of what was possible")
    return Tile(label=_waiting_label(waiting), now=grams_text(abs(waiting.avoided_gco2eq)), lines=tuple(lines))


def _waited(waiting: Waiting) -> str:
    paused = f", paused {duration_text(waiting.paused_s)}" if waiting.paused_s else ""
    if waiting.no_wait is not None:
        return f"started {duration_text(waiting.wait_s)} later, not a wait: {waiting.no_wait}{paused}"
    both = "both" if waiting.paused_s else "it"
    queued = f", {duration_text(waiting.queued_s)} of {both} queued or starting" if waiting.queued_s else ""
    return f"waited {duration_text(waiting.wait_s)}{paused}{queued}"


def _waiting_label(waiting: Waiting) -> str:
    """Name the grams after the wait only where there was one: a queue is not a decision."""
    less = (waiting.avoided_gco2eq or 0.0) >= 0
    if waiting.no_wait is not None or waiting.queue_bars_claim:
        return "Less than at submission" if less else "More than at submission"
    return "Avoided by waiting" if less else "Added by waiting"


# The tables, and where each side's figures come from: files with checksums, versions, sources.


def _tables(report: Report) -> Iterator[Table]:
    yield Table(
        caption="Baseline compared with this run",
        header=("Figure", "Baseline", "This run", "Change"),
        rows=tuple(render_table(report)),
    )
    if rows := interval_rows(report):
        yield Table(caption="Intervals over repeated runs", header=INTERVAL_HEADER, rows=tuple(rows))
    if rows := difference_rows(report):
        yield Table(caption="Differences between the runs", header=DIFFERENCE_HEADER, rows=tuple(rows))


def _same(report: Report) -> str:
    different = {difference.what for difference in report.fairness.differences}
    labels = {check.what: check.label for check in (*CHECKS, *METHODS, DEVICE_NAME, GPU_DEVICES, WHOLE_KEY)}
    return ", ".join(labels.get(key, key) for key in report.fairness.checked if key not in different)


def sources_of(evidence: Evidence) -> tuple[str, ...]:
    """Return whose intensities a run was valued at or waited for."""
    return tuple(dict.fromkeys(reading.source for reading in (*evidence.readings, *evidence.seen)))


def _read_facts(run: RunFigures, evidence: Evidence) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield what only the run's files hold, first of all whether the ledger's rows, summed here, are the record's figures."""
    if (rows := evidence.rows) is not None:
        kwh, grams = float(rows.energy_kwh.sum()), float(rows.emissions_gco2eq.sum())
        summed, recorded = (kwh, grams), (run.energy_kwh.total, run.emissions_gco2eq)
        same = all(math.isclose(*pair, rel_tol=1e-9, abs_tol=1e-21) for pair in zip(summed, recorded, strict=True))
        verdict = "the record's figures" if same else "NOT the record's figures"
        sums = f"{units.energy_text(kwh)} and {grams_text(grams)}"
        yield "Rows of the ledger", (f"{len(rows):,} rows, which sum to {sums}: {verdict}",)
    if sources := sources_of(evidence):
        yield "Intensity from", (", ".join(sources),)
    if evidence.record is not None:
        yield "Versions", (", ".join(f"{name} {version}" for name, version in evidence.record.versions.items()),)
