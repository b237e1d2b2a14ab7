"""The zone's clock at every UTC hour, for years of hours at once."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np

from include.scheduler.forecast.arrays import DAY, HOUR_S, Integers

_EPOCH_WEEKDAY = 3
"""1970-01-01 was a Thursday."""


def local_hours(first_hour: int, count: int, timezone: ZoneInfo) -> tuple[Integers, Integers]:
    """Return the clock hour (0-23) and the weekday (0 = Monday) at the start of each UTC hour from one on.

    :param first_hour: hours since 1970.
    """
    hours = np.arange(first_hour, first_hour + count, dtype=np.int64)
    local_s = hours * HOUR_S + _offsets_s(hours, timezone)
    days = local_s // (DAY * HOUR_S)
    return local_s // HOUR_S % DAY, (days + _EPOCH_WEEKDAY) % 7


def _offsets_s(hours: Integers, timezone: ZoneInfo) -> Integers:
    """Return the offset from UTC at each hour: asked once a day, and every hour of the days on which it changes."""
    days = hours // DAY
    first = int(days[0])
    daily = np.array([_offset_s(day * DAY, timezone) for day in range(first, int(days[-1]) + 2)], dtype=np.int64)
    offsets = daily[days - first]
    for changed in np.flatnonzero(np.diff(daily)):
        for i in np.flatnonzero(days == first + changed):
            offsets[i] = _offset_s(int(hours[i]), timezone)
    return offsets


def _offset_s(hour: int, timezone: ZoneInfo) -> int:
    offset = datetime.fromtimestamp(hour * HOUR_S, UTC).astimezone(timezone).utcoffset()
    return 0 if offset is None else int(offset.total_seconds())
