"""The grid over time, with what the run did meanwhile: waiting, running and pausing shaded."""

import io
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import mean
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from markupsafe import Markup

from lowtide import units
from lowtide.report.html.run_data import Bins, Side, Span, Step, average, nice_width_s, runs_of, total_s
from lowtide.report.model import Interval, Report, RunFigures
from lowtide.units import BYTES_PER_MIB, significant, time_text, with_minus

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure


# Makes matplotlib's SVG a part of the page: no addresses, ids of its own, the page's fonts and colours, a name and words.


_NAMESPACE = re.compile(r"^\{[^}]*\}")
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_FONT_FAMILY = re.compile(r"font:\s*([^;]*?px)\s[^;]*|font-family:[^;]*;?")
_LEFT_OUT = {"metadata", "style"}


def inlined(svg: str, *, name: str, title: str, description: str, colours: Mapping[str, str]) -> Markup:
    """Return an SVG element without a script, a style sheet or an address, for use inside HTML.

    :param name: prefix of every id, since all charts share one page.
    :param colours: what stands in the drawing for each of the page's colour variables.
    """
    root = ET.fromstring(svg)  # noqa: S314 - reads only what matplotlib has just written
    variables = {code: f"var(--{role})" for role, code in colours.items()}
    _clean(root, name, variables)
    for size in ("width", "height"):
        root.attrib.pop(size, None)
    root.attrib |= {"role": "img", "aria-labelledby": f"{name}-title {name}-desc"}
    for position, (tag, text) in enumerate((("title", title), ("desc", description))):
        told = ET.Element(tag, {"id": f"{name}-{tag}"})
        told.text = text
        root.insert(position, told)
    return Markup(ET.tostring(root, encoding="unicode", short_empty_elements=True))  # noqa: S704 - ET escapes texts


def _clean(element: ET.Element, name: str, variables: Mapping[str, str]) -> None:
    element.tag = _NAMESPACE.sub("", element.tag)
    element.attrib = {_NAMESPACE.sub("", key): _value(key, value, name, variables) for key, value in element.items()}
    for key in ("version", "xmlns"):
        element.attrib.pop(key, None)
    for child in list(element):
        if not isinstance(child.tag, str) or _NAMESPACE.sub("", child.tag) in _LEFT_OUT:
            element.remove(child)
        else:
            _clean(child, name, variables)


def _value(key: str, value: str, name: str, variables: Mapping[str, str]) -> str:
    key = _NAMESPACE.sub("", key)
    if key == "id":
        return f"{name}-{value}"
    if key == "href":
        return f"#{name}-{value.removeprefix('#')}"
    if key == "style":
        value = _FONT_FAMILY.sub(lambda found: f"font-size: {found[1]}" if found[1] else "", value)
    for code, variable in variables.items():
        value = value.replace(code, variable)
    return _REFERENCE.sub(rf"url(#{name}-\1)", value)


# One chart: a matplotlib figure in CSS pixels, whose colours are the page's variables, turned into inline SVG.


_ROLES = (
    "ink",
    "muted",
    "line",
    "paper",
    "run",
    "baseline",
    "less",
    "more",
    "others",
    "waiting",
    "running",
    "paused",
    "interrupted",
    "grid",
    "submission",
)
COLOURS: Final = {role: f"#0a0b{number:02x}" for number, role in enumerate(_ROLES)}
"""What matplotlib is told; ``inlined`` puts ``var(--role)`` in its place, so that one drawing serves light and dark."""

