"""Draws a backtest: a typical week with its chosen blocks, and how long jobs waited."""

from datetime import date, datetime, timedelta
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np

from lowtide.errors import ArtifactError
from lowtide.scheduler.backtest.results import Backtest, Line
from lowtide.scheduler.backtest.simulate import Run
from lowtide.scheduler.backtest.trace import HOUR_S, ActualTrace, Floats
from lowtide.scheduler.types import utc
from lowtide.timeutil import format_duration, time_of_clock

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_STYLE: Any = {"font.size": 9.0, "axes.spines.top": False, "axes.spines.right": False, "axes.titlelocation": "left"}
_SUFFIXES = (".png", ".svg", ".pdf")
_CHOSEN, _AT_ONCE, _CURVE = "#00796b", "#c75b12", "#5f6b73"
_MOST_ROWS, _MOST_TICKS = 8, 14
_DAY_S = 86_400.0


def check_picture_path(path: Path) -> None:
    """Refuse a file that cannot be drawn, before a backtest is run for it.

    :raises ArtifactError: the file's ending is not a picture's.
    """
    if path.suffix.lower() not in _SUFFIXES:
        raise ArtifactError(f"{path} is not a picture that can be drawn; end it with .png, .svg or .pdf")


def draw(backtest: Backtest, path: Path) -> None:
    """Draw a backtest to a file that ``check_picture_path`` has admitted.

    :raises ArtifactError: the file cannot be written.
    """
    # half a second and 60 MB, so only where a picture is wanted; without pyplot there is no window and no global state
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    line = shown_line(backtest)
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(12, 7), dpi=120, layout="constrained")
        FigureCanvasAgg(figure)
        week, waits = figure.subplots(2)
        _draw_week(week, backtest, line)
        _draw_waits(waits, backtest, line.scenario.policy)
        try:
            figure.savefig(path)
        except OSError as error:
            raise ArtifactError(f"cannot write {path}: {error.strerror or error}") from error


# Which of many lines and weeks a picture shows: the one in the middle, never the best.


