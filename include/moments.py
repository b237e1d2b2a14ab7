"""Moments are aware UTC datetimes everywhere; this is the one place that reads and writes them as text."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    """Return the present moment, aware, in UTC."""
    return datetime.now(UTC)


def as_utc(moment: datetime) -> datetime:
    """Return the same moment in UTC.

    :raises ValueError: the moment is naive; guessing its zone would shift a deadline by hours.
    """
    if moment.tzinfo is None:
        raise ValueError(f"{moment.isoformat()} has no UTC offset")
    return moment.astimezone(UTC)


def format_moment(moment: datetime) -> str:
    """Write ISO-8601 in UTC, with ``Z`` and with microseconds only where there are any."""
    return as_utc(moment).isoformat().replace("+00:00", "Z")


def parse_moment(text: str) -> datetime:
    """Read ISO-8601 with an offset.

    :raises ValueError: not ISO-8601, or without an offset.
    """
    return as_utc(datetime.fromisoformat(text))