PX_PER_INCH = 72.0
"""matplotlib's SVG has 72 units an inch: sizes in points are CSS pixels at the chart's own width."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A chart in both shapes, with what is told of it in words."""

    name: str
    title: str
    description: str
    wide: Markup
    narrow: Markup


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Width and height in CSS pixels."""

    width: int
    height: int
    narrow: bool

    def box(self, left: float, right: float, bottom: float, top: float) -> tuple[float, float, float, float]:
        """Return where an axes stands that leaves these margins, in pixels; matplotlib counts in parts of the figure."""
        across, up = 1 / self.width, 1 / self.height
        return (left * across, bottom * up, 1 - (left + right) * across, 1 - (bottom + top) * up)

    @property
    def font(self) -> float:
        """Size of the text, in CSS pixels."""
        return 12.0 if self.narrow else 13.0


def chart(
    name: str, *, title: str, description: str, wide: Shape, narrow: Shape, draw: Callable[["Figure", Shape], None]
) -> Chart:
    """Draw a chart twice. ``name`` makes the ids of its parts its own."""
    shapes = {
        shape.narrow: inlined(
            _svg(shape, draw),
            name=f"{name}-{'narrow' if shape.narrow else 'wide'}",
            title=title,
            description=description,
            colours=COLOURS,
        )
        for shape in (wide, narrow)
    }
    return Chart(name=name, title=title, description=description, wide=shapes[False], narrow=shapes[True])


def rest_axes(axes: "Axes") -> None:
    """Leave of an axes' frame only its lower edge, and let figures stand back behind the data."""
    axes.set_facecolor("none")
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(COLOURS["line"])
    axes.tick_params(colors=COLOURS["muted"], length=0, pad=5)
    axes.set_axisbelow(True)


def ruled(axes: "Axes", axis: Any = "y") -> None:
    """Draw the faint rules that a reader follows from a curve to a number."""
    axes.grid(visible=True, axis=axis, color=COLOURS["line"], linewidth=0.8)


def _svg(shape: Shape, draw: Callable[["Figure", Shape], None]) -> str:
    # half a second and 60 MB, so only where a page is written; without pyplot there is no global state
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    style: Any = {
        "font.size": shape.font,
        "font.family": "DejaVu Sans",  # matplotlib brings it along: the same layout on every machine
        "svg.fonttype": "none",  # text stays text
        "svg.hashsalt": "lowtide",  # the same figures give the same bytes
        "text.color": COLOURS["ink"],
        "text.parse_math": False,
        "axes.labelcolor": COLOURS["muted"],
        "axes.unicode_minus": True,
        "hatch.color": COLOURS["muted"],
        "hatch.linewidth": 0.7,
        "path.simplify": True,
    }
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(shape.width / PX_PER_INCH, shape.height / PX_PER_INCH), dpi=PX_PER_INCH)
        figure.patch.set_visible(False)
        FigureCanvasSVG(figure)
        draw(figure, shape)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return text.getvalue()


# Axes in the unit that fits, and with the marks that people count in.


_MASS = (("t", 1e6), ("kg", 1e3), ("g", 1.0), ("mg", 1e-3), ("µg", 1e-6))
_POWER = (("MW", 1e6), ("kW", 1e3), ("W", 1.0), ("mW", 1e-3))
_DAY_S = 86_400.0
_ELAPSED = (("d", _DAY_S, _DAY_S), ("h", 3600.0, 1800.0), ("min", 60.0, 60.0), ("s", 1.0, 0.0))
"""Unit, its size in seconds, and from which distance of two marks on it is used."""


def unit_of(value: float, units: tuple[tuple[str, float], ...]) -> tuple[str, float]:
    """Return the unit in which a value has one to three digits before the point, and its size."""
    return next((found for found in units if abs(value) >= found[1]), units[-1])


def power_text(value_w: float) -> str:
    """Write a power in the unit that fits."""
    unit, size = unit_of(value_w, _POWER)
    return f"{significant(value_w / size)} {unit}"


def mass_axis(axis: "Axis", highest_gco2eq: float) -> str:
    """Mark an axis of grams in the unit that fits its highest value, named at each mark; return the unit."""
    return _in_unit(axis, unit_of(highest_gco2eq, _MASS))


def power_axis(axis: "Axis", highest_w: float) -> str:
    """Mark an axis of watts in the unit that fits; return the unit."""
    return _in_unit(axis, unit_of(highest_w, _POWER))


