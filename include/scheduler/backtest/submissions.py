"""When the jobs of a backtest are submitted: nightly by the clock on the wall, or once a day at a random full hour."""

import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from include.config.times import moment_of_clock, parse_clock
from include.errors import ConfigurationError

RANDOM = "random"


def submissions(start_s: float, end_s: float, timezone: ZoneInfo, submit: str, seed: int) -> list[float]:
    """Return one submission a day in ``[start_s, end_s)``, in UNIX seconds and time order.

    A random hour depends on the seed and the day only: neither the trace's length nor the jobs change it.

    :param submit: a clock time in ``timezone``, or ``random``.
    :raises ConfigurationError: anything else.
    """
    clock = _clock(submit)
    days = _days(start_s, end_s, timezone)
    moments = (moment_of_clock(day, clock or _random_hour(seed, day), timezone).timestamp() for day in days)
    return sorted({moment for moment in moments if start_s <= moment < end_s})


def _clock(submit: str) -> time | None:
    if submit == RANDOM:
        return None
    try:
        return parse_clock(submit)
    except ValueError as error:
        raise ConfigurationError(f"--submit {submit!r} is no time of day; {error}, or random") from None


def _random_hour(seed: int, day: date) -> time:
    return time(random.Random(f"{seed} {day.isoformat()}").randrange(24))  # noqa: S311 a sample of hours, no secret


def _days(start_s: float, end_s: float, timezone: ZoneInfo) -> Iterator[date]:
    day = datetime.fromtimestamp(start_s, UTC).astimezone(timezone).date()
    last = datetime.fromtimestamp(end_s, UTC).astimezone(timezone).date()
    while day <= last:
        yield day
        day += timedelta(days=1)
