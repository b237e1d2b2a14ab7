"""A small chart in the terminal: one column per stretch of time, eighths of a block for the height."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from lowtide.grid.series import IntensityCurve
from lowtide.records import IntensityKind, Reading

_EIGHTHS = " ▁▂▃▄▅▆▇█"
_GAP = "·"
_FORECAST_MARK = "░"
MARGIN = " " * 6
"""Left of the bars, where the scale is."""


def chart(
    readings: Sequence[Reading], span: tuple[datetime, datetime], timezone: ZoneInfo, *, width: int, height: int = 8
) -> list[str]:
    """Return the lines of a chart: g/kWh from zero upwards, gaps as dots, a line that marks forecasts, local dates below.

    :param width: columns of the terminal.
    """
    columns = columns_of(width)
    means = [_mean(readings, *stretch) for stretch in stretches(*span, columns)]
    lines = bars([mean for mean, _ in means], height)
    if any(is_forecast for _, is_forecast in means):
        lines.append(MARGIN + "".join(_FORECAST_MARK if is_forecast else " " for _, is_forecast in means))
    return [*lines, MARGIN + _dates(span, timezone, columns)]


def columns_of(width: int) -> int:
    """Return how many columns are left for bars in a terminal of a width."""
    return max(8, width - len(MARGIN) - 1)


def bars(means: Sequence[float | None], height: int) -> list[str]:
    """Return the lines of the bars, g/kWh from zero upwards at the left; None is a gap, drawn as a dot."""
    highest = max((mean for mean in means if mean is not None), default=0.0) or 1.0
    return [
        f"{_label(row, height, highest):>5} {''.join(_cell(mean, highest, row, height) for mean in means)}"
        for row in range(height - 1, -1, -1)
    ]


def stretches(start: datetime, end: datetime, columns: int) -> list[tuple[datetime, datetime]]:
    """Return a span cut into equal stretches, one a column."""
    step = (end - start) / columns
    return [(start + i * step, start + (i + 1) * step) for i in range(columns)]


def _mean(readings: Sequence[Reading], start: datetime, end: datetime) -> tuple[float | None, bool]:
    grams = seconds = 0.0
    forecast_only = True
    for reading in readings:
        length_s = (min(reading.end, end) - max(reading.start, start)).total_seconds()
        if length_s > 0:
            grams += length_s * reading.carbon_intensity_gco2eq_per_kwh
            seconds += length_s
            forecast_only = forecast_only and reading.kind is IntensityKind.FORECAST
    return (grams / seconds, forecast_only) if seconds else (None, False)


def _cell(mean: float | None, highest: float, row: int, height: int) -> str:
    if mean is None:
        return _GAP if row == 0 else " "
    eighths = round(8 * height * mean / highest)
    return _EIGHTHS[min(8, max(1 if row == 0 else 0, eighths - 8 * row))]  # a very clean hour is still no gap


def _label(row: int, height: int, highest: float) -> str:
    if row == height - 1:
        return f"{highest:.0f}"
    return f"{highest / 2:.0f}" if row == height // 2 - 1 else "0" if row == 0 else ""


def _dates(span: tuple[datetime, datetime], timezone: ZoneInfo, columns: int) -> str:
    line = [" "] * columns
    start, end = span
    day = start.astimezone(timezone).date() + timedelta(days=1)
    last = -8
    while (midnight := datetime(day.year, day.month, day.day, tzinfo=timezone)) < end:
        at = int(columns * ((midnight - start) / (end - start)))
        if at >= last + 8 and at + 7 <= columns:
            line[at : at + 7] = f"|{midnight:%d %b}"
            last = at
        day += timedelta(days=1)
    return "".join(line).rstrip()


# What ``lowtide plan`` shows: the outlook as a small chart, with the chosen block below it.


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
    means = [_plan_view_mean(curve, start, end) for start, end in cells]
    marks = "".join(_CHOSEN if _is_chosen(cell, chosen) else " " for cell in cells).rstrip()
    return [*bars(means, HEIGHT), MARGIN + marks, MARGIN + _clock(span, timezone, columns)]


def _plan_view_mean(curve: IntensityCurve, start: datetime, end: datetime) -> float | None:
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