def clock_axis(axes: "Axes", begin_s: float, end_s: float, *, most: int) -> None:
    """Mark moments of UTC; the date stands at the first mark and at each midnight."""
    width = nice_width_s(end_s - begin_s, most)
    marks = np.arange(np.ceil(begin_s / width) * width, end_s + 1e-9, width)
    day = None
    labels = []
    for mark in marks:
        moment = datetime.fromtimestamp(mark, UTC)
        clock = f"{moment:%H:%M:%S}" if width < 60 else f"{moment:%H:%M}"
        new_day = moment.date() != day
        labels.append((f"{moment:%d %b}" if width >= _DAY_S else f"{clock}\n{moment:%d %b}") if new_day else clock)
        day = moment.date()
    axes.set_xticks(marks, labels)
    axes.set_xlim(begin_s, end_s)
    _keep_inside(axes, begin_s, end_s)


def elapsed_axis(axes: "Axes", end_s: float, *, most: int) -> None:
    """Mark the time since a run's start, in the unit that fits."""
    width = nice_width_s(end_s, most)
    unit, size = next((unit, size) for unit, size, least in _ELAPSED if width >= least)
    marks = np.arange(0.0, end_s + 1e-9, width)
    axes.set_xticks(marks, [f"{mark / size:g} {unit}" if mark else "start" for mark in marks])
    axes.set_xlim(0.0, end_s)
    _keep_inside(axes, 0.0, end_s)


def _keep_inside(axes: "Axes", begin_s: float, end_s: float) -> None:
    """Turn labels at the ends inwards: the first one would meet the lowest mark of the other axis, the last one the edge."""
    near = 0.03 * (end_s - begin_s)
    for mark, label in zip(axes.get_xticks(), axes.get_xticklabels(), strict=True):
        if mark - begin_s < near:
            label.set_horizontalalignment("left")
        elif end_s - mark < near:
            label.set_horizontalalignment("right")


def _in_unit(axis: "Axis", unit: tuple[str, float]) -> str:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    name, size = unit
    axis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / size:g} {name}" if value else "0"))
    return name


_DASHES = {"modelled": (0, (1, 1)), "forecast": (0, (4, 2)), "cached": (0, (4, 2))}
_STOPPED = ("paused", "interrupted")
_PX_PER_LETTER = 7.6
"""Of a label at the top of a shaded stretch: what does not fit is told by the legend alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mean:
    """A mean intensity, weighted by the run's energy, over the stretch of time that it belongs to."""

    role: str
    start_s: float
    end_s: float
    carbon_intensity_gco2eq_per_kwh: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GridOverTime:
    """What is drawn; moments in UNIX seconds, virtual under replay. ``best``: when perfect knowledge would have run."""

    spans: tuple[Span, ...]
    steps: tuple[Step, ...]
    means: tuple[Mean, ...] = ()
    best: tuple[tuple[float, float], ...] = ()
    threshold_gco2eq_per_kwh: float | None = None

    @property
    def begin_s(self) -> float:
        """The submission."""
        return self.spans[0].start_s

    @property
    def end_s(self) -> float:
        """The end of the run, or of the best time for it if that is later."""
        return max(self.spans[-1].end_s, *(end for _, end in self.best), self.spans[0].start_s)

    @property
    def shown(self) -> list[Step]:
        """The steps between the two."""
        return [step for step in self.steps if step.end_s > self.begin_s and step.start_s < self.end_s]


def draw_intensity(grid: GridOverTime) -> Chart | None:
    """Draw the intensity from submission to the end; None where none is known."""
    if not grid.shown or grid.end_s <= grid.begin_s:
        return None
    return chart(
        "intensity",
        title="Carbon intensity of the grid over time",
        description=_words(grid),
        wide=Shape(width=1040, height=340, narrow=False),
        narrow=Shape(width=340, height=300, narrow=True),
        draw=lambda figure, shape: _draw(figure, shape, grid),
    )


