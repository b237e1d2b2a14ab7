"""The report as one HTML file: what the page shows, in its order; the template has the fixed texts, such as definitions.

This imports numpy and Jinja, and writing a page matplotlib; a DAG's file imports none of them.
"""

import math
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup, escape

from lowtide import units
from lowtide.config.providers import licences_of
from lowtide.records import TrainingRecord
from lowtide.report.comparability import CHECKS, DEVICE_NAME, GPU_DEVICES, METHODS, WHOLE_KEY
from lowtide.report.figures import EMISSIONS, FIGURES, Figure, bounds_text, runs_of
from lowtide.report.html.charts import Table, intensity, power, waterfall
from lowtide.report.html.run_data import Evidence, activities, done_text, gather
from lowtide.report.model import Interval, Report, Waiting
from lowtide.report.text import (
    DIFFERENCE_HEADER,
    INTERVAL_HEADER,
    difference_rows,
    interval_rows,
    plain,
    quality_facts,
    render_table,
    run_facts,
    waiting_sentences,
)


def render_html(report: Report, *, baseline_folder: Path | None = None, run_folder: Path | None = None) -> str:
    """Return the report as one self-contained page: plain text and drawings, escaped by the template.

    :param baseline_folder: where the baseline's ledger, record and decisions are; None = where its figures say.
    :param run_folder: the same of the run.
    """
    run, baseline = gather(report.run, run_folder), Evidence()
    sides, spans = [("This run", report.run, run)], activities(report.run, run)
    if report.baseline is not None:
        baseline = gather(report.baseline, baseline_folder)
        sides.append(("Baseline", report.baseline, baseline))
    return _template().render(
        report=report,
        direction=_direction(report),
        tiles=tiles_of(report),
        waterfall=waterfall(report),
        quality=quality_facts(report),
        done=done_text(spans),
        wait=tuple(waiting_sentences(report)),
        intensity=intensity(report, run, spans),
        power=power(report, baseline, run, spans),
        tables=_tables(report),
        same=_same(report),
        sources=[(who, (*run_facts(side), *_read_facts(side, found)), found) for who, side, found in sides],
        licences=licences_of((*sources_of(run), *sources_of(baseline))) or ("No source is known here.",),
    )


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("page")),
        autoescape=True,
        undefined=StrictUndefined,
        # control and bidirectional characters could hide or turn text around
        finalize=lambda value: plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    # figures are set here and not after, since ``plain`` makes all spaces equal
    figures: dict[str, Any] = {"fig": lambda text: escape(units.typeset(plain(text)))}
    environment.filters |= figures | {"utc": units.timestamp_text, "change": units.signed_grams_text}
    return environment.get_template("report.html.j2")


class Tile(NamedTuple):
    """One key figure; ``lines`` say compared with what, and within which bounds."""

    label: str
    now: str
    lines: tuple[str, ...] = ()


def _direction(report: Report) -> str:
    """Name the direction, and waiting where it is waiting's alone: the total may well be higher."""
    found, controllable = report.headline.direction, report.controllable
    by_waiting = found in ("lower", "higher") and controllable is not None and controllable.parts == ("waiting",)
    return (found or "").replace("_", " ").capitalize() + (" by waiting" if by_waiting else "")


# The key figures: what they are now, what they were, and between which bounds they lie.


def tiles_of(report: Report) -> tuple[Tile, ...]:
    """Return the tiles, in the order of what a reader asks first."""
    rest = (_tile(report, figure) for figure in FIGURES if figure.change and figure is not EMISSIONS)
    return (_tile(report, EMISSIONS), _controllable(report), _waiting(report), *rest)


def _tile(report: Report, figure: Figure) -> Tile:
    now, lines = figure.mean(report, "run"), [*_before(report, figure)]
    if figure is EMISSIONS and report.run.uncertainty is not None and report.replicates is None:
        lines.append(f"known errors: {bounds_text(report.run)}")
    return Tile(figure.label, units.NONE_TEXT if now is None else figure.write(now), tuple(lines))


def _before(report: Report, figure: Figure) -> Iterator[str]:
    mean = figure.mean(report, "baseline")
    if mean is None:
        return
    before, change, total = figure.write(mean), figure.change_in(report.changes), report.attribution_gco2eq.total
    if change == units.NONE_TEXT:
        yield f"{before} before; not comparable"
    elif figure is EMISSIONS and total is not None:
        yield f"{units.signed_grams_text(total)}, {change} of the baseline's {before}"
    else:
        yield f"{change} from {before}"
    intervals = {} if report.replicates is None else report.replicates.changes
    yield from _over_runs(report, intervals.get(figure.change or ""), figure.change_text)


