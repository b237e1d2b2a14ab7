"""The chart of the terminal: carbon intensity over time, one column per stretch, eighths of a block for the height."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from lowtide.grid.series import IntensityCurve

Span = tuple[datetime, datetime]

_HEIGHT = 8
_EIGHTHS = " ▁▂▃▄▅▆▇█"
_GAP, _MARK = "·", "━"
_MARGIN = " " * 6
"""Left of the bars, where the scale is."""
_TICK_HOURS = (1, 2, 3, 6, 12, 24, 48)
_TICK_COLUMNS = 9
"""Columns that a label of the time axis needs."""


def chart(
    curve: IntensityCurve, span: Span, timezone: ZoneInfo, *, width: int, blocks: Sequence[Span] = ()
) -> list[str]:
    """Return the lines of a chart: g/kWh from zero upwards, gaps as dots, a line of marks, the zone's clock.

    :param width: columns of the terminal.
    :param blocks: each column that is mostly within these is marked below.
    """
    columns = max(8, width - len(_MARGIN) - 1)
    start, end = span
    edges = [start + i * (end - start) / columns for i in range(columns + 1)]
    stretches = list(pairwise(edges))
    marks = "".join(_MARK if _is_mostly_within(stretch, blocks) else " " for stretch in stretches).rstrip()
    bars = _bars([_mean(curve, *stretch) for stretch in stretches])
    return [*bars, *([_MARGIN + marks] if marks else []), _MARGIN + _axis(span, timezone, columns)]


def _is_mostly_within(stretch: Span, blocks: Sequence[Span]) -> bool:
    """Whether blocks cover most of a stretch of time, or one is so short that it lies within the stretch."""
    start, end = stretch
    overlaps = (min(end, block_end) - max(start, block_start) for block_start, block_end in blocks)
    covered = sum((max(timedelta(0), overlap) for overlap in overlaps), timedelta(0))
    within = any(start <= block_start and block_end <= end for block_start, block_end in blocks)
    return covered * 2 >= end - start or within


def _mean(curve: IntensityCurve, start: datetime, end: datetime) -> float | None:
    """Return the mean of what is known of a column's time."""
    steps = list(curve.steps(start.timestamp(), end.timestamp()))
    known_s = sum(stop_s - begin_s for begin_s, stop_s, _ in steps)
    return sum((stop_s - begin_s) * value for begin_s, stop_s, value in steps) / known_s if steps else None


def _bars(means: Sequence[float | None]) -> list[str]:
    highest = max((mean for mean in means if mean is not None), default=0.0) or 1.0
    scale = {_HEIGHT - 1: f"{highest:.0f}", _HEIGHT // 2 - 1: f"{highest / 2:.0f}", 0: "0"}
    return [
        f"{scale.get(row, ''):>5} {''.join(_cell(mean, highest, row) for mean in means)}"
        for row in range(_HEIGHT - 1, -1, -1)
    ]


def _cell(mean: float | None, highest: float, row: int) -> str:
    if mean is None:
        return _GAP if row == 0 else " "
    eighths = round(8 * _HEIGHT * mean / highest)
    return _EIGHTHS[min(8, max(1 if row == 0 else 0, eighths - 8 * row))]  # a very clean hour is still no gap


def _axis(span: Span, timezone: ZoneInfo, columns: int) -> str:
    """Return a line with marks at full hours of the zone's clock, as many as fit; at midnights where a day or more apart."""
    start, end = span
    hours = (end - start) / timedelta(hours=1)
    step = next((step for step in _TICK_HOURS if columns * step / hours >= _TICK_COLUMNS), _TICK_HOURS[-1])
    line = [" "] * columns
    tick = start.astimezone(timezone).replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    while tick.hour % step:
        tick += timedelta(hours=1)
    while (utc := tick.astimezone(UTC)) < end:
        at = max(0, int(columns * ((utc - start) / (end - start))))
        label = f"|{tick:{'%d %b' if step >= 24 else '%H:%M'}}"
        if at + len(label) <= columns:
            line[at : at + len(label)] = label
        tick += timedelta(hours=step)  # by the clock on the wall, also on the days when it changes
    return "".join(line).rstrip()