def _words(grid: GridOverTime) -> str:
    values = [step.carbon_intensity_gco2eq_per_kwh for step in grid.shown]
    names = dict.fromkeys(span.activity for span in grid.spans)
    told = [f"{name} {time_text(total_s(grid.spans, name))}" for name in names]
    begin, end = (units.moment_text(datetime.fromtimestamp(at, UTC)) for at in (grid.begin_s, grid.end_s))
    low, high = units.intensity_text(min(values)), units.intensity_text(max(values))
    return f"{begin} to {end}: {'; '.join(told)}. Intensity between {low} and {high}."


def _draw(figure: "Figure", shape: Shape, grid: GridOverTime) -> None:
    left, right, bottom, top = (40, 10, 44, 22) if shape.narrow else (52, 16, 46, 24)
    axes = figure.add_axes(shape.box(left, right, bottom, top))
    rest_axes(axes)
    ruled(axes)
    margin_s = 0.01 * (grid.end_s - grid.begin_s)
    begin, end = grid.begin_s - margin_s, grid.end_s + margin_s
    px_per_s = (shape.width - left - right) / (end - begin)
    for span in grid.spans:
        _shade(axes, span, px_per_s)
    _curve(axes, [_clipped(step, begin, end) for step in grid.shown])
    for hour in grid.means:
        axes.plot(
            [hour.start_s, hour.end_s],
            [hour.carbon_intensity_gco2eq_per_kwh] * 2,
            color=COLOURS[hour.role],
            linewidth=4,
            solid_capstyle="butt",
            alpha=0.85,
        )
    if grid.threshold_gco2eq_per_kwh is not None:
        axes.axhline(grid.threshold_gco2eq_per_kwh, color=COLOURS["muted"], linewidth=1.2, linestyle=(0, (2, 2)))
    for start, stop in grid.best:
        axes.plot(
            [start, stop],
            [0.02, 0.02],
            transform=axes.get_xaxis_transform(),
            color=COLOURS["ink"],
            linewidth=5,
            solid_capstyle="butt",
        )
    clock_axis(axes, begin, end, most=4 if shape.narrow else 9)
    highest = max(*(step.carbon_intensity_gco2eq_per_kwh for step in grid.shown), grid.threshold_gco2eq_per_kwh or 0.0)
    axes.set_ylim(0, 1.18 * highest or 1.0)
    axes.text(
        -left / (shape.width - left - right),
        1.02,
        "g/kWh",
        transform=axes.transAxes,
        color=COLOURS["muted"],
        va="bottom",
    )


def _shade(axes: "Axes", span: Span, px_per_s: float) -> None:
    colour, length_s = COLOURS[span.activity], span.end_s - span.start_s
    axes.axvspan(span.start_s, span.end_s, color=colour, alpha=0.26, linewidth=0)
    if span.activity in _STOPPED:
        axes.axvspan(
            span.start_s, span.end_s, facecolor="none", edgecolor=colour, hatch="\\\\\\\\", linewidth=0, alpha=0.6
        )
    for text in (f"{span.activity} {time_text(length_s)}", span.activity):
        if len(text) * _PX_PER_LETTER < length_s * px_per_s:
            axes.text(
                (span.start_s + span.end_s) / 2,
                0.965,
                text,
                transform=axes.get_xaxis_transform(),
                ha="center",
                va="top",
            )
            return


def _clipped(step: Step, begin_s: float, end_s: float) -> Step:
    return Step(
        start_s=max(step.start_s, begin_s),
        end_s=min(step.end_s, end_s),
        carbon_intensity_gco2eq_per_kwh=step.carbon_intensity_gco2eq_per_kwh,
        kind=step.kind,
    )


