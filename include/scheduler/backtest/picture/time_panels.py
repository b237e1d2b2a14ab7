"""The panels with time across: a typical week with its blocks, and the whole span by day and hour."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np

from include.config.times import moment_of_clock
from include.scheduler.backtest.engine import Backtest, Line
from include.scheduler.backtest.figures import HOUR_S
from include.scheduler.backtest.picture.selection import shown_runs, told_shape, told_share, typical_week
from include.scheduler.backtest.truth import Floats, Truth

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CHOSEN, AT_ONCE, CURVE = "#00796b", "#c75b12", "#5f6b73"
_COLOURS_OF_INTENSITY = "YlOrBr"
_MOST_TICKS = 14


def draw_week(axes: "Axes", backtest: Backtest, line: Line) -> None:
    """Draw a typical week of the intensity: the time of the chosen blocks is filled, that of starting at once hatched."""
    truth, plan = backtest.grid.truth, backtest.plan
    begin, week_end = typical_week(line)
    runs = shown_runs(line, begin, week_end)
    end = min(truth.end_s, max(run.segments[-1][1] for run in runs) + 2 * HOUR_S)
    axes.step(*_steps(truth, begin, end), where="post", color=CURVE, linewidth=1.0)
    real_s = line.combination.duration_s * plan.duration_error
    at_once = [(run.submitted_s, run.submitted_s + real_s) for run in runs]
    for start, stop in at_once:
        _hatch(axes, *_steps(truth, start, stop))
    for start, stop in (segment for run in runs for segment in run.segments):
        _fill(axes, *_steps(truth, start, stop))
    _hatch(axes, np.empty(0), np.empty(0), label="at once")
    _fill(axes, np.empty(0), np.empty(0), label=f"chosen by {line.combination.policy}")
    axes.set(xlim=(begin, end), ylim=(0, None), ylabel="gCO₂eq/kWh")
    marks = _midnights(begin, end, plan.timezone)
    axes.set_xticks([moment for _, moment in marks], [f"{day:%a %d %b}" for day, _ in marks], ha="left")
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False)
    axes.set_title(f"{plan.zone}, a typical week: {told_shape(line)}", fontweight="bold")


def draw_year(axes: "Axes", backtest: Backtest, line: Line) -> None:
    """Draw the whole trace, days across and hours of the day upwards, with every chosen block."""
    truth, timezone = backtest.grid.truth, backtest.plan.timezone
    days, hours, means = _by_day_and_hour(truth, timezone)
    first = days.min()
    table = np.full((24, int(days.max() - first) + 1), np.nan)
    table[hours, days - first] = means  # of two equal hours in autumn the later stands
    shown = axes.pcolormesh(
        np.arange(table.shape[1] + 1), np.arange(25), table, cmap=_COLOURS_OF_INTENSITY, rasterized=True
    )
    days_ran, begins, ends = zip(*_ran(line, timezone), strict=True)
    axes.vlines(np.array(days_ran) - first + 0.5, begins, ends, color=CHOSEN, linewidth=max(0.7, 450 / table.shape[1]))
    axes.set(xlim=(0, table.shape[1]), ylim=(24, 0), ylabel=f"hour, {timezone.key}")
    axes.set_yticks([0, 6, 12, 18, 24])
    marks = _firsts_of_months(int(first), table.shape[1])
    axes.set_xticks(
        [day.toordinal() - first for day in marks],
        [f"{day:%b %Y}" if day.month == 1 else f"{day:%b}" for day in marks],
        ha="left",
    )
    bar = axes.figure.colorbar(shown, ax=axes, pad=0.01, aspect=14)
    bar.set_label("gCO₂eq/kWh")
    axes.set_title(f"When the jobs ran: every line is a chosen block{told_share(line)}", fontweight="bold")


def _hatch(axes: "Axes", edges: Floats, values: Floats, label: str | None = None) -> None:
    axes.fill_between(
        edges, values, step="post", facecolor="none", edgecolor=AT_ONCE, hatch="////", linewidth=0.0, label=label
    )


def _fill(axes: "Axes", edges: Floats, values: Floats, label: str | None = None) -> None:
    axes.fill_between(edges, values, step="post", color=CHOSEN, alpha=0.85, linewidth=0, label=label)


def _ran(line: Line, timezone: ZoneInfo) -> Iterator[tuple[int, float, float]]:
    """Yield day, and first and last hour, of all that ran, cut at midnight."""
    for start_s, end_s in (segment for run in shown_runs(line) for segment in run.segments):
        start, end = (datetime.fromtimestamp(moment, UTC).astimezone(timezone) for moment in (start_s, end_s))
        for day in range(start.toordinal(), end.toordinal() + 1):
            first = _hour(start) if day == start.toordinal() else 0.0
            last = _hour(end) if day == end.toordinal() else 24.0
            if first < last:
                yield day, first, last


def _hour(local: datetime) -> float:
    return local.hour + local.minute / 60


def _steps(truth: Truth, start_s: float, end_s: float) -> tuple[Floats, Floats]:
    """Return edges and values of a stretch for drawing steps; the last value stands twice."""
    first, last = truth.row_of(start_s), truth.row_of(end_s - 1e-3)
    values = truth.values[first : last + 1]
    edges = truth.start_s + truth.step_s * np.arange(first, last + 2)
    return np.clip(edges, start_s, end_s), np.append(values, values[-1])


def _by_day_and_hour(truth: Truth, timezone: ZoneInfo) -> tuple[np.ndarray, np.ndarray, Floats]:
    a_step = round(HOUR_S / truth.step_s)
    count = len(truth.values) // a_step
    means = truth.values[: count * a_step].reshape(count, a_step).mean(axis=1)
    moments = (datetime.fromtimestamp(truth.start_s + i * HOUR_S, UTC).astimezone(timezone) for i in range(count))
    found = np.array([(moment.toordinal(), moment.hour) for moment in moments])
    return found[:, 0], found[:, 1], means


def _midnights(begin_s: float, end_s: float, timezone: ZoneInfo) -> list[tuple[date, float]]:
    day = datetime.fromtimestamp(begin_s, UTC).astimezone(timezone).date()
    days = [day + timedelta(days=i) for i in range(int((end_s - begin_s) // 86_400) + 2)]
    marks = [(day, moment_of_clock(day, datetime.min.time(), timezone).timestamp()) for day in days]
    inside = [(day, moment) for day, moment in marks if begin_s <= moment < end_s]
    return inside[:: 1 + len(inside) // _MOST_TICKS]


def _firsts_of_months(first: int, count: int) -> list[date]:
    days = (date.fromordinal(first + i) for i in range(count - count // 40))  # a label at the very end has no room
    firsts = [day for day in days if day.day == 1] or [date.fromordinal(first)]
    return firsts[:: 1 + len(firsts) // _MOST_TICKS]