def shown_line(backtest: Backtest) -> Line:
    """Return the line that is drawn: the first policy that waits, with the middle duration and slack."""
    config = backtest.config
    policy = next((policy for policy in config.policies if policy != "immediate"), config.policies[0])
    durations, slacks = sorted(config.durations), sorted(config.slacks)
    middle = tuple(values[len(values) // 2].total_seconds() for values in (durations, slacks))
    lines = [line for line in backtest.lines if line.scenario.policy == policy and line.runs]
    same = [line for line in lines if (line.scenario.duration_s, line.scenario.slack_s) == middle]
    return (same or lines or [line for line in backtest.lines if line.runs])[0]


def typical_week(line: Line) -> tuple[float, float]:
    """Return the week, in UNIX seconds, whose saving is nearest to that of the whole line; longer for long waits."""
    length_s = max(7 * _DAY_S, 2.0 * (line.scenario.duration_s + line.scenario.slack_s))
    submitted = np.array([run.submitted_s for run in line.runs])
    whole = line.policy.sum() / max(line.run_now.sum(), 1e-9)
    best, nearest = float(submitted[0]), inf
    for start in submitted[submitted <= max(submitted[0], submitted[-1] - length_s)]:
        week = (submitted >= start) & (submitted < start + length_s)
        apart = abs(line.policy[week].sum() / max(line.run_now[week].sum(), 1e-9) - whole)
        if apart < nearest:
            best, nearest = float(start), apart
    return best, best + length_s


def _shown_runs(line: Line, begin_s: float, end_s: float) -> list[Run]:
    """Return the runs submitted in a span, passing over those that come before an earlier one must be done.

    Two jobs that run at the same time cannot both be seen.
    """
    shown: list[Run] = []
    for run in line.runs:
        if begin_s <= run.submitted_s < end_s and (not shown or run.submitted_s >= shown[-1].deadline_s):
            shown.append(run)
    return shown


# The panels.


def _draw_week(axes: "Axes", backtest: Backtest, line: Line) -> None:
    """Draw a typical week of the intensity: the time of the chosen blocks is filled, that of starting at once hatched."""
    actual, config = backtest.grid.actual, backtest.config
    begin, week_end = typical_week(line)
    runs = _shown_runs(line, begin, week_end)
    end = min(actual.end_s, max(run.segments[-1][1] for run in runs) + 2 * HOUR_S)
    axes.step(*_steps(actual, begin, end), where="post", color=_CURVE, linewidth=1.0)
    at_once: dict[str, Any] = {"facecolor": "none", "edgecolor": _AT_ONCE, "hatch": "////", "linewidth": 0.0}
    chosen: dict[str, Any] = {"color": _CHOSEN, "alpha": 0.85, "linewidth": 0.0}
    for run in runs:
        axes.fill_between(
            *_steps(actual, run.submitted_s, run.submitted_s + line.scenario.duration_s), step="post", **at_once
        )
        for start, stop in run.segments:
            axes.fill_between(*_steps(actual, start, stop), step="post", **chosen)
    axes.fill_between([], [], label="at once", **at_once)
    axes.fill_between([], [], label=f"chosen by {line.scenario.policy}", **chosen)
    axes.set(xlim=(begin, end), ylim=(0, None), ylabel="gCO₂eq/kWh")
    marks = _midnights(begin, end, config.timezone)
    axes.set_xticks([time_s for _, time_s in marks], [f"{day:%a %d %b}" for day, _ in marks], ha="left")
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False)
    duration, slack = (format_duration(timedelta(seconds=s)) for s in line.scenario[1:3])
    pauses = ", may pause" if line.scenario.interruptible else ""
    axes.set_title(
        f"{config.zone}, a typical week: jobs of {duration} with {slack} of slack{pauses}", fontweight="bold"
    )


def _draw_waits(axes: "Axes", backtest: Backtest, policy: str) -> None:
    """Draw one histogram of waits above the other, one a slack, over all durations of the policy."""
    slacks = sorted(slack.total_seconds() for slack in backtest.config.slacks)[:_MOST_ROWS]
    longest_h = max(slacks) / HOUR_S
    # centred on whole steps: a job that waits until its latest start must not seem to have waited longer
    width = max(longest_h / 48, backtest.grid.actual.step_s / HOUR_S)
    bins = np.arange(-width / 2, longest_h + width, width)
    for row, slack_s in enumerate(slacks):
        lines = [ln for ln in backtest.lines if (ln.scenario.policy, ln.scenario.slack_s) == (policy, slack_s)]
        waits = np.concatenate([ln.wait_s for ln in lines]) / HOUR_S
        if not len(waits):
            continue
        counts = np.histogram(waits, bins)[0]
        heights = 0.85 * counts / counts.max()
        tops = row + np.append(heights, heights[-1])
        axes.fill_between(bins, row, tops, step="post", color=_CHOSEN, alpha=0.8, linewidth=0)
        for value, style in ((waits.mean(), "-"), (np.percentile(waits, 95), ":")):
            axes.plot([value] * 2, [row, row + 0.85], color="black", linewidth=1.2, linestyle=style)
    axes.set_yticks(np.arange(len(slacks)), [f"{slack_s / HOUR_S:g} h" for slack_s in slacks], va="bottom")
    axes.set(xlim=(0, longest_h * 1.01), ylim=(0, len(slacks)), ylabel="slack")
    axes.set(xlabel="wait in h (line: mean, dotted: 95 %)")
    axes.set_title(f"How long jobs waited ({policy}, all durations)", fontweight="bold")


def _steps(actual: ActualTrace, start_s: float, end_s: float) -> tuple[Floats, Floats]:
    """Return edges and values of a stretch for drawing steps; the last value is repeated."""
    first, last = actual.row_of(start_s), actual.row_of(end_s - 1e-3)
    values = actual.values[first : last + 1]
    edges = actual.start_s + actual.step_s * np.arange(first, last + 2)
    return np.clip(edges, start_s, end_s), np.append(values, values[-1])


def _midnights(begin_s: float, end_s: float, timezone: ZoneInfo) -> list[tuple[date, float]]:
    first = utc(begin_s).astimezone(timezone).date()
    days = [first + timedelta(days=i) for i in range(int((end_s - begin_s) // _DAY_S) + 2)]
    marks = [(day, time_of_clock(day, datetime.min.time(), timezone).timestamp()) for day in days]
    inside = [(day, time_s) for day, time_s in marks if begin_s <= time_s < end_s]
    return inside[:: 1 + len(inside) // _MOST_TICKS]
