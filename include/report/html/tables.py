"""The tables beside the charts: what is drawn, in figures; the sums are the record's."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import numpy as np

from include.report.accuracy import wilson_percent
from include.report.html.averages import Side, runs_of
from include.report.html.bins import Bins, binned, edges_of, nice_width_s
from include.report.html.charts.power import Course
from include.report.html.charts.scales import power_text
from include.report.html.charts.waterfall import WHOSE, Bar
from include.report.html.ledger_columns import LedgerColumns
from include.report.html.parts import Table
from include.report.html.timeline import Activity, Span, Step
from include.report.html.typography import time_text
from include.report.html.words import PART_MEANING
from include.report.model import Report
from include.report.text import figures
from include.report.text.accuracy import bounds_text

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
    change = figures.signed_grams_text(bars[-1].end_gco2eq - bars[0].end_gco2eq)
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
    intensity = figures.NONE_TEXT if mean is None else figures.significant(mean)
    return f"{datetime.fromtimestamp(first, UTC):%Y-%m-%d %H:%M:%S}", " and ".join(doing), intensity


def _used(bins: Bins | None, k: int) -> tuple[str, str]:
    if bins is None or not bins.covered_s[k]:
        return "", ""
    return figures.energy_text(float(bins.energy_kwh[k])), figures.grams_text(float(bins.emissions_gco2eq[k]))


def _totals(bins: Bins) -> tuple[str, str]:
    return figures.energy_text(float(bins.energy_kwh.sum())), figures.grams_text(float(bins.emissions_gco2eq.sum()))


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
            figures.memory_text(run.peak_memory_bytes),
            run.peak_memory_kind,
            f"{100 * run.test_accuracy:.2f} %",
            "" if run.test_samples is None else bounds_text(wilson_percent(run.test_accuracy, run.test_samples)),
        )
        for who, side in names
        for run in runs_of(report, side)
    ]
    change = None
    if report.baseline is not None:
        changes = report.changes
        change = (
            "Change",
            figures.change_text(changes.peak_memory_percent),
            "",
            figures.points_text(changes.accuracy_points),
            "",
        )
    header = ("Side", "Run", "Peak memory", "What is counted", "Test accuracy", "95 % by the test set's size")
    return Table(
        summary=SUMMARY, caption="Peak memory and test accuracy", header=header, rows=tuple(rows), total=change
    )


def _power_cells(bins: Bins, k: int) -> Iterator[str]:
    if k >= len(bins.energy_kwh):
        yield from ("", "")
        return
    watts = float(bins.power_w[k])
    yield figures.NONE_TEXT if np.isnan(watts) else power_text(watts)
    yield figures.grams_text(float(bins.cumulative_gco2eq[k + 1]))


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
