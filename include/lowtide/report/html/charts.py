"""The page's charts, each one SVG with a legend and a table of the same figures.

matplotlib draws them in units of CSS pixels, ``WIDTH`` wide, and the page scales them. Importing this imports no matplotlib.
"""

import io
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from markupsafe import Markup, escape

from lowtide import units
from lowtide.records import TrainingRecord
from lowtide.report.figures import EMISSIONS, PARTS, Credit, Part, Side, credit_of
from lowtide.report.html.run_data import (
    Bins,
    Evidence,
    LedgerColumns,
    Level,
    Span,
    binned,
    done_text,
    edges_of,
    intensity_levels,
    mean_levels,
    nice_width_s,
    since_start,
    total_s,
)
from lowtide.report.model import Interval, Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

WIDTH = 480.0
_ROLES = (
    *("ink", "muted", "line", "paper", "run", "baseline", "less", "more"),
    *("others", "waiting", "running", "paused", "interrupted", "grid", "submission"),
)
COLOURS: Final = {role: f"#0a0b{number:02x}" for number, role in enumerate(_ROLES)}
"""What matplotlib draws with; ``inlined`` puts ``var(--role)`` in its place, so that one drawing serves light and dark."""
NAMES: Final[dict[Side, str]] = {"baseline": "Baseline", "run": "This run"}


class Table(NamedTuple):
    """The figures behind a chart; the first column names the row."""

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    total: tuple[str, ...] | None = None


class Chart(NamedTuple):
    """An SVG with its legend, pairs of a key's class in the style sheet and a text, and its table."""

    svg: Markup
    table: Table
    legend: tuple[tuple[str, str], ...] = ()


# From matplotlib's SVG to a part of the page: no addresses, its own ids, the page's fonts and colours, a name and words.


_LEFT_OUT = re.compile(r"<metadata>.*?</metadata>|<style.*?</style>|(?<=<svg)[^>]*?(?= viewBox)", re.DOTALL)
_ATTRIBUTES = re.compile(r' (?:xmlns(?::\w+)?|version)="[^"]*"|(?<=<g) id="[^"]*"')
_FONT_FAMILY = re.compile(r"font: ([\d.]+px)[^;\"]*|font-family:[^;\"]*;?")


def inlined(svg: str, *, name: str, title: str, description: str) -> Markup:
    """Return matplotlib's SVG as an element for use inside HTML, without a script, a style sheet or an address.

    :param name: prefix of the ids of its title and description; the ids of its parts are hashed with it.
    """
    body = _LEFT_OUT.sub("", svg[svg.index("<svg") :]).replace("xlink:href", "href")
    body = _FONT_FAMILY.sub(lambda found: f"font-size: {found[1]}" if found[1] else "", _ATTRIBUTES.sub("", body))
    for role, code in COLOURS.items():
        body = body.replace(code, f"var(--{role})")
    head, tail = body.split(">", 1)
    words = f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-desc">{escape(description)}</desc>'
    return Markup(f'{head} role="img" aria-labelledby="{name}-title {name}-desc">{words}{tail.strip()}')  # noqa: S704 - escaped


def drawn(name: str, title: str, description: str, height: float, draw: Callable[..., None], *what: Any) -> Markup:
    """Return what ``draw`` makes of an empty figure and ``what``, as SVG, ``WIDTH`` by ``height`` CSS pixels in its own scale."""
    # half a second and 60 MB, so only where a page is written; without pyplot there is no global state
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    style: Any = {
        "font.size": 12.5,
        "font.family": "DejaVu Sans",  # matplotlib brings it along: the same layout on every machine
        "svg.fonttype": "none",  # text stays text
        "svg.hashsalt": name,  # the same figures give the same bytes, and two charts different ids
        "text.color": COLOURS["ink"],
        "text.parse_math": False,
        "hatch.color": COLOURS["muted"],
        "hatch.linewidth": 0.7,
    }
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(WIDTH / 72, height / 72), dpi=72)  # its SVG has 72 units an inch
        figure.patch.set_visible(False)
        FigureCanvasSVG(figure)
        draw(figure, *what)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return inlined(text.getvalue(), name=name, title=title, description=description)


