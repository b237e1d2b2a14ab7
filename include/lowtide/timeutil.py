"""UTC timestamps, durations ("90s", "1h30m") and deadlines ("06:00", "12h", a timestamp): read and written here only."""

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, PlainSerializer


def utc_now() -> datetime:
    """Return the present time, aware, in UTC."""
    return datetime.now(UTC)


def as_utc(time: datetime) -> datetime:
    """Return the same time in UTC.

    :raises ValueError: the time is naive; guessing its zone would shift a deadline by hours.
    """
    if time.tzinfo is None:
        raise ValueError(f"{time.isoformat()} has no UTC offset")
    return time.astimezone(UTC)


def format_time(time: datetime) -> str:
    """Write ISO-8601 in UTC, with ``Z`` and with microseconds only where there are any."""
    return as_utc(time).isoformat().replace("+00:00", "Z")


def parse_time(text: str) -> datetime:
    """Read ISO-8601 with an offset.

    :raises ValueError: not ISO-8601, or without an offset.
    """
    return as_utc(datetime.fromisoformat(text))


_UNIT_SECONDS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_LONGEST_S = 36_525 * 86_400  # beyond it, times leave the calendar
_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)d)?(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?")
_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")


def parse_duration(text: object) -> timedelta:
    """Read ``2h``, ``90m``, ``1h30m``, ``45s`` or ``2d``.

    :raises ValueError: anything else, zero, or more than a hundred years.
    """
    if isinstance(text, timedelta):
        return text
    match = _DURATION.fullmatch(text.strip()) if isinstance(text, str) else None
    seconds = (
        sum(float(n) * _UNIT_SECONDS[u] for n, u in zip(match.groups(), "dhms", strict=True) if n) if match else 0.0
    )
    if not 0 < seconds <= _LONGEST_S:
        raise ValueError("write a duration like 45s, 30m, 2h or 1h30m")
    return timedelta(seconds=seconds)


def format_duration(duration: timedelta) -> str:
    """Write ``1h30m``; whole seconds, at least ``0s``."""
    seconds = round(duration.total_seconds())
    parts = []
    for unit, size in _UNIT_SECONDS.items():
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def _exact_duration(duration: timedelta) -> str:
    # unlike format_duration it keeps fractions: 1.5s and 2s must not have the same checksum
    if duration.microseconds == 0:
        return format_duration(duration)
    return f"{duration.total_seconds():.6f}".rstrip("0") + "s"


Duration = Annotated[timedelta, BeforeValidator(parse_duration), PlainSerializer(_exact_duration, return_type=str)]


def check_deadline(text: object) -> str:
    """Check that a deadline can be read; it becomes a time only at submission, with ``resolve_deadline``.

    :raises ValueError: neither a clock time, nor a duration, nor an aware timestamp.
    """
    if isinstance(text, datetime):  # YAML reads an unquoted timestamp by itself
        text = text.isoformat()
    if isinstance(text, int) and not isinstance(text, bool) and text >= 0:
        # YAML 1.1 reads an unquoted 22:30 as the base-60 number 1350; 06:00 stays text
        written = f"{text // 60:02d}:{text % 60:02d}"
        if text >= 24 * 60:
            written = written if text < 60 * 60 else f"{text // 3600}:{text // 60 % 60:02d}:{text % 60:02d}"
            raise ValueError(
                f"YAML reads an unquoted {written} as this number; in quotes, write a clock time like '06:00' (at most"
                " '23:59') or a time after submission like '25h'"
            )
        text = written
    try:
        resolve_deadline(str(text), utc_now(), ZoneInfo("UTC"))
    except ValueError:
        raise ValueError(
            "write a clock time like '06:00', a time after submission like '12h', or a timestamp with an offset"
            " like '2026-03-01T06:00+01:00'"
        ) from None
    return str(text)


Deadline = Annotated[str, BeforeValidator(check_deadline)]


def resolve_deadline(text: str, submitted_at: datetime, timezone: ZoneInfo) -> datetime:
    """Return the aware UTC time that a deadline means for a submission.

    A clock time is its next occurrence in the zone's time zone, strictly after submission. On the day the clocks go
    forward a time that does not exist is moved forward by the gap; on the day they go back the first of the two is taken.
    """
    submitted_at = as_utc(submitted_at)
    clock = _CLOCK.fullmatch(text)
    if clock:
        return _next_occurrence(time(int(clock[1]), int(clock[2])), submitted_at, timezone)
    try:
        return submitted_at + parse_duration(text)
    except ValueError:
        return as_utc(datetime.fromisoformat(text))


def parse_clock(text: str) -> time:
    """Read a clock time like ``22:00``.

    :raises ValueError: anything else.
    """
    clock = _CLOCK.fullmatch(text.strip())
    if clock is None:
        raise ValueError("write a clock time like 22:00")
    return time(int(clock[1]), int(clock[2]))


def time_of_clock(day: date, clock: time, timezone: ZoneInfo) -> datetime:
    """Return the aware UTC time of a clock time on a day, by the rules of ``resolve_deadline`` when the clocks change."""
    # fold=0: the first of two equal clock times; a time in a gap is read with the offset before it, that is later
    return datetime.combine(day, clock, tzinfo=timezone).astimezone(UTC)


def _next_occurrence(clock: time, after: datetime, timezone: ZoneInfo) -> datetime:
    day = after.astimezone(timezone).date()
    while True:
        found = time_of_clock(day, clock, timezone)
        if found > after:
            return found
        day += timedelta(days=1)
