"""Power and cumulative grams since the start, the baseline's beside the run's."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from include.report import figures
from include.report.html.bins import Bins
from include.report.html.charts.canvas import COLOURS, Chart, Shape, chart, rest_axes, ruled
from include.report.html.charts.scales import elapsed_axis, mass_axis, power_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Side = Literal["baseline", "run"]
WHO: Final[dict[Side, str]] = {"baseline": "Baseline", "run": "This run"}
_LINES = {"run": "-", "baseline": (0, (5, 2))}


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """One side's course in bins of real seconds since its start."""

    side: Side
    bins: Bins


def draw_power(courses: Sequence[Course], stops: Sequence[tuple[float, float]]) -> Chart | None:
    """Draw the courses that there are; None without any.

    :param stops: when the run paused or was interrupted, in real seconds since its start.
    """
    if not courses:
        return None
    return chart(
        "power",
        title="Power and cumulative emissions since the start",
        description=". ".join(told_course(course) for course in courses) + ".",
        wide=Shape(width=1040, height=430, narrow=False),
        narrow=Shape(width=340, height=400, narrow=True),
        draw=lambda figure, shape: _draw(figure, shape, courses, stops),
    )


def told_course(course: Course) -> str:
    """Write a course's mean power and its grams in the end."""
    bins = course.bins
    mean_w = 3.6e6 * float(bins.energy_kwh.sum()) / max(float(bins.covered_s.sum()), 1e-9)
    grams = figures.grams_text(float(bins.emissions_gco2eq.sum()))
    return f"{WHO[course.side]}: {figures.significant(mean_w)} W on average, {grams} in the end"


def _draw(figure: "Figure", shape: Shape, courses: Sequence[Course], stops: Sequence[tuple[float, float]]) -> None:
    left, right, bottom, top, between = (58, 8, 30, 24, 52) if shape.narrow else (70, 12, 30, 26, 54)
    height = (shape.height - bottom - top - between) / 2
    width = 1 - (left + right) / shape.width
    boxes = [
        (left / shape.width, y / shape.height, width, height / shape.height)
        for y in (bottom + height + between, bottom)
    ]
    power, grams = (figure.add_axes(box) for box in boxes)
    end = max(float(course.bins.edges_s[-1]) for course in courses)
    for axes, title in ((power, "Power"), (grams, "Cumulative emissions")):
        rest_axes(axes)
        ruled(axes)
        elapsed_axis(axes, end, most=4 if shape.narrow else 9)
        axes.text(-left / (shape.width * width), 1.05, title, transform=axes.transAxes, va="bottom", fontweight="bold")
        for start, stop in stops:
            axes.axvspan(start, stop, color=COLOURS["paused"], alpha=0.2, linewidth=0)
    for course in courses:
        _lines(power, grams, course)
    power.set_ylim(0, 1.1 * max(float(np.nanmax(course.bins.power_w)) for course in courses) or 1.0)
    highest = max(float(course.bins.emissions_gco2eq.sum()) for course in courses)
    grams.set_ylim(0, 1.1 * highest or 1.0)
    power_axis(power.yaxis, power.get_ylim()[1])
    mass_axis(grams.yaxis, highest)


def _lines(power: "Axes", grams: "Axes", course: Course) -> None:
    bins, colour, dashes = course.bins, COLOURS[course.side], _LINES[course.side]
    values = bins.power_w
    power.plot(np.repeat(bins.edges_s, 2)[1:-1], np.repeat(values, 2), color=colour, linewidth=2, linestyle=dashes)
    grams.plot(bins.edges_s, bins.cumulative_gco2eq, color=colour, linewidth=2, linestyle=dashes)
