"""A small chart in the terminal: one column per stretch of time, eighths of a block for the height."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from include.records import IntensityKind, Reading

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
