"""Power and cumulative grams since the start, the baseline's beside the run's."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from include.report.html.averages import Side
from include.report.html.bins import Bins
from include.report.html.charts.canvas import COLOURS, Chart, Shape, chart, rest_axes, ruled
from include.report.html.charts.scales import elapsed_axis, mass_axis, power_axis, power_text
from include.report.text import figures

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

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
        draw=lambda figure, shape: _draw(figure, shape, progress),
    )


def told_course(course: Course) -> str:
    """Write a course's mean power and its grams in the end."""
    bins = course.bins
    mean_w = 3.6e6 * float(bins.energy_kwh.sum()) / max(float(bins.covered_s.sum()), 1e-9)
    grams = figures.grams_text(float(bins.emissions_gco2eq.sum()))
    return f"{WHO[course.side]}: {power_text(mean_w)} on average, {grams} in the end"


def _draw(figure: "Figure", shape: Shape, progress: Progress) -> None:
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
