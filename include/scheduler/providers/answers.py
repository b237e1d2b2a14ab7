"""Guards that parsers share: bytes to JSON, JSON to a number, readings without repeats."""

import json
import math
from collections.abc import Iterable
from typing import Any

from include.errors import InvalidAnswer
from include.records import Reading


def decode_json(body: bytes, provider: str) -> Any:
    """Return the JSON of a body.

    :raises InvalidAnswer: not JSON (an HTML page sent with status 200, say), or nested beyond reason.
    """
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        shown = body[:40].decode("utf-8", errors="replace")
        raise InvalidAnswer(f"{provider} answered with something that is not JSON, beginning {shown!r}") from None


def as_number(value: Any, provider: str, absurd_above: float) -> float:
    """Return an intensity in g/kWh.

    :raises InvalidAnswer: no number (a bool or a string is none), negative, non-finite or absurd; never read as 0.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidAnswer(f"{provider} answered with the intensity {str(value)[:60]!r}, which is not a number")
    if not 0 <= value <= absurd_above or not math.isfinite(value):
        raise InvalidAnswer(
            f"{provider} answered with {str(value)[:60]} g/kWh; an intensity lies from 0 to {absurd_above:g}"
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
