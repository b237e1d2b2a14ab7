"""The panels with time across: a typical week with its blocks, and the whole span by day and hour."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np

from lowtide.errors import ArtifactError
from lowtide.scheduler.backtest.results import HOUR_S, Backtest, Line, pooled
from lowtide.scheduler.backtest.simulate import ActualTrace, Floats, Run
from lowtide.timeutil import format_duration, moment_of_clock

if TYPE_CHECKING:
    from matplotlib.axes import Axes


# The panels of figures: how long jobs waited, and what that saved.


_COLOURS = ("#00796b", "#7b3294", "#0072b2", "#e69f00", "#444444")
_ORACLE = "#9a9a9a"
_MOST_ROWS = 8


def draw_waits(axes: "Axes", backtest: Backtest, line: Line) -> None:
    """Draw one histogram of waits above the other, one a slack, over all durations of the shown policy."""
    config, policy = backtest.config, line.scenario.policy
    slacks = sorted(slack.total_seconds() for slack in config.slacks)[:_MOST_ROWS]
    longest_h = max(slacks) / HOUR_S
    # centred on whole steps: what waits until its latest start is not to look as if it waited longer
    width = max(longest_h / 48, backtest.grid.actual.step_s / HOUR_S)
    bins = np.arange(-width / 2, longest_h + width, width)
    for row, slack_s in enumerate(slacks):
        found = [ln.outcomes.wait_s for ln in backtest.lines if _is(ln, policy, slack_s)]
        waits = np.concatenate(found) / HOUR_S
        if not len(waits):
            continue
        counts = np.histogram(waits, bins)[0]
        heights = 0.85 * counts / counts.max()
        tops = row + np.append(heights, heights[-1])
        axes.fill_between(bins, row, tops, step="post", color=_COLOURS[0], alpha=0.8, linewidth=0)
        axes.plot([waits.mean()] * 2, [row, row + 0.85], color="black", linewidth=1.2)
        axes.plot([np.percentile(waits, 95)] * 2, [row, row + 0.85], color="black", linewidth=1.2, linestyle=":")
    axes.set_yticks(np.arange(len(slacks)), [f"{slack_s / HOUR_S:g} h" for slack_s in slacks], va="bottom")
    axes.set(
        xlim=(0, longest_h * 1.01), ylim=(0, len(slacks)), xlabel="wait in h (line: mean, dotted: 95 %)", ylabel="slack"
    )
    axes.set_title(f"How long jobs waited ({policy}, all durations)", fontweight="bold")


def draw_savings(axes: "Axes", backtest: Backtest) -> None:
    """Draw the saving by slack, over all durations: each policy's, and perfect knowledge's."""
    slacks = sorted(slack.total_seconds() for slack in backtest.config.slacks)
    names = [f"{slack_s / HOUR_S:g} h" for slack_s in slacks]
    policies = list(dict.fromkeys(backtest.config.policies))
    for pausing in sorted({line.scenario.interruptible for line in backtest.lines}):
        lines = [line for line in backtest.lines if line.scenario.interruptible == pausing]
        oracle = [pooled([ln.result for ln in lines if ln.scenario.slack_s == s]).oracle for s in slacks]
        label = "perfect knowledge" + (", may pause" if pausing else "")
        axes.plot(
            names,
            _numbers(oracle),
            "--" if pausing else "-",
            color=_ORACLE,
            marker="o",
            markersize=9,
            fillstyle="none",
            label=label,
        )
    for policy, colour in zip(policies, _COLOURS, strict=False):
        saving = [pooled([ln.result for ln in backtest.lines if _is(ln, policy, s)]).saving for s in slacks]
        axes.plot(names, _numbers(saving), color=colour, marker="o", markersize=4, label=policy)
    axes.axhline(0, color="black", linewidth=0.6)
    axes.set(xlabel="slack", ylabel="saving against starting at once, %")
    axes.legend(frameon=False, loc="best")
    axes.set_title("What that saved (mean over durations)", fontweight="bold")


def _is(line: Line, policy: str, slack_s: float) -> bool:
    return line.scenario.policy == policy and line.scenario.slack_s == slack_s


def _numbers(values: list[Any]) -> list[float]:
    return [np.nan if value is None else value for value in values]


# Which of many lines and weeks a picture shows: the one in the middle, never the best.


_WEEK_S = 7 * 86_400.0


def shown_line(backtest: Backtest) -> Line:
    """Return the line that is drawn: the first policy that waits, with the middle duration and slack."""
    waiting = [policy for policy in backtest.config.policies if policy != "immediate"]
    policy = waiting[0] if waiting else backtest.config.policies[0]
    durations, slacks = sorted(backtest.config.durations), sorted(backtest.config.slacks)
    wanted = (durations[len(durations) // 2].total_seconds(), slacks[len(slacks) // 2].total_seconds())
    lines = [line for line in backtest.lines if line.scenario.policy == policy and line.runs]
    same = [line for line in lines if (line.scenario.duration_s, line.scenario.slack_s) == wanted]
    return (same or lines or [line for line in backtest.lines if line.runs])[0]


def typical_week(line: Line) -> tuple[float, float]:
    """Return the week, in UNIX seconds, whose saving lies nearest to that of the whole line; longer for long waits."""
    length_s = max(_WEEK_S, 2.0 * (line.scenario.duration_s + line.scenario.slack_s))
    submitted = np.array([run.submitted_s for run in line.runs])
    outcomes = line.outcomes
    whole = outcomes.policy.sum() / max(outcomes.run_now.sum(), 1e-9)
    best, nearest = float(submitted[0]), np.inf
    for start in submitted[submitted <= max(submitted[0], submitted[-1] - length_s)]:
        week = (submitted >= start) & (submitted < start + length_s)
        apart = abs(outcomes.policy[week].sum() / max(outcomes.run_now[week].sum(), 1e-9) - whole)
        if apart < nearest:
            best, nearest = float(start), apart
    return best, best + length_s


def shown_runs(line: Line, begin_s: float = -inf, end_s: float = inf) -> list[Run]:
    """Return the runs submitted in a span, passing over those that come before an earlier one must be done.

    Two jobs that run at the same time cannot both be seen.
    """
    shown: list[Run] = []
    for run in line.runs:
        if begin_s <= run.submitted_s < end_s and (not shown or run.submitted_s >= shown[-1].deadline_s):
            shown.append(run)
    return shown


def share_text(line: Line) -> str:
    """Return how many of the jobs are shown, in words; nothing where it is all of them."""
    count = len(shown_runs(line))
    return "" if count == len(line.runs) else f" ({count} of {len(line.runs)} jobs, of which no two overlap)"


def shape_text(line: Line) -> str:
    """Return a line's shape of job in words."""
    duration, slack = (format_duration(timedelta(seconds=s)) for s in line.scenario[1:3])
    return f"jobs of {duration} with {slack} of slack" + (", may pause" if line.scenario.interruptible else "")