def _over_runs(report: Report, interval: Interval | None, write: Callable[[float], str]) -> Iterator[str]:
    if interval is not None:
        runs = " and ".join(str(len(runs_of(report, side))) for side in ("baseline", "run"))
        yield f"{write(interval.low)} to {write(interval.high)} over {runs} runs"


def _controllable(report: Report) -> Tile:
    found = report.controllable
    if found is None:
        attributed = report.attribution_gco2eq.total is not None
        why = "nothing is controllable here" if attributed else "nothing is attributed"
        return Tile("Controllable change", units.NONE_TEXT, (why,))
    lines = [
        f"by {' and '.join(found.parts)}",
        f"{units.change_text(found.change_percent)} of what it would have been without",
    ]
    if before := EMISSIONS.mean(report, "baseline"):
        share = units.change_text(100 * found.change_gco2eq / before)
        lines.insert(0, f"{share} of the baseline's {units.grams_text(before)}")
    if report.replicates is not None:
        lines += _over_runs(report, report.replicates.controllable_percent, units.change_text)
    return Tile("Controllable change", units.signed_grams_text(found.change_gco2eq), tuple(lines))


def _waiting(report: Report) -> Tile:
    waiting, best = report.waiting, report.waiting.perfect_foresight
    if waiting.avoided_gco2eq is None:
        return Tile("Avoided by waiting", units.NONE_TEXT, (_waited(waiting), "intensity at submission not known"))
    share = waiting.avoided_percent
    lines = [] if share is None else [f"{units.change_text(-share)} compared with submission"]
    lines.append(_waited(waiting))
    if best is not None and best.captured_percent is not None and best.captured_percent >= 0:
        lines.append(f"{units.percent_text(best.captured_percent)} of what was possible")
    return Tile(_waiting_label(waiting), units.grams_text(abs(waiting.avoided_gco2eq)), tuple(lines))


def _waited(waiting: Waiting) -> str:
    paused = f", paused {units.duration_text(waiting.paused_s)}" if waiting.paused_s else ""
    if waiting.no_wait is not None:
        return f"started {units.duration_text(waiting.wait_s)} later, not a wait: {waiting.no_wait}{paused}"
    both = "both" if waiting.paused_s else "it"
    queued = f", {units.duration_text(waiting.queued_s)} of {both} queued or starting" if waiting.queued_s else ""
    return f"waited {units.duration_text(waiting.wait_s)}{paused}{queued}"


def _waiting_label(waiting: Waiting) -> str:
    """Name the grams after the wait only where there was one: a queue is not a decision."""
    less = (waiting.avoided_gco2eq or 0.0) >= 0
    if waiting.no_wait is not None or waiting.queue_bars_claim:
        return "Less than at submission" if less else "More than at submission"
    return "Avoided by waiting" if less else "Added by waiting"


# The tables, and where each side's figures come from: files with checksums, versions, sources.


def _tables(report: Report) -> list[Table]:
    tables = (
        Table(
            "Baseline compared with this run", ("Figure", "Baseline", "This run", "Change"), tuple(render_table(report))
        ),
        Table("Intervals over repeated runs", INTERVAL_HEADER, tuple(interval_rows(report))),
        Table("Differences between the runs", DIFFERENCE_HEADER, tuple(difference_rows(report))),
    )
    return [table for table in tables if table.rows]


def _same(report: Report) -> str:
    different = {difference.what for difference in report.fairness.differences}
    labels = {check.what: check.label for check in (*CHECKS, *METHODS, DEVICE_NAME, GPU_DEVICES, WHOLE_KEY)}
    return ", ".join(labels.get(key, key) for key in report.fairness.checked if key not in different)


def sources_of(evidence: Evidence) -> tuple[str, ...]:
    """Return whose intensities a run was valued at or waited for."""
    return tuple(dict.fromkeys(reading.source for reading in (*evidence.readings, *evidence.seen)))


def _read_facts(run: TrainingRecord, evidence: Evidence) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield what the run's files hold, first of all whether the ledger's rows, summed here, are the record's figures."""
    if (rows := evidence.rows) is not None:
        kwh, grams = float(rows.energy_kwh.sum()), float(rows.emissions_gco2eq.sum())
        summed, recorded = (kwh, grams), (run.energy_kwh.total, run.emissions_gco2eq)
        same = all(math.isclose(*pair, rel_tol=1e-9, abs_tol=1e-21) for pair in zip(summed, recorded, strict=True))
        verdict = "the record's figures" if same else "NOT the record's figures"
        sums = f"{units.energy_text(kwh)} and {units.grams_text(grams)}"
        yield "Rows of the ledger", (f"{len(rows):,} rows, which sum to {sums}: {verdict}",)
    if sources := sources_of(evidence):
        yield "Intensity from", (", ".join(sources),)
    yield "Versions", (", ".join(f"{name} {version}" for name, version in run.versions.items()),)
