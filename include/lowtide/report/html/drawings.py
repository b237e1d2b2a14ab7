"""What the page draws, each drawing with a table of the same figures beside it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import numpy as np

from lowtide import units
from lowtide.report.html.charts import (
    WHOSE,
    Bar,
    Chart,
    Course,
    GridOverTime,
    Mean,
    Progress,
    bars_of,
    draw_intensity,
    draw_power,
    draw_quality,
    draw_waterfall,
    power_text,
    told_course,
)
from lowtide.report.html.run_data import (
    Activity,
    Bins,
    Evidence,
    LedgerColumns,
    Side,
    Span,
    Step,
    binned,
    edges_of,
    intensity_steps,
    nice_width_s,
    runs_of,
    since_start,
    total_s,
)
from lowtide.report.model import Report, RunFigures
from lowtide.units import time_text

# The page's building blocks.


Facts = tuple[tuple[str, tuple[str, ...]], ...]
"""Names, each with its lines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The figures behind a chart; the first column names the row."""

    summary: str
    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    total: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One entry of a legend; ``key`` names its look in the style sheet."""

    key: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A chart with its legend and its table."""

    chart: Chart
    table: Table
    legend: tuple[Key, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One key figure; ``lines`` say against what, and within which bounds."""

    label: str
    now: str
    lines: tuple[str, ...] = ()


PART_MEANING: Final = {
    "work": "samples processed",
    "grid_conditions": "the grid at submission against the baseline's",
    "efficiency": "energy per sample, PUE included",
    "waiting": "the grid when run against the grid at submission",
}

# The tables beside the charts: what is drawn, in figures; the sums are the record's.


SUMMARY = "Figures of this chart"
_MOST_ROWS = 36
_ACTIVITIES: tuple[Activity, ...] = ("running", "paused", "interrupted", "waiting")


def waterfall_table(bars: Sequence[Bar]) -> Table:
    """Return the attribution's parts, and their sum."""
    rows = []
    for bar in bars:
        whose = "" if bar.is_total else WHOSE[bar.kind]
        meaning = PART_MEANING.get(bar.label.lower().replace(" ", "_"), "")
        rows.append((bar.label, bar.text, whose, meaning))
    change = units.signed_grams_text(bars[-1].end_gco2eq - bars[0].end_gco2eq)
    return Table(
        summary=SUMMARY,
        caption="From one amount to the other, in grams of CO2-equivalent",
        header=("Part", "Amount or change", "Whose", "What it is"),
        rows=tuple(rows),
        total=("Sum of the changes", change, "", ""),
    )


def intensity_table(spans: Sequence[Span], steps: Sequence[Step], rows: LedgerColumns | None) -> Table:
    """Return what the grid and the run did, in as many stretches of time as a person reads."""
    begin, end = spans[0].start_s, spans[-1].end_s
    width = nice_width_s(end - begin, _MOST_ROWS)
    edges = edges_of(begin, end, width)
    bins = None if rows is None else binned(rows, edges)
    found = [
        _stretch(float(edges[k]), float(edges[k + 1]), spans, steps) + _used(bins, k) for k in range(len(edges) - 1)
    ]
    return Table(
        summary=SUMMARY,
        caption=f"In stretches of {time_text(width)}; intensity is the mean over the time of which it is known",
        header=("From (UTC)", "The run was", "Intensity, g/kWh", "Energy", "Emissions"),
        rows=tuple(found),
        total=None if bins is None else ("Whole run", "", "", *_totals(bins)),
    )


def _stretch(begin_s: float, end_s: float, spans: Sequence[Span], steps: Sequence[Step]) -> tuple[str, ...]:
    first, last = max(begin_s, spans[0].start_s), min(end_s, spans[-1].end_s)
    mean = _mean_intensity(steps, first, last)
    doing = [activity for activity in _ACTIVITIES if _overlap(spans, activity, begin_s, end_s) > 0]
    intensity = units.NONE_TEXT if mean is None else units.significant(mean)
    return f"{datetime.fromtimestamp(first, UTC):%Y-%m-%d %H:%M:%S}", " and ".join(doing), intensity


def _used(bins: Bins | None, k: int) -> tuple[str, str]:
    if bins is None or not bins.covered_s[k]:
        return "", ""
    return units.energy_text(float(bins.energy_kwh[k])), units.grams_text(float(bins.emissions_gco2eq[k]))


def _totals(bins: Bins) -> tuple[str, str]:
    return units.energy_text(float(bins.energy_kwh.sum())), units.grams_text(float(bins.emissions_gco2eq.sum()))