def _curve(axes: "Axes", steps: Sequence[Step]) -> None:
    """Draw one line for each stretch of one kind; a stretch of which nothing is known stays empty."""
    xs: list[float] = []
    ys: list[float] = []
    for step, after in zip(steps, (*steps[1:], None), strict=True):
        xs += [step.start_s, step.end_s]
        ys += [step.carbon_intensity_gco2eq_per_kwh] * 2
        joined = after is not None and after.start_s - step.end_s < 1.0
        if joined and after is not None and after.kind == step.kind:
            continue
        if joined and after is not None:
            xs, ys = [*xs, after.start_s], [*ys, after.carbon_intensity_gco2eq_per_kwh]
        dashes = _DASHES.get(step.kind, "-")
        axes.plot(
            xs,
            ys,
            color=COLOURS["grid"],
            linewidth=2.0,
            linestyle=dashes,
            solid_capstyle="butt",
            solid_joinstyle="miter",
        )
        xs, ys = [], []


# Power and cumulative grams since the start, the baseline's beside the run's.


WHO: Final[dict[Side, str]] = {"baseline": "Baseline", "run": "This run"}
_LINES = {"run": "-", "baseline": (0, (5, 2))}


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """One side's course in bins of real seconds since its start."""

    side: Side
    bins: Bins


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What is drawn. ``stops``: when the run paused or was interrupted, in real seconds since its start.

    ``baseline_gco2eq``: the baseline's total, where its course is not known.
    """

    courses: tuple[Course, ...]
    stops: tuple[tuple[float, float], ...] = ()
    baseline_gco2eq: float | None = None

    @property
    def end_s(self) -> float:
        """The end of the longest course."""
        return max(float(course.bins.edges_s[-1]) for course in self.courses)

    @property
    def highest_gco2eq(self) -> float:
        """The highest total."""
        totals = [float(course.bins.emissions_gco2eq.sum()) for course in self.courses]
        return max(*totals, self.baseline_gco2eq or 0.0)


def draw_power(progress: Progress) -> Chart | None:
    """Draw the courses that there are; None without any."""
    if not progress.courses:
        return None
    return chart(
        "power",
        title="Power and cumulative emissions since the start",
        description=". ".join(told_course(course) for course in progress.courses) + ".",
        wide=Shape(width=1040, height=430, narrow=False),
        narrow=Shape(width=340, height=400, narrow=True),
        draw=lambda figure, shape: _power_draw(figure, shape, progress),
    )


def told_course(course: Course) -> str:
    """Write a course's mean power and its grams in the end."""
    bins = course.bins
    mean_w = 3.6e6 * float(bins.energy_kwh.sum()) / max(float(bins.covered_s.sum()), 1e-9)
    grams = units.grams_text(float(bins.emissions_gco2eq.sum()))
    return f"{WHO[course.side]}: {power_text(mean_w)} on average, {grams} in the end"


def _power_draw(figure: "Figure", shape: Shape, progress: Progress) -> None:
    left, right, bottom, top, between = (58, 8, 30, 24, 52) if shape.narrow else (70, 12, 30, 26, 54)
    half = (shape.height - bottom - top - between) / 2 + between
    power = figure.add_axes(shape.box(left, right, bottom + half, top))
    grams = figure.add_axes(shape.box(left, right, bottom, top + half))
    for axes, title in ((power, "Power"), (grams, "Cumulative emissions")):
        rest_axes(axes)
        ruled(axes)
        elapsed_axis(axes, progress.end_s, most=4 if shape.narrow else 9)
        x = -left / (shape.width - left - right)
        axes.text(x, 1.05, title, transform=axes.transAxes, va="bottom", fontweight="bold")
        for start, stop in progress.stops:
            axes.axvspan(start, stop, color=COLOURS["paused"], alpha=0.2, linewidth=0)
    for course in progress.courses:
        _lines(power, grams, course)
    if progress.baseline_gco2eq is not None:
        grams.axhline(progress.baseline_gco2eq, color=COLOURS["baseline"], linewidth=2, linestyle=_LINES["baseline"])
    highest_w = max(float(np.nanmax(course.bins.power_w)) for course in progress.courses)
    power.set_ylim(0, 1.1 * highest_w or 1.0)
    grams.set_ylim(0, 1.1 * progress.highest_gco2eq or 1.0)
    power_axis(power.yaxis, highest_w)
    mass_axis(grams.yaxis, progress.highest_gco2eq)


