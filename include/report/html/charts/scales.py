"""Axes in the unit that fits, and with the marks that people count in."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from include.report.html.bins import nice_width_s
from include.report.text.figures import significant

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

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
    from matplotlib.ticker import FuncFormatter, MaxNLocator  # noqa: PLC0415

    name, size = unit
    axis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / size:g} {name}" if value else "0"))
    return name