def _axes(
    figure: "Figure", *, left: float, bottom: float, top: float, right: float = 8.0, rules: Any = "y", title: str = ""
) -> "Axes":
    """Add axes that leave these margins, in pixels, with a title at the left edge of the figure."""
    height = figure.get_figheight() * 72
    box = (left / WIDTH, bottom / height, 1 - (left + right) / WIDTH, 1 - (bottom + top) / height)
    axes = figure.add_axes(box)
    axes.set_facecolor("none")
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(COLOURS["line"])
    axes.tick_params(colors=COLOURS["muted"], length=0, pad=5)
    axes.set_axisbelow(True)
    axes.grid(visible=True, axis=rules, color=COLOURS["line"], linewidth=0.8)
    figure.text(0, 1 - (top - 6) / height, title, va="bottom", fontweight="bold")
    return axes


def _scale(axis: "Axis", highest: float, known: units.Units) -> None:
    """Mark an axis in the unit that fits its highest value, named at each mark."""
    from matplotlib.ticker import MaxNLocator

    unit, size = next((found for found in known if abs(highest) >= found[1]), known[-1])
    axis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(lambda value, _: f"{value / size:,g} {unit}" if value else "0")


def _times(axes: "Axes", begin_s: float, end_s: float, labels: Callable[[Iterable[float], float], list[str]]) -> None:
    """Mark an axis of seconds with at most five labels; those at the ends turn inwards, so that they stay inside."""
    width = nice_width_s(end_s - begin_s, 5)
    marks = np.arange(np.ceil(begin_s / width) * width, end_s + 1e-9, width)
    axes.set_xticks(marks, labels(marks, width))
    axes.set_xlim(begin_s, end_s)
    near = 0.04 * (end_s - begin_s)
    for mark, text in zip(marks, axes.get_xticklabels(), strict=True):
        text.set_horizontalalignment("left" if mark - begin_s < near else "right" if end_s - mark < near else "center")


def _line(axes: "Axes", x: Any, y: Any, role: str, *, linewidth: float = 2.0, **style: Any) -> None:
    axes.plot(x, y, color=COLOURS[role], linewidth=linewidth, solid_capstyle="butt", **style)


# The attribution as a waterfall: from the baseline's grams to the run's, one bar a cause, what is controllable filled.


Kind = Side | Credit
_BAR = 0.62


class Bar(NamedTuple):
    """One row of the waterfall, in grams; a total begins at zero. ``interval``: of its end, where it is known."""

    label: str
    kind: Kind
    start_gco2eq: float
    end_gco2eq: float
    meaning: str = ""
    interval: Interval | None = None

    @property
    def is_total(self) -> bool:
        """Whether the bar is an amount, and not a change."""
        return self.kind in NAMES

    @property
    def text(self) -> str:
        """The amount, or the change with its sign."""
        change = self.end_gco2eq - self.start_gco2eq
        return units.with_minus(units.grams_text(change) if self.is_total else units.signed_grams_text(change))


def bars_of(report: Report) -> tuple[Bar, ...]:
    """Return the bars: against the baseline where the change is attributed, else against the same energy at submission."""
    before, replicates, intervals = report.run.counterfactual, report.replicates, dict[str, Interval]()
    parts: list[tuple[Part, Credit, float]]
    if report.baseline is not None and report.attribution_gco2eq.total is not None:
        label, level, changes = "Baseline", EMISSIONS.mean(report, "baseline") or 0.0, report.attribution_gco2eq
        parts = [(part, credit_of(report, part.key), getattr(changes, part.key) or 0.0) for part in PARTS]
        intervals = replicates.attribution_gco2eq if replicates is not None else intervals
    elif before is not None:
        label, level = "At submission", before.emissions_gco2eq
        credit: Credit = "controllable" if report.waiting.no_wait is None else "not claimed"
        parts = [(PARTS[-1], credit, report.run.emissions_gco2eq - level)]
    else:
        return ()
    bars = [Bar(label, "baseline", 0.0, level)]
    for part, credit, change in parts:
        found = intervals.get(part.key)
        interval = None if found is None else Interval(low=level + found.low, high=level + found.high)
        bars.append(Bar(part.label, credit, level, level + change, part.meaning, interval))
        level += change
    return (*bars, Bar("This run", "run", 0.0, level))


