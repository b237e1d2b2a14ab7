"""When jobs are submitted: one a day by the clock on the wall, also on the days when the clocks change."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lowtide.errors import ConfigurationError
from lowtide.scheduler.backtest.simulate import submissions
from lowtide.timeutil import resolve_deadline

YEAR = (datetime(2023, 1, 1, tzinfo=UTC).timestamp(), datetime(2024, 1, 1, tzinfo=UTC).timestamp())
ZONES = st.sampled_from(
    ["UTC", "Europe/London", "America/Santiago", "Australia/Sydney", "Asia/Kolkata", "Asia/Kathmandu"]
)
CLOCKS = st.builds("{:02d}:{:02d}".format, st.integers(0, 23), st.sampled_from([0, 30, 59]))


def local(times: list[float], timezone: str) -> list[datetime]:
    return [datetime.fromtimestamp(time, UTC).astimezone(ZoneInfo(timezone)) for time in times]


@given(ZONES, CLOCKS)
def test_a_nightly_job_comes_at_the_times_that_a_deadline_of_that_clock_time_would(timezone: str, clock: str) -> None:
    found = submissions(*YEAR, ZoneInfo(timezone), clock, 0)
    time, expected = datetime.fromtimestamp(YEAR[0] - 1, UTC), []
    while (time := resolve_deadline(clock, time, ZoneInfo(timezone))).timestamp() < YEAR[1]:
        expected.append(time.timestamp())
    assert found == expected
    assert 364 <= len(found) <= 365


def test_the_clock_time_is_kept_over_the_change_of_clocks() -> None:
    found = local(submissions(*YEAR, ZoneInfo("Europe/London"), "22:00", 0), "Europe/London")
    assert {(time.hour, time.minute) for time in found} == {(22, 0)}
    assert len({time.utcoffset() for time in found}) == 2


@given(ZONES, st.integers(0, 2**40))
def test_a_random_job_comes_once_a_day_at_a_full_hour_of_the_wall(timezone: str, seed: int) -> None:
    found = local(submissions(*YEAR, ZoneInfo(timezone), "random", seed), timezone)
    assert len({time.date() for time in found}) == len(found) >= 364
    assert {time.minute for time in found} == {0}
    assert len({time.hour for time in found}) == 24


@given(st.integers(0, 2**40), st.integers(1, 300))
def test_random_hours_depend_on_seed_and_day_only_not_on_the_trace(seed: int, days: int) -> None:
    timezone = ZoneInfo("Europe/Berlin")
    whole = submissions(*YEAR, timezone, "random", seed)
    cut = YEAR[0] + days * 86_400
    assert submissions(YEAR[0], cut, timezone, "random", seed) == [time for time in whole if time < cut]
    assert submissions(cut, YEAR[1], timezone, "random", seed) == [time for time in whole if time >= cut]
    assert whole != submissions(*YEAR, timezone, "random", seed + 1)


@pytest.mark.parametrize("submit", ["25:00", "noon", "22", "12h", ""])
def test_what_is_no_clock_time_is_refused(submit: str) -> None:
    with pytest.raises(ConfigurationError, match="--submit"):
        submissions(*YEAR, ZoneInfo("UTC"), submit, 0)


def test_a_night_outside_the_trace_has_no_job() -> None:
    start = datetime(2023, 5, 1, 22, tzinfo=UTC)
    found = submissions(start.timestamp(), (start + timedelta(days=2)).timestamp(), ZoneInfo("UTC"), "22:00", 0)
    assert local(found, "UTC") == [start, start + timedelta(days=1)]
