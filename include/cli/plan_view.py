"""What ``lowtide plan`` shows: the outlook as a small chart, with the chosen block below it."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from include.cli.chart import MARGIN, bars, columns_of, stretches
from include.scheduler.curves.curve import IntensityCurve

Span = tuple[datetime, datetime]

HEIGHT = 8
_CHOSEN = "━"
_TICK_HOURS = (1, 2, 3, 6, 12, 24, 48)
_TICK_COLUMNS = 9
"""Columns that a clock time with its mark needs."""


def outlook_chart(
    curve: IntensityCurve, span: Span, chosen: Sequence[Span], timezone: ZoneInfo, *, width: int
) -> list[str]:
    """Return the lines of a chart of a curve over a span: bars, the chosen blocks, the zone's clock.

    :param width: columns of the terminal.
    """
    columns = columns_of(width)
    cells = stretches(*span, columns)
    means = [_mean(curve, start, end) for start, end in cells]
    marks = "".join(_CHOSEN if _is_chosen(cell, chosen) else " " for cell in cells).rstrip()
    return [*bars(means, HEIGHT), MARGIN + marks, MARGIN + _clock(span, timezone, columns)]


def _mean(curve: IntensityCurve, start: datetime, end: datetime) -> float | None:
    """Return the mean of a column; the first and last are taken as far as the curve reaches."""
    start_s, end_s = max(start.timestamp(), curve.start_s), min(end.timestamp(), curve.end_s)
    return curve.mean_over(start_s, end_s) if start_s < end_s else None


def _is_chosen(cell: Span, chosen: Sequence[Span]) -> bool:
    """Whether most of a column's time is chosen, or a chosen block is so short that it lies within the column."""
    start, end = cell
    overlaps = (min(end, block_end) - max(start, block_start) for block_start, block_end in chosen)
    covered = sum((max(timedelta(0), overlap) for overlap in overlaps), timedelta(0))
    within = any(start <= block_start and block_end <= end for block_start, block_end in chosen)
    return covered * 2 >= end - start or within


def _clock(span: Span, timezone: ZoneInfo, columns: int) -> str:
    """Return a line with marks at full hours of the zone's clock, as many as fit."""
    start, end = span
    hours = (end - start) / timedelta(hours=1)
    step = next((step for step in _TICK_HOURS if columns * step / hours >= _TICK_COLUMNS), _TICK_HOURS[-1])
    line = [" "] * columns
    # in UTC steps, named by the zone's clock: on the two days when the clocks change, a mark is then not a multiple of the step
    tick = start.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    while tick.astimezone(timezone).hour % step:
        tick += timedelta(hours=1)
    while tick < end:
        at = int(columns * ((tick - start) / (end - start)))
        label = f"|{tick.astimezone(timezone):%H:%M}"
        if at + len(label) <= columns:
            line[at : at + len(label)] = label
        tick += timedelta(hours=step)
    return "".join(line).rstrip()
