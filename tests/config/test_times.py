"""Durations and deadlines: what people write, what YAML makes of it, and what clocks do twice a year."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lowtide.config.loader import load_config
from lowtide.timeutil import Duration, format_duration, parse_duration, resolve_deadline
from pydantic import TypeAdapter

from tests.support.configs import refusal, write_config

BERLIN = ZoneInfo("Europe/Berlin")
LONDON = ZoneInfo("Europe/London")


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc,arg-type]


@given(st.timedeltas(timedelta(seconds=1), timedelta(days=36_000)))
def test_a_duration_of_whole_seconds_survives_being_written(duration: timedelta) -> None:
    whole = timedelta(seconds=round(duration.total_seconds()))
    assert parse_duration(format_duration(whole)) == whole


@given(st.timedeltas(timedelta(microseconds=1), timedelta(days=400)))
def test_a_configured_duration_survives_json_to_the_microsecond(duration: timedelta) -> None:
    adapter = TypeAdapter(Duration)
    assert adapter.validate_python(adapter.dump_python(duration, mode="json")) == duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("45s", 45), ("30m", 1800), ("2h", 7200), ("1h30m", 5400), ("2d", 172_800), ("1.5h", 5400), (" 5m ", 300)],
)
def test_durations_are_read_as_people_write_them(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", "0s", "-5m", "5", "5 m", "m5", "30m1h", "1h 30m", "1e3s", 5, None, True, "inf", "nans"]
)
def test_what_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="write a duration like"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("clock", "submitted", "zone", "expected"),
    [
        ("06:00", utc(2026, 1, 10, 20), LONDON, utc(2026, 1, 11, 6)),
        ("06:00", utc(2026, 1, 10, 5, 59), LONDON, utc(2026, 1, 10, 6)),
        ("06:00", utc(2026, 1, 10, 6), LONDON, utc(2026, 1, 11, 6)),  # strictly after submission
        ("6:00", utc(2026, 7, 10, 20), BERLIN, utc(2026, 7, 11, 4)),
        # clocks go forward on 29 March: 02:00 to 03:00 in Berlin; the night has 23 hours
        ("06:00", utc(2026, 3, 28, 21), BERLIN, utc(2026, 3, 29, 4)),
        ("02:30", utc(2026, 3, 28, 21), BERLIN, utc(2026, 3, 29, 1, 30)),  # does not exist: 03:30 summer time
        # clocks go back on 25 October: 03:00 to 02:00 in Berlin; the night has 25 hours
        ("06:00", utc(2026, 10, 24, 20), BERLIN, utc(2026, 10, 25, 5)),
        ("02:30", utc(2026, 10, 24, 20), BERLIN, utc(2026, 10, 25, 0, 30)),  # there twice: the first
        ("02:30", utc(2026, 10, 25, 0, 45), BERLIN, utc(2026, 10, 26, 1, 30)),  # the first is gone: the next day
        ("06:00", utc(2026, 12, 31, 22), LONDON, utc(2027, 1, 1, 6)),
        ("06:00", utc(2028, 2, 28, 22), LONDON, utc(2028, 2, 29, 6)),
        ("06:00", utc(2027, 2, 28, 22), LONDON, utc(2027, 3, 1, 6)),
        # the zone's day, not the UTC day: in Auckland it is already tomorrow
        ("06:00", utc(2026, 6, 1, 13), ZoneInfo("Pacific/Auckland"), utc(2026, 6, 1, 18)),
        ("23:30", utc(2026, 6, 1, 4), ZoneInfo("America/Los_Angeles"), utc(2026, 6, 1, 6, 30)),
        # midnight itself does not exist in Beirut on 29 March 2026
        ("00:30", utc(2026, 3, 28, 12), ZoneInfo("Asia/Beirut"), utc(2026, 3, 28, 22, 30)),
    ],
)
def test_a_clock_time_is_its_next_occurrence_in_the_zone(
    clock: str, submitted: datetime, zone: ZoneInfo, expected: datetime
) -> None:
    assert resolve_deadline(clock, submitted, zone) == expected


@given(
    st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    st.integers(0, 23),
    st.integers(0, 59),
    st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Asia/Beirut"]),
)
def test_a_clock_time_lies_after_submission_and_within_a_day_and_a_clock_change(
    submitted: datetime, hour: int, minute: int, zone: str
) -> None:
    deadline = resolve_deadline(f"{hour:02d}:{minute:02d}", submitted, ZoneInfo(zone))
    # a time that is there twice may be missed in its first half: then it is tomorrow's
    assert timedelta(0) < deadline - submitted <= timedelta(hours=26)
    assert deadline.tzinfo is UTC


def test_a_duration_counts_from_submission_and_a_timestamp_is_kept() -> None:
    submitted = datetime(2026, 3, 28, 22, tzinfo=timezone(timedelta(hours=1)))
    assert resolve_deadline("12h", submitted, BERLIN) == utc(2026, 3, 29, 9)  # real hours across the clock change
    assert resolve_deadline("2026-03-29T06:00+02:00", submitted, BERLIN) == utc(2026, 3, 29, 4)
    assert resolve_deadline("2026-03-29T06:00Z", submitted, BERLIN) == utc(2026, 3, 29, 6)


@pytest.mark.parametrize("text", ["06:00", "12h"])
def test_a_naive_submission_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="has no UTC offset"):
        resolve_deadline(text, datetime(2026, 3, 1), BERLIN)  # noqa: DTZ001 naive is the point


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("06:00", "06:00"),
        ("22:30", "22:30"),  # YAML 1.1 makes 1350 of it
        ("9:05", "09:05"),
        ("12h", "12h"),
        ("2026-03-01T06:00:00+01:00", "2026-03-01T06:00:00+01:00"),
        ("2026-03-01 06:00:00Z", "2026-03-01T06:00:00+00:00"),
    ],
)
def test_deadlines_need_no_quotes_in_yaml(tmp_path: Path, written: str, read: str) -> None:
    config = load_config(write_config(tmp_path, ('"12h"', written)))
    assert config.values.scheduler.deadline == read


@pytest.mark.parametrize(("written", "shown"), [("25:00", "25:00"), ("22:30:00", "22:30:00")])
def test_an_unquoted_time_that_yaml_reads_as_a_number_is_shown_as_it_was_written(
    tmp_path: Path, written: str, shown: str
) -> None:
    sentence = refusal(write_config(tmp_path, ('"12h"', written)))
    assert f"YAML reads an unquoted {shown} as this number; in quotes, write a clock time" in sentence


@pytest.mark.parametrize("written", ["1440", "-1", "true", "1.5", "22:30:00", "[]"])
def test_numbers_that_are_no_clock_time_are_refused(tmp_path: Path, written: str) -> None:
    assert "write a clock time like '06:00'" in refusal(write_config(tmp_path, ('"12h"', written)))