CHOSEN, AT_ONCE, CURVE = "#00796b", "#c75b12", "#5f6b73"
_COLOURS_OF_INTENSITY = "YlOrBr"
_MOST_TICKS = 14


def draw_week(axes: "Axes", backtest: Backtest, line: Line) -> None:
    """Draw a typical week of the intensity: the time of the chosen blocks is filled, that of starting at once hatched."""
    actual, config = backtest.grid.actual, backtest.config
    begin, week_end = typical_week(line)
    runs = shown_runs(line, begin, week_end)
    end = min(actual.end_s, max(run.segments[-1][1] for run in runs) + 2 * HOUR_S)
    axes.step(*_steps(actual, begin, end), where="post", color=CURVE, linewidth=1.0)
    real_s = line.scenario.duration_s * config.duration_error
    at_once = [(run.submitted_s, run.submitted_s + real_s) for run in runs]
    for start, stop in at_once:
        _hatch(axes, *_steps(actual, start, stop))
    for start, stop in (segment for run in runs for segment in run.segments):
        _fill(axes, *_steps(actual, start, stop))
    _hatch(axes, np.empty(0), np.empty(0), label="at once")
    _fill(axes, np.empty(0), np.empty(0), label=f"chosen by {line.scenario.policy}")
    axes.set(xlim=(begin, end), ylim=(0, None), ylabel="gCO₂eq/kWh")
    marks = _midnights(begin, end, config.timezone)
    axes.set_xticks([moment for _, moment in marks], [f"{day:%a %d %b}" for day, _ in marks], ha="left")
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False)
    axes.set_title(f"{config.zone}, a typical week: {shape_text(line)}", fontweight="bold")


def draw_year(axes: "Axes", backtest: Backtest, line: Line) -> None:
    """Draw the whole trace, days across and hours of the day upwards, with every chosen block."""
    actual, timezone = backtest.grid.actual, backtest.config.timezone
    days, hours, means = _by_day_and_hour(actual, timezone)
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
    axes.set_title(f"When the jobs ran: every line is a chosen block{share_text(line)}", fontweight="bold")


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


def _steps(actual: ActualTrace, start_s: float, end_s: float) -> tuple[Floats, Floats]:
    """Return edges and values of a stretch for drawing steps; the last value stands twice."""
    first, last = actual.row_of(start_s), actual.row_of(end_s - 1e-3)
    values = actual.values[first : last + 1]
    edges = actual.start_s + actual.step_s * np.arange(first, last + 2)
    return np.clip(edges, start_s, end_s), np.append(values, values[-1])


def _by_day_and_hour(actual: ActualTrace, timezone: ZoneInfo) -> tuple[np.ndarray, np.ndarray, Floats]:
    a_step = round(HOUR_S / actual.step_s)
    count = len(actual.values) // a_step
    means = actual.values[: count * a_step].reshape(count, a_step).mean(axis=1)
    moments = (datetime.fromtimestamp(actual.start_s + i * HOUR_S, UTC).astimezone(timezone) for i in range(count))
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


# Draws a backtest: the intensity, the chosen blocks, how long the jobs waited, and what that saved.


_STYLE: Any = {"font.size": 9.0, "axes.spines.top": False, "axes.spines.right": False, "axes.titlelocation": "left"}
_SUFFIXES = (".png", ".svg", ".pdf")


def check_picture_path(path: Path) -> None:
    """Refuse a file that cannot be drawn, before a backtest is run for it.

    :raises ArtifactError: no kind of picture.
    """
    if path.suffix.lower() not in _SUFFIXES:
        raise ArtifactError(f"{path} is no picture that can be drawn; end it with .png, .svg or .pdf")


def draw(backtest: Backtest, path: Path) -> None:
    """Draw a backtest to a file.

    :raises ArtifactError: no kind of picture, or the file cannot be written.
    """
    # half a second and 60 MB, so only where a picture is wanted; without pyplot there is no window and no global state
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    check_picture_path(path)
    line = shown_line(backtest)
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(12, 10.5), dpi=120, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplot_mosaic(
            [["week", "week"], ["year", "year"], ["waits", "savings"]], height_ratios=[1, 1, 1]
        )
        draw_week(axes["week"], backtest, line)
        draw_year(axes["year"], backtest, line)
        draw_waits(axes["waits"], backtest, line)
        draw_savings(axes["savings"], backtest)
        try:
            figure.savefig(path)
        except OSError as error:
            raise ArtifactError(f"cannot write {path}: {error.strerror or error}") from error
