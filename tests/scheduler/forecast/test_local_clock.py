"""The zone's clock for many hours at once says what the zone's time zone says for each of them."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from lowtide.grid.forecast.features import local_hours


@pytest.mark.parametrize(
    ("zone", "start"),
    [
        ("Europe/Berlin", datetime(2031, 3, 28, tzinfo=UTC)),  # clocks go forward on the 30th
        ("Europe/Berlin", datetime(2031, 10, 24, 5, tzinfo=UTC)),  # and back on the 26th
        ("Australia/Sydney", datetime(2031, 4, 4, tzinfo=UTC)),
        ("America/Santiago", datetime(2030, 9, 5, 11, tzinfo=UTC)),
        ("Asia/Kolkata", datetime(2031, 12, 30, tzinfo=UTC)),  # half hours, and a year's end
        ("Pacific/Apia", datetime(2011, 12, 28, tzinfo=UTC)),  # a whole day left out
        ("UTC", datetime(2032, 2, 27, tzinfo=UTC)),  # a leap day
    ],
)
def test_clock_hours_and_weekdays_are_those_of_the_time_zone(zone: str, start: datetime) -> None:
    timezone = ZoneInfo(zone)
    hours, weekdays = local_hours(int(start.timestamp()) // 3600, 120, timezone)
    local = [(start + i * timedelta(hours=1)).astimezone(timezone) for i in range(120)]
    np.testing.assert_array_equal(hours, [time.hour for time in local])
    np.testing.assert_array_equal(weekdays, [time.weekday() for time in local])