def waterfall(report: Report) -> Chart | None:
    """Return the attribution; None where nothing can be attributed."""
    bars = bars_of(report)
    if not bars:
        return None
    words = " ".join(f"{bar.label}: {bar.text}." for bar in bars)
    svg = drawn("waterfall", "Why emissions changed", words, 34 + 42 * len(bars), _draw_waterfall, bars)
    legend = [("less", "less, controllable"), ("more", "more, controllable")]
    if any(bar.kind in ("external", "not claimed") for bar in bars):
        legend.append(("others", "external, or not claimed"))
    if any(bar.interval is not None for bar in bars):
        legend.append(("interval", "interval over the runs"))
    table = Table(
        caption="From one amount to the other, in grams of CO2-equivalent",
        header=("Part", "Amount or change", "Attribution", "Meaning"),
        rows=tuple((bar.label, bar.text, "" if bar.is_total else bar.kind, bar.meaning) for bar in bars),
        total=("Sum of the changes", units.signed_grams_text(bars[-1].end_gco2eq - bars[0].end_gco2eq), "", ""),
    )
    return Chart(svg=svg, table=table, legend=tuple(legend))


def _draw_waterfall(figure: "Figure", bars: Sequence[Bar]) -> None:
    left, label_px = 126.0, 78.0
    axes = _axes(figure, left=left, right=2, bottom=28, top=2, rules="x")
    axes.set_ylim(len(bars) - 0.4, -0.6)
    axes.set_yticks([])
    ends = [*(bar.end_gco2eq for bar in bars), *(bar.interval.high for bar in bars if bar.interval)]
    highest, lowest = max(ends) or 1.0, min(0.0, *ends)
    plot_px = WIDTH - left - 2
    axes.set_xlim(lowest, lowest + (highest - lowest) * plot_px / (plot_px - label_px))
    _scale(axes.xaxis, highest, units.MASS)
    for row, bar in enumerate(bars):
        _draw_bar(axes, row, bar)
        label: Any = {"x": -left / plot_px, "transform": axes.get_yaxis_transform()}
        if bar.is_total:
            axes.text(y=row, s=bar.label, va="center", fontweight="bold", **label)
        else:
            axes.text(y=row - 0.02, s=bar.label, va="bottom", fontweight="bold", **label)
            axes.text(y=row + 0.04, s=bar.kind, va="top", color=COLOURS["muted"], **label)
    for row, bar in enumerate(bars[:-1]):
        _line(axes, [bar.end_gco2eq] * 2, [row + _BAR / 2, row + 1 - _BAR / 2], "muted", linewidth=1)


def _draw_bar(axes: "Axes", row: int, bar: Bar) -> None:
    width = bar.end_gco2eq - bar.start_gco2eq
    place: Any = {"y": row, "width": width, "left": bar.start_gco2eq, "height": _BAR}
    if bar.kind in ("external", "not claimed"):
        axes.barh(**place, color="none", edgecolor=COLOURS["others"], hatch="////", linewidth=1.2)
    else:
        axes.barh(**place, color=COLOURS[bar.kind if bar.is_total else "more" if width > 0 else "less"])
    end = max(bar.start_gco2eq, bar.end_gco2eq)
    if bar.interval is not None:
        _line(axes, [bar.interval.low, bar.interval.high], [row, row], "ink", linewidth=1.6)
        end = max(end, bar.interval.high)
    weight = "bold" if bar.is_total else "normal"
    axes.annotate(bar.text, (end, row), xytext=(7, 0), textcoords="offset points", va="center", fontweight=weight)


