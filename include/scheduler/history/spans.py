"""How much of a span the history knows, and where it has holes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from include.moments import format_moment
from include.records import IntensityKind, Reading

Span = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """What is known of ``[start, end)``. A gap is where no actual value is known, be there a forecast or not."""

    start: datetime
    end: datetime
    intervals: int
    actual: timedelta
    forecast_only: timedelta
    gaps: tuple[Span, ...]
    unreadable_parts: tuple[str, ...] = ()

    @property
    def actual_percent(self) -> float:
        """The part of the span with an actual value, in percent; 100 for an empty span."""
        length = self.end - self.start
        return 100.0 * (self.actual / length) if length else 100.0

    def as_json(self) -> dict[str, Any]:
        """Return a JSON-able mapping."""
        return {
            "start": format_moment(self.start),
            "end": format_moment(self.end),
            "intervals": self.intervals,
            "actual_percent": round(self.actual_percent, 3),
            "forecast_only_hours": self.forecast_only / timedelta(hours=1),
            "gaps": [{"start": format_moment(start), "end": format_moment(end)} for start, end in self.gaps],
            "unreadable_parts": list(self.unreadable_parts),
        }


def coverage_of(readings: Sequence[Reading], start: datetime, end: datetime, unreadable: Iterable[str]) -> Coverage:
    """Return the coverage of a span by readings that do not overlap one another, in time order."""
    actual = [reading for reading in readings if reading.kind is not IntensityKind.FORECAST]
    forecast = [reading for reading in readings if reading.kind is IntensityKind.FORECAST]
    return Coverage(
        start=start,
        end=end,
        intervals=len(readings),
        actual=_length(actual, start, end),
        forecast_only=_length(forecast, start, end),
        gaps=gaps_between(actual, start, end),
        unreadable_parts=tuple(sorted(unreadable)),
    )


def gaps_between(readings: Iterable[Reading], start: datetime, end: datetime) -> tuple[Span, ...]:
    """Return what readings in time order leave uncovered of a span."""
    gaps: list[Span] = []
    known_until = start
    for reading in readings:
        if reading.start > known_until:
            gaps.append((known_until, min(reading.start, end)))
        known_until = max(known_until, reading.end)
        if known_until >= end:
            break
    if known_until < end:
        gaps.append((known_until, end))
    return tuple(gaps)


def _length(readings: Iterable[Reading], start: datetime, end: datetime) -> timedelta:
    inside = (min(reading.end, end) - max(reading.start, start) for reading in readings)
    return sum((length for length in inside if length > timedelta(0)), timedelta(0))