def _lines(power: "Axes", grams: "Axes", course: Course) -> None:
    bins, colour, dashes = course.bins, COLOURS[course.side], _LINES[course.side]
    values = bins.power_w
    power.plot(np.repeat(bins.edges_s, 2)[1:-1], np.repeat(values, 2), color=colour, linewidth=2, linestyle=dashes)
    grams.plot(bins.edges_s, bins.cumulative_gco2eq, color=colour, linewidth=2, linestyle=dashes)


# What the training was worth and what it needed: test accuracy and peak memory, the baseline's beside the run's.


_NAMES = {"baseline": "Baseline", "run": "This run"}
_NAME_PX, _GAP_PX, _FOOT_PX, _HEAD_PX = 74.0, 60.0, 26.0, 28.0
_SIDES: Final[tuple[Side, ...]] = ("baseline", "run")
_Sides = Sequence[tuple[Side, Sequence[RunFigures]]]


def draw_quality(report: Report) -> Chart:
    """Draw both figures of both sides, or of the run alone; of several runs a side, each accuracy and the mean memory."""
    sides = [(side, runs) for side in _SIDES if (runs := runs_of(report, side))]
    told = (
        f"{_NAMES[who]}: accuracy {_percent(mean(map(_accuracy, runs)))}, peak memory {_memory_text(runs)}."
        for who, runs in sides
    )
    return chart(
        "quality",
        title="Peak memory and test accuracy",
        description=" ".join(told),
        wide=Shape(width=1040, height=70 + 40 * len(sides), narrow=False),
        narrow=Shape(width=340, height=130 + 80 * len(sides), narrow=True),
        draw=lambda figure, shape: _quality_draw(figure, shape, sides),
    )


def _accuracy(run: RunFigures) -> float:
    return 100 * run.test_accuracy


def _percent(value: float) -> str:
    return f"{value:.2f} %"


def _memory_text(runs: Sequence[RunFigures]) -> str:
    return units.memory_text(round(mean(run.peak_memory_bytes for run in runs)))


def _quality_draw(figure: "Figure", shape: Shape, sides: _Sides) -> None:
    if shape.narrow:
        up = (shape.height - 2 * (_FOOT_PX + _HEAD_PX)) / 2 + _FOOT_PX + _HEAD_PX
        boxes = (shape.box(_NAME_PX, 8, _FOOT_PX + up, _HEAD_PX), shape.box(_NAME_PX, 8, _FOOT_PX, _HEAD_PX + up))
    else:
        half = (shape.width - _GAP_PX) / 2 + _GAP_PX
        boxes = (shape.box(_NAME_PX, half, _FOOT_PX, _HEAD_PX), shape.box(_NAME_PX + half, 8, _FOOT_PX, _HEAD_PX))
    memory, accuracy = (figure.add_axes(box) for box in boxes)
    width_px = boxes[0][2] * shape.width
    for axes, title in ((memory, "Peak memory"), (accuracy, "Test accuracy")):
        _frame(axes, title, sides, -_NAME_PX / width_px)
    _memory(memory, sides, width_px)
    _accuracies(accuracy, sides, width_px)


def _frame(axes: "Axes", title: str, sides: _Sides, x: float) -> None:
    rest_axes(axes)
    ruled(axes, "x")
    axes.set_ylim(len(sides) - 0.5, -0.5)
    axes.set_yticks([])
    axes.text(x, 1.1, title, transform=axes.transAxes, va="bottom", fontweight="bold")
    for row, (who, _) in enumerate(sides):
        axes.text(x, row, _NAMES[who], transform=axes.get_yaxis_transform(), va="center")