# The grid over time, with what the run did meanwhile: waiting, running and pausing shaded.


_DASHES: Final[Mapping[str, Any]] = {"modelled": (0, (1, 1)), "forecast": (0, (4, 2)), "cached": (0, (4, 2))}
_KEYS = {"forecast": "uncertain", "cached": "uncertain", "modelled": "modelled"}
_MEANS = {"submission": "mean of this run, had it begun at submission", "run": "mean as it ran"}
_PX_PER_LETTER = 7.4
"""Of a label at the top of a shaded stretch: what does not fit is in the legend alone."""
_FURTHEST = 3.0
"""How much longer than the wait and the run the drawing may be, to show the best time for it."""
_MOST_ROWS = 36


class Timeline(NamedTuple):
    """What is drawn, in UNIX seconds, virtual under replay. ``best``: when perfect foresight would have run."""

    spans: tuple[Span, ...]
    steps: tuple[Level, ...]
    means: tuple[Level, ...]
    best: tuple[tuple[float, float], ...]
    threshold_gco2eq_per_kwh: float | None
    begin_s: float
    end_s: float


def intensity(report: Report, evidence: Evidence, spans: tuple[Span, ...]) -> Chart | None:
    """Return the grid over time, from submission to the end; None where no intensity is known."""
    timeline = _timeline(report, evidence, spans)
    if not timeline.steps or timeline.end_s <= timeline.begin_s:
        return None
    values = [step.carbon_intensity_gco2eq_per_kwh for step in timeline.steps]
    low, high = units.intensity_text(min(values)), units.intensity_text(max(values))
    begin, end = (units.timestamp_text(datetime.fromtimestamp(at, UTC)) for at in (timeline.begin_s, timeline.end_s))
    words = f"{begin} to {end}: {done_text(spans)}. Intensity between {low} and {high}."
    svg = drawn("intensity", "Carbon intensity of the grid over time", words, 300, _draw_timeline, timeline)
    return Chart(svg=svg, table=_timeline_table(timeline, evidence.rows), legend=tuple(_timeline_legend(timeline)))


def _timeline(report: Report, evidence: Evidence, spans: tuple[Span, ...]) -> Timeline:
    plan = report.waiting.perfect_foresight
    best = () if plan is None else tuple((s.start.timestamp(), s.end.timestamp()) for s in plan.segments)
    begin, end = spans[0].start_s, spans[-1].end_s
    if best and best[-1][1] - begin > _FURTHEST * (end - begin):
        best = ()  # the run itself could not be seen any more; the sentences below say when it was
    end = max(end, begin, *(stop for _, stop in best))
    thresholds = {decision.threshold_gco2eq_per_kwh for decision in evidence.decisions} - {None}
    is_one = len(thresholds) == 1 and report.run.policy == "threshold"
    return Timeline(
        spans=spans,
        steps=tuple(intensity_levels(evidence, begin, end)),
        means=tuple(_means(report.run, spans)),
        best=best,
        threshold_gco2eq_per_kwh=thresholds.pop() if is_one else None,
        begin_s=begin,
        end_s=end,
    )


def _means(run: TrainingRecord, spans: Sequence[Span]) -> Iterator[Level]:
    """Yield the mean had it begun at submission, over the time that it would have taken, and the mean as it ran."""
    at_submission, energy_kwh = run.counterfactual, run.energy_kwh.total * run.pue
    if at_submission is None or not energy_kwh or spans[0].activity != "waiting":
        return
    begin = spans[0].start_s
    # without waiting there would have been no pauses for the grid; a run that was killed would have been killed then, too
    took = total_s(spans, "running") if run.policy == "interruptible" else spans[-1].end_s - run.started_at.timestamp()
    yield Level("submission", begin, begin + took, at_submission.emissions_gco2eq / energy_kwh)
    for span in spans:
        if span.activity == "running":
            yield Level("run", span.start_s, span.end_s, run.emissions_gco2eq / energy_kwh)