def power_table(courses: Sequence[Course]) -> Table:
    """Return power and cumulative grams of each side since its start."""
    who = {"baseline": "baseline", "run": "this run"}
    header = [cell for c in courses for cell in (f"Power, {who[c.side]}", f"Emissions until then, {who[c.side]}")]
    longest = max((course.bins.edges_s for course in courses), key=len)
    rows = [
        (time_text(float(end)), *(cell for course in courses for cell in _power_cells(course.bins, k)))
        for k, end in enumerate(longest[1:])
    ]
    width = time_text(float(longest[1] - longest[0]))
    return Table(
        summary=SUMMARY,
        caption=f"In stretches of {width}, real time; power is the mean of the time that was measured",
        header=("Until", *header),
        rows=tuple(rows),
    )


def quality_table(report: Report) -> Table:
    """Return memory and accuracy of both sides."""
    names: tuple[tuple[str, Side], ...] = (("Baseline", "baseline"), ("This run", "run"))
    rows = [
        (
            who,
            run.run_id,
            units.memory_text(run.peak_memory_bytes),
            run.peak_memory_kind,
            f"{100 * run.test_accuracy:.2f} %",
            "" if run.test_samples is None else f"{run.test_samples:,}",
        )
        for who, side in names
        for run in runs_of(report, side)
    ]
    change = None
    if report.baseline is not None:
        changes = report.changes
        change = (
            "Change",
            units.change_text(changes.peak_memory_percent),
            "",
            units.points_text(changes.accuracy_points),
            "",
        )
    header = ("Side", "Run", "Peak memory", "What is counted", "Test accuracy", "Test samples")
    return Table(
        summary=SUMMARY, caption="Peak memory and test accuracy", header=header, rows=tuple(rows), total=change
    )


def _power_cells(bins: Bins, k: int) -> Iterator[str]:
    if k >= len(bins.energy_kwh):
        yield from ("", "")
        return
    watts = float(bins.power_w[k])
    yield units.NONE_TEXT if np.isnan(watts) else power_text(watts)
    yield units.grams_text(float(bins.cumulative_gco2eq[k + 1]))


def _mean_intensity(steps: Sequence[Step], begin_s: float, end_s: float) -> float | None:
    seconds = grams = 0.0
    for step in steps:
        shared = min(step.end_s, end_s) - max(step.start_s, begin_s)
        if shared > 0:
            seconds += shared
            grams += shared * step.carbon_intensity_gco2eq_per_kwh
    return grams / seconds if seconds else None


def _overlap(spans: Sequence[Span], activity: Activity, begin_s: float, end_s: float) -> float:
    return sum(max(0.0, min(s.end_s, end_s) - max(s.start_s, begin_s)) for s in spans if s.activity == activity)


_DRAWN_BINS, _TOLD_BINS = 240, 30
_MEANS = {"submission": "mean of this run, had it begun at submission", "run": "mean as it ran"}
_FURTHEST = 3.0
"""How much longer than the wait and the run the drawing may be, to show the best time for it."""
_PAUSING = "interruptible"
_KIND_LOOKS = {"forecast": "uncertain", "cached": "uncertain", "modelled": "modelled"}


def waterfall(report: Report) -> Shown | None:
    """Return the attribution; None where there is none."""
    chart = draw_waterfall(report)
    if chart is None:
        return None
    bars = bars_of(report)
    legend = [Key(key="less", text="less, ours"), Key(key="more", text="more, ours")]
    if any(bar.kind in ("others", "not_claimed") for bar in bars):
        legend.append(Key(key="others", text="hatched: not ours, or not claimed"))
    if any(bar.interval is not None for bar in bars):
        legend.append(Key(key="interval", text="interval over the runs"))
    return Shown(chart=chart, table=waterfall_table(bars), legend=tuple(legend))


def intensity(report: Report, evidence: Evidence, spans: tuple[Span, ...]) -> Shown | None:
    """Return the grid over time; None where no intensity is known."""
    oracle = report.waiting.perfect_foresight
    best = () if oracle is None else tuple((s.start.timestamp(), s.end.timestamp()) for s in oracle.segments)
    begin, end = spans[0].start_s, spans[-1].end_s
    if best and best[-1][1] - begin > _FURTHEST * (end - begin):
        best = ()  # the run itself could not be seen any more; the sentences below tell when it was
    thresholds = {look.threshold_gco2eq_per_kwh for look in evidence.looks} - {None}
    grid = GridOverTime(
        spans=spans,
        steps=intensity_steps(evidence),
        means=_means(report.run, spans),
        best=best,
        threshold_gco2eq_per_kwh=thresholds.pop()
        if len(thresholds) == 1 and report.run.policy == "threshold"
        else None,
    )
    chart = draw_intensity(grid)
    if chart is None:
        return None
    table = intensity_table(grid.spans, grid.steps, evidence.rows)
    return Shown(chart=chart, table=table, legend=tuple(_legend(grid)))


