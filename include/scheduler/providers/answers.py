"""Guards that parsers share: bytes to JSON, JSON to a number, readings without repeats."""

import json
import math
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from include.errors import InvalidAnswer
from include.moments import format_moment, parse_moment
from include.records import Forecast, IntensityKind, Reading

STALE_FORECAST: Final = timedelta(hours=24)
"""A forecast issued longer ago is no forecast of today's weather."""
SHOWN: Final = 60
"""Characters of a strange value that an error shows."""


def decode_json(body: bytes, provider: str) -> Any:
    """Return the JSON of a body.

    :raises InvalidAnswer: not JSON (an HTML page sent with status 200, say), or nested beyond reason.
    """
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        shown = body[:40].decode("utf-8", errors="replace")
        raise InvalidAnswer(f"{provider} answered with something that is not JSON, beginning {shown!r}") from None


def as_number(value: Any, provider: str, absurd_above: float, unit: str = "g/kWh") -> float:
    """Return an intensity in the unit given.

    :raises InvalidAnswer: no number (a bool or a string is none), negative, non-finite or absurd; never read as 0.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidAnswer(f"{provider} answered with the intensity {str(value)[:60]!r}, which is not a number")
    if not 0 <= value <= absurd_above or not math.isfinite(value):
        raise InvalidAnswer(
            f"{provider} answered with {str(value)[:60]} {unit}; an intensity lies from 0 to {absurd_above:g}"
        )
    return float(value)


def without_repeats(readings: Iterable[Reading]) -> tuple[Reading, ...]:
    """Return the readings in time order, equal repeats kept once.

    :raises InvalidAnswer: two readings overlap and are not the same.
    """
    kept: list[Reading] = []
    for reading in sorted(readings, key=lambda r: (r.start, r.end)):
        if kept and reading == kept[-1]:
            continue
        if kept and reading.start < kept[-1].end:
            raise InvalidAnswer(f"{reading.source} answered with two different values for {reading.start.isoformat()}")
        kept.append(reading)
    return tuple(kept)


def as_list(value: Any, provider: str, what: str) -> list[Any]:
    """Return a list of an answer.

    :raises InvalidAnswer: it is none; an error text in the answer is shown.
    """
    if not isinstance(value, list):
        raise InvalidAnswer(f"{provider} answered without a list of {what}")
    return value


def as_mapping(value: Any, provider: str, what: str) -> Mapping[str, Any]:
    """Return a JSON object of an answer.

    :raises InvalidAnswer: it is none.
    """
    if not isinstance(value, dict):
        raise InvalidAnswer(f"{provider} answered with {what} that is {str(value)[:SHOWN]!r}, not an object")
    return value


def as_moment(value: Any, provider: str) -> datetime:
    """Return a moment of an answer, in UTC; fractions beyond microseconds are cut.

    :raises InvalidAnswer: no text, not ISO-8601, or without an offset.
    """
    try:
        return parse_moment(value)
    except (ValueError, TypeError, OverflowError):
        raise InvalidAnswer(
            f"{provider} answered with the moment {str(value)[:SHOWN]!r}, which is not ISO-8601 with an offset"
        ) from None


def refuse_wrong_zone(told: Any, asked: str, provider: str) -> None:
    """Check the zone that an answer names against the one that was asked for.

    :raises InvalidAnswer: they differ, or the answer names none.
    """
    if told is None:
        raise InvalidAnswer(f"{provider} answered without naming a zone, so it may be for another than {asked!r}")
    if told != asked:
        raise InvalidAnswer(f"{provider} answered for zone {str(told)[:SHOWN]!r}, but {asked!r} was asked for")


def checked(readings: Iterable[Reading], provider: str, zone: str) -> tuple[Reading, ...]:
    """Return the readings in time order without repeats; the rules of docs/providers.md that all parsers share.

    :raises InvalidAnswer: none at all, only zeros, or two that contradict.
    """
    kept = without_repeats(readings)
    if not kept:
        raise InvalidAnswer(f"{provider} answered without a single value for zone {zone}")
    if all(reading.carbon_intensity_gco2eq_per_kwh == 0 for reading in kept):
        raise InvalidAnswer(f"{provider} answered only zeros for zone {zone}; no grid is that clean")
    return kept


def as_forecast(readings: Iterable[Reading], issued_at: datetime, now: datetime) -> Forecast:
    """Return what of a checked series lies ahead; values that are no forecast (an ``actual``) stay out of it.

    :raises InvalidAnswer: nothing ahead, or issued too long ago or later than the next interval.
    """
    ahead = tuple(r for r in readings if r.end > now and r.kind is IntensityKind.FORECAST)
    if not ahead:
        raise InvalidAnswer(f"the forecast has nothing after {format_moment(now)}")
    source = ahead[0].source
    if now - issued_at > STALE_FORECAST:
        raise InvalidAnswer(f"{source} gave a forecast issued at {format_moment(issued_at)}, which is stale")
    if issued_at - now > timedelta(hours=1):
        raise InvalidAnswer(
            f"{source} gave a forecast issued at {format_moment(issued_at)}, which is dated in the future;"
            " check this machine's clock if it persists"
        )
    return Forecast(issued_at=issued_at, readings=ahead)