def _draw_timeline(figure: "Figure", timeline: Timeline) -> None:
    left, right = 44.0, 8.0
    axes = _axes(figure, left=left, right=right, bottom=42, top=24)
    figure.text(0, 1, "g/kWh", color=COLOURS["muted"], va="top")
    margin_s = 0.01 * (timeline.end_s - timeline.begin_s)
    begin, end = timeline.begin_s - margin_s, timeline.end_s + margin_s
    for span in timeline.spans:
        _shade(axes, span, px_per_s=(WIDTH - left - right) / (end - begin))
    _curve(axes, timeline.steps)
    for stretch in timeline.means:
        value = stretch.carbon_intensity_gco2eq_per_kwh
        _line(axes, [stretch.start_s, stretch.end_s], [value] * 2, stretch.name, linewidth=4, alpha=0.85)
    threshold = timeline.threshold_gco2eq_per_kwh
    if threshold is not None:
        axes.axhline(threshold, color=COLOURS["muted"], linewidth=1.2, linestyle=(0, (2, 2)))
    for start, stop in timeline.best:
        _line(axes, [start, stop], [0.02, 0.02], "ink", linewidth=5, transform=axes.get_xaxis_transform())
    _times(axes, begin, end, _clock)
    highest = max(*(step.carbon_intensity_gco2eq_per_kwh for step in timeline.steps), threshold or 0.0)
    axes.set_ylim(0, 1.18 * highest or 1.0)


def _clock(marks_s: Iterable[float], width_s: float) -> list[str]:
    """Return UTC times; the date is at the first mark and at the first of each day."""
    labels, last = [], ""
    for at in (datetime.fromtimestamp(mark, UTC) for mark in marks_s):
        day, clock = f"{at:%d %b}", f"{at:%H:%M:%S}" if width_s < 60 else f"{at:%H:%M}"
        first = day if width_s >= 86_400 else f"{clock}\n{day}"
        labels.append(clock if day == last else first)
        last = day
    return labels


def _shade(axes: "Axes", span: Span, *, px_per_s: float) -> None:
    colour, length_s = COLOURS[span.activity], span.end_s - span.start_s
    axes.axvspan(span.start_s, span.end_s, color=colour, alpha=0.26, linewidth=0)
    if span.activity in ("paused", "interrupted"):
        hatched: Any = {"facecolor": "none", "edgecolor": colour, "hatch": "\\\\\\\\", "linewidth": 0, "alpha": 0.6}
        axes.axvspan(span.start_s, span.end_s, **hatched)
    for text in (f"{span.activity} {units.duration_text(length_s)}", span.activity):
        if len(text) * _PX_PER_LETTER < length_s * px_per_s:
            middle: Any = {"transform": axes.get_xaxis_transform(), "ha": "center", "va": "top"}
            axes.text((span.start_s + span.end_s) / 2, 0.965, text, **middle)
            return


def _curve(axes: "Axes", steps: Sequence[Level]) -> None:
    """Draw one line for each stretch of one kind; a stretch of which nothing is known stays empty."""
    xs: list[float] = []
    ys: list[float] = []
    for step, after in zip(steps, (*steps[1:], None), strict=True):
        xs += [step.start_s, step.end_s]
        ys += [step.carbon_intensity_gco2eq_per_kwh] * 2
        if after is not None and after.start_s - step.end_s < 1.0:
            if after.name == step.name:
                continue
            xs, ys = [*xs, after.start_s], [*ys, after.carbon_intensity_gco2eq_per_kwh]
        _line(axes, xs, ys, "grid", linestyle=_DASHES.get(step.name, "-"), solid_joinstyle="miter")
        xs, ys = [], []