def _memory(axes: "Axes", sides: _Sides, width_px: float) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    mib = [mean(run.peak_memory_bytes for run in runs) / BYTES_PER_MIB for _, runs in sides]
    for row, ((who, runs), value) in enumerate(zip(sides, mib, strict=True)):
        axes.barh(row, value, height=0.55, color=COLOURS[who])
        _label(axes, _memory_text(runs), value, row)
    axes.set_xlim(0, max(*mib, 1.0) * width_px / (width_px - 100))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=3))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f} MiB" if value else "0"))


def _accuracies(axes: "Axes", sides: _Sides, width_px: float) -> None:
    """Points, not bars: the axis shows the range that matters, and does not begin at zero."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    values = [_accuracy(run) for _, runs in sides for run in runs]
    middle, reach = (min(values) + max(values)) / 2, max(max(values) - min(values), 0.5)
    low, high = max(0.0, middle - reach), min(100.0, middle + reach)
    for row, (who, runs) in enumerate(sides):
        found = [_accuracy(run) for run in runs]
        marker = "o" if who == "run" else "D"
        axes.plot(
            found, [row] * len(found), linestyle="none", marker=marker, markersize=9, color=COLOURS[who], alpha=0.9
        )
        _label(axes, _percent(mean(found)), max(found), row)
    axes.set_xlim(low, low + (high - low) * width_px / (width_px - 80))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} %" if value <= 100 else ""))


def _label(axes: "Axes", text: str, value: float, row: int) -> None:
    axes.annotate(text, (value, row), xytext=(9, 0), textcoords="offset points", va="center")


# The attribution as a waterfall: from the baseline's grams to the run's, one bar a cause, what is ours filled.


Kind = Literal["baseline", "run", "ours", "others", "not_claimed"]
_PARTS: Final[tuple[tuple[str, str, Kind], ...]] = (
    ("work", "Work", "others"),
    ("grid_conditions", "Grid conditions", "others"),
    ("efficiency", "Efficiency", "ours"),
    ("waiting", "Waiting", "ours"),
)
WHOSE: Final[dict[Kind, str]] = {
    "ours": "ours",
    "others": "nobody's merit",
    "not_claimed": "not claimed here",
    "baseline": "before",
    "run": "now",
}
_LABEL_PX = 84
_BAR = 0.62


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One row of the waterfall, in grams; a total begins at zero. ``interval``: of its end, where it is known."""

    label: str
    kind: Kind
    start_gco2eq: float
    end_gco2eq: float
    interval: Interval | None = None

    @property
    def is_total(self) -> bool:
        """Whether the bar is an amount, and not a change."""
        return self.kind in ("baseline", "run")

    @property
    def text(self) -> str:
        """The amount, or the change with its sign."""
        change = self.end_gco2eq - self.start_gco2eq
        return with_minus(units.grams_text(change) if self.is_total else units.signed_grams_text(change))


def bars_of(report: Report) -> tuple[Bar, ...]:
    """Return the bars: against the baseline where the change is attributed, else against the same energy at submission."""
    run_g = report.run.emissions_gco2eq
    if report.baseline is None or report.attribution_gco2eq.total is None:
        return _against_submission(report, run_g)
    parts = report.attribution_gco2eq.model_dump()
    intervals = report.replicates.attribution_gco2eq if report.replicates is not None else {}
    before_g = average(report, "baseline", "emissions_gco2eq", lambda r: r.emissions_gco2eq) or 0.0
    bars = [Bar(label="Baseline", kind="baseline", start_gco2eq=0.0, end_gco2eq=before_g)]
    level = before_g
    for key, label, theirs in _PARTS:
        barred = theirs == "ours" and (report.controllable is None or key not in report.controllable.parts)
        kind: Kind = "not_claimed" if barred else theirs
        end = level + (parts[key] or 0.0)
        shifted = intervals.get(key)
        around = None if shifted is None else Interval(low=level + shifted.low, high=level + shifted.high)
        bars.append(Bar(label=label, kind=kind, start_gco2eq=level, end_gco2eq=end, interval=around))
        level = end
    return (*bars, Bar(label="This run", kind="run", start_gco2eq=0.0, end_gco2eq=level))