def power(report: Report, baseline: Evidence, run: Evidence, spans: Sequence[Span]) -> Shown | None:
    """Return power and grams since the start of each side whose ledger can be read; None without any."""
    both: tuple[tuple[Side, Evidence], ...] = (("baseline", baseline), ("run", run))
    sides = [(side, since_start(found.rows, found.speed)) for side, found in both if found.rows is not None]
    unknown = report.baseline is not None and baseline.rows is None
    progress = Progress(
        courses=_courses(sides, _DRAWN_BINS),
        stops=() if run.rows is None else tuple(_stops(spans, run)),
        baseline_gco2eq=report.baseline.emissions_gco2eq if unknown and report.baseline is not None else None,
    )
    chart = draw_power(progress)
    if chart is None:
        return None
    table = power_table(_courses(sides, _TOLD_BINS))
    return Shown(chart=chart, table=table, legend=tuple(_power_legend(progress)))


def quality(report: Report) -> Shown:
    """Return memory and accuracy."""
    return Shown(chart=draw_quality(report), table=quality_table(report))


def _power_legend(progress: Progress) -> Iterator[Key]:
    for course in progress.courses:
        yield Key(key=course.side, text=told_course(course))
    if progress.baseline_gco2eq is not None:
        grams = units.grams_text(progress.baseline_gco2eq)
        yield Key(key="baseline", text=f"Baseline: {grams} in the end; its course is not known here")
    if progress.stops:
        yield Key(key="stopped", text="This run was paused or interrupted")


def _stops(spans: Sequence[Span], run: Evidence) -> Iterator[tuple[float, float]]:
    """Yield when the run stood still, in real seconds since its start."""
    begin = next(span.start_s for span in spans if span.activity == "running")
    for span in spans:
        if span.activity in ("paused", "interrupted"):
            yield (span.start_s - begin) / run.speed, (span.end_s - begin) / run.speed


def _courses(sides: Sequence[tuple[Side, LedgerColumns]], most: int) -> tuple[Course, ...]:
    longest = max((float(rows.end_s.max()) for _, rows in sides), default=0.0)
    width = nice_width_s(longest, most)
    return tuple(
        Course(side=side, bins=binned(rows, edges_of(0.0, float(rows.end_s.max()), width))) for side, rows in sides
    )


def _means(run: RunFigures, spans: Sequence[Span]) -> tuple[Mean, ...]:
    """Return the mean had it begun at submission, over the time that it would have taken, and the mean as it ran."""
    at_submission, energy_kwh = run.counterfactual, run.energy_kwh.total * run.pue
    if at_submission is None or not energy_kwh or spans[0].activity != "waiting":
        return ()
    begin, started = spans[0].start_s, run.started_at.timestamp()
    # without waiting there would have been no pauses for the grid; a run that was killed would have been killed then, too
    took = total_s(spans, "running") if run.policy == _PAUSING else spans[-1].end_s - started
    then = Mean(
        role="submission",
        start_s=begin,
        end_s=begin + took,
        carbon_intensity_gco2eq_per_kwh=at_submission.emissions_gco2eq / energy_kwh,
    )
    as_run = run.emissions_gco2eq / energy_kwh
    ran = (span for span in spans if span.activity == "running")
    return then, *(
        Mean(role="run", start_s=span.start_s, end_s=span.end_s, carbon_intensity_gco2eq_per_kwh=as_run) for span in ran
    )


def _legend(grid: GridOverTime) -> Iterator[Key]:
    kinds = list(dict.fromkeys(step.kind for step in grid.shown))
    for look in dict.fromkeys(_KIND_LOOKS.get(kind, "grid") for kind in kinds):
        of_look = " or ".join(kind for kind in kinds if _KIND_LOOKS.get(kind, "grid") == look)
        yield Key(key=look, text=f"intensity, {of_look}")
    for mean in {mean.role: mean for mean in grid.means}.values():
        text = units.intensity_text(mean.carbon_intensity_gco2eq_per_kwh)
        yield Key(key=f"mean-{mean.role}", text=f"{_MEANS[mean.role]}: {text}")
    for activity in dict.fromkeys(span.activity for span in grid.spans):
        yield Key(key=activity, text=activity)
    if grid.threshold_gco2eq_per_kwh is not None:
        yield Key(key="threshold", text=f"threshold: {units.intensity_text(grid.threshold_gco2eq_per_kwh)}")
    if grid.best:
        yield Key(key="oracle", text="when perfect knowledge would have run")