def _timeline_legend(timeline: Timeline) -> Iterator[tuple[str, str]]:
    kinds = list(dict.fromkeys(step.name for step in timeline.steps))
    for key in dict.fromkeys(_KEYS.get(kind, "grid") for kind in kinds):
        yield key, f"intensity, {' or '.join(kind for kind in kinds if _KEYS.get(kind, 'grid') == key)}"
    for role, value in {m.name: m.carbon_intensity_gco2eq_per_kwh for m in timeline.means}.items():
        yield f"mean-{role}", f"{_MEANS[role]}: {units.intensity_text(value)}"
    for activity in dict.fromkeys(span.activity for span in timeline.spans):
        yield activity, activity
    if timeline.threshold_gco2eq_per_kwh is not None:
        yield "threshold", f"threshold: {units.intensity_text(timeline.threshold_gco2eq_per_kwh)}"
    if timeline.best:
        yield "foresight", "when perfect foresight would have run"


def _timeline_table(timeline: Timeline, rows: LedgerColumns | None) -> Table:
    """Return what the grid and the run did, in as many stretches of time as a person reads; the sums are the record's."""
    spans, begin, end = timeline.spans, timeline.spans[0].start_s, timeline.spans[-1].end_s
    width = nice_width_s(end - begin, _MOST_ROWS)
    edges = edges_of(begin, end, width)
    bins, times = None if rows is None else binned(rows, edges), np.clip(edges, begin, end)
    found = []
    for k, mean in enumerate(mean_levels(timeline.steps, times)):
        start = f"{datetime.fromtimestamp(times[k], UTC):%Y-%m-%d %H:%M:%S}"
        done = [s.activity for s in spans if max(s.start_s, times[k]) < min(s.end_s, times[k + 1])]
        value = units.NONE_TEXT if math.isnan(mean) else units.significant(mean)
        used = ("", "") if bins is None or not bins.covered_s[k] else _amounts(bins, slice(k, k + 1))
        found.append((start, " and ".join(dict.fromkeys(done)), value, *used))
    return Table(
        caption=f"In stretches of {units.duration_text(width)}; intensity is the mean over the time for which it is known",
        header=("From (UTC)", "The run was", "Intensity, g/kWh", "Energy", "Emissions"),
        rows=tuple(found),
        total=None if bins is None else ("Whole run", "", "", *_amounts(bins, slice(None))),
    )


def _amounts(bins: Bins, of: slice) -> tuple[str, str]:
    return units.energy_text(float(bins.energy_kwh[of].sum())), units.grams_text(float(bins.emissions_gco2eq[of].sum()))


# Power and cumulative grams since the start, the baseline's beside the run's, in bins of real time.


_LINES: Final[Mapping[Side, Any]] = {"run": "-", "baseline": (0, (5, 2))}
_DRAWN_BINS, _TABLE_BINS = 240, 30
Courses = Mapping[Side, Bins]


def power(report: Report, baseline: Evidence, run: Evidence, spans: Sequence[Span]) -> Chart | None:
    """Return power and grams since the start of each side whose ledger can be read; None without any."""
    sides = zip(NAMES, (baseline, run), strict=True)
    rows = {side: since_start(found.rows, found.speed) for side, found in sides if found.rows is not None}
    if not rows:
        return None
    courses, stops = _courses(rows, _DRAWN_BINS), [] if run.rows is None else list(_stops(spans, run))
    total = report.baseline.emissions_gco2eq if report.baseline is not None and "baseline" not in rows else None
    legend = [(str(side), _course_text(side, bins)) for side, bins in courses.items()]
    words = ". ".join(text for _, text in legend) + "."
    if total is not None:
        legend.append(("baseline", f"Baseline: {units.grams_text(total)} in total; its course is not known here"))
    if stops:
        legend.append(("stopped", "this run was paused or interrupted"))
    title = "Power and cumulative emissions since the start"
    svg = drawn("power", title, words, 400, _draw_power, courses, stops, total)
    return Chart(svg=svg, table=_power_table(_courses(rows, _TABLE_BINS)), legend=tuple(legend))