def draw_waterfall(report: Report) -> Chart | None:
    """Draw the attribution; None where nothing can be attributed."""
    bars = bars_of(report)
    if not bars:
        return None
    return chart(
        "waterfall",
        title="Why emissions changed",
        description=" ".join(f"{bar.label}: {bar.text}." for bar in bars),
        wide=Shape(width=640, height=36 + 44 * len(bars), narrow=False),
        narrow=Shape(width=340, height=50 + 50 * len(bars), narrow=True),
        draw=lambda figure, shape: _waterfall_draw(figure, shape, bars),
    )


def _against_submission(report: Report, run_g: float) -> tuple[Bar, ...]:
    if report.run.counterfactual is None:
        return ()
    before = report.run.counterfactual.emissions_gco2eq
    kind: Kind = "ours" if report.waiting.no_wait is None else "not_claimed"
    return (
        Bar(label="At submission", kind="baseline", start_gco2eq=0.0, end_gco2eq=before),
        Bar(label="Waiting", kind=kind, start_gco2eq=before, end_gco2eq=run_g),
        Bar(label="This run", kind="run", start_gco2eq=0.0, end_gco2eq=run_g),
    )


def _waterfall_draw(figure: "Figure", shape: Shape, bars: tuple[Bar, ...]) -> None:
    left = 112 if shape.narrow else 132
    bottom = 30
    axes = figure.add_axes(shape.box(left, 4, bottom, 4))
    rest_axes(axes)
    ruled(axes, "x")
    axes.set_ylim(len(bars) - 0.4, -0.6)
    axes.set_yticks([])
    highest = (
        max(max(bar.start_gco2eq, bar.end_gco2eq, bar.interval.high if bar.interval else 0.0) for bar in bars) or 1.0
    )
    lowest = min(0.0, *(min(bar.start_gco2eq, bar.end_gco2eq) for bar in bars))
    plot_px = shape.width - left - 4
    axes.set_xlim(lowest, lowest + (highest - lowest) * plot_px / (plot_px - _LABEL_PX))
    mass_axis(axes.xaxis, highest)
    for row, bar in enumerate(bars):
        _draw_bar(axes, row, bar)
        x = -left / plot_px
        axes.text(x, row - 0.04, bar.label, transform=axes.get_yaxis_transform(), va="bottom", fontweight="bold")
        axes.text(
            x,
            row + 0.06,
            WHOSE[bar.kind],
            transform=axes.get_yaxis_transform(),
            va="top",
            fontsize=shape.font - 1.5,
            color=COLOURS["muted"],
        )
    for row, bar in enumerate(bars[:-1]):
        axes.plot([bar.end_gco2eq] * 2, [row + _BAR / 2, row + 1 - _BAR / 2], color=COLOURS["muted"], linewidth=1)


def _draw_bar(axes: "Axes", row: int, bar: Bar) -> None:
    begin, width = bar.start_gco2eq, bar.end_gco2eq - bar.start_gco2eq
    colour = COLOURS[bar.kind] if bar.is_total else COLOURS["more" if width > 0 else "less"]
    if bar.kind in ("others", "not_claimed"):
        axes.barh(
            row, width, left=begin, height=_BAR, color="none", edgecolor=COLOURS["others"], hatch="////", linewidth=1.2
        )
    else:
        axes.barh(row, width, left=begin, height=_BAR, color=colour)
    end = max(bar.start_gco2eq, bar.end_gco2eq)
    if bar.interval is not None:
        axes.plot(
            [bar.interval.low, bar.interval.high],
            [row, row],
            color=COLOURS["ink"],
            linewidth=1.6,
            solid_capstyle="butt",
        )
        end = max(end, bar.interval.high)
    axes.annotate(
        bar.text,
        (end, row),
        xytext=(7, 0),
        textcoords="offset points",
        va="center",
        fontweight="bold" if bar.is_total else "normal",
    )