def _courses(rows: Mapping[Side, LedgerColumns], most: int) -> dict[Side, Bins]:
    ends = {side: float(columns.end_s.max()) for side, columns in rows.items()}
    width = nice_width_s(max(ends.values()), most)
    return {side: binned(columns, edges_of(0.0, ends[side], width)) for side, columns in rows.items()}


def _stops(spans: Sequence[Span], run: Evidence) -> Iterator[tuple[float, float]]:
    """Yield when the run was paused or interrupted, in real seconds since its start."""
    begin = next(span.start_s for span in spans if span.activity == "running")
    for span in spans:
        if span.activity in ("paused", "interrupted"):
            yield (span.start_s - begin) / run.speed, (span.end_s - begin) / run.speed


def _course_text(side: Side, bins: Bins) -> str:
    mean_w = 3.6e6 * float(bins.energy_kwh.sum()) / max(float(bins.covered_s.sum()), 1e-9)
    grams = units.grams_text(float(bins.emissions_gco2eq.sum()))
    return f"{NAMES[side]}: {units.power_text(mean_w)} on average, {grams} in total"


def _draw_power(
    figure: "Figure", courses: Courses, stops: Sequence[tuple[float, float]], baseline_gco2eq: float | None
) -> None:
    power = _axes(figure, left=64, bottom=228, top=24, title="Power")
    grams = _axes(figure, left=64, bottom=28, top=224, title="Cumulative emissions")
    end = max(float(bins.edges_s[-1]) for bins in courses.values())
    for axes in (power, grams):
        _times(axes, 0.0, end, lambda marks_s, _: [units.duration_text(mark) if mark else "start" for mark in marks_s])
        for start, stop in stops:
            axes.axvspan(start, stop, color=COLOURS["paused"], alpha=0.2, linewidth=0)
    for side, bins in courses.items():
        _line(power, np.repeat(bins.edges_s, 2)[1:-1], np.repeat(bins.power_w, 2), side, linestyle=_LINES[side])
        _line(grams, bins.edges_s, bins.cumulative_gco2eq, side, linestyle=_LINES[side])
    if baseline_gco2eq is not None:
        grams.axhline(baseline_gco2eq, color=COLOURS["baseline"], linewidth=2, linestyle=_LINES["baseline"])
    highest_w = max(float(np.nanmax(bins.power_w)) for bins in courses.values())
    highest_g = max(*(float(bins.emissions_gco2eq.sum()) for bins in courses.values()), baseline_gco2eq or 0.0)
    for axes, highest, known in ((power, highest_w, units.POWER), (grams, highest_g, units.MASS)):
        axes.set_ylim(0, 1.1 * highest or 1.0)
        _scale(axes.yaxis, highest, known)


def _power_table(courses: Courses) -> Table:
    until = max((bins.edges_s[1:].tolist() for bins in courses.values()), key=len)
    cells = zip_longest(until, *map(_power_cells, courses.values()), fillvalue=("", ""))
    who = [NAMES[side].lower() for side in courses]
    return Table(
        caption=f"In stretches of {units.duration_text(until[0])}, real time; power is the mean of the time measured",
        header=("Until", *(cell for name in who for cell in (f"Power, {name}", f"Emissions until then, {name}"))),
        rows=tuple((units.duration_text(end), *chain(*texts)) for end, *texts in cells),
    )


def _power_cells(bins: Bins) -> Iterator[tuple[str, str]]:
    for watts, grams in zip(bins.power_w.tolist(), bins.cumulative_gco2eq[1:].tolist(), strict=True):
        yield units.NONE_TEXT if math.isnan(watts) else units.power_text(watts), units.grams_text(grams)
