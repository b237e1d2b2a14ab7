"""The typical hours: local clock, both changes of the clocks, attribution, country means."""

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from lowtide.config.zones import find_zone, zone_table
from lowtide.grid.providers import offline as profile_module
from lowtide.grid.providers.offline import country_mean_reading, profile_readings, profiles
from lowtide.records import EmissionFactorType, IntensityKind

DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("zone", "date", "hours"),
    [
        ("GB", (2026, 3, 29), 23),
        ("GB", (2026, 10, 25), 25),
        ("GB", (2026, 6, 1), 24),
        ("US-CAL-CISO", (2026, 3, 8), 23),
        ("US-CAL-CISO", (2026, 11, 1), 25),
        ("AU-NSW", (2026, 10, 4), 23),
        ("AU-NSW", (2026, 4, 5), 25),
        ("ZA", (2026, 3, 29), 24),
    ],
)
def test_a_local_day_has_as_many_hours_as_the_clock_says(zone: str, date: tuple[int, int, int], hours: int) -> None:
    place = find_zone(zone)
    start = datetime(*date, tzinfo=place.timezone).astimezone(UTC)
    end = (datetime(*date, tzinfo=place.timezone) + DAY).astimezone(UTC)
    readings = profile_readings(place, start, end)
    assert len(readings) == hours
    assert (readings[0].start, readings[-1].end) == (start, end)
    assert all(a.end == b.start for a, b in pairwise(readings))


def test_each_hour_is_chosen_by_the_zone_s_clock_month_and_kind_of_day() -> None:
    gb = profiles()["GB"]
    summer = profile_readings(
        find_zone("GB"), datetime(2026, 7, 1, 11, tzinfo=UTC), datetime(2026, 7, 1, 12, tzinfo=UTC)
    )
    sunday = profile_readings(find_zone("GB"), datetime(2026, 1, 4, 0, tzinfo=UTC), datetime(2026, 1, 4, 1, tzinfo=UTC))
    assert summer[0].carbon_intensity_gco2eq_per_kwh == pytest.approx(187.5 * gb.weekday[6][12])
    assert sunday[0].carbon_intensity_gco2eq_per_kwh == pytest.approx(187.5 * gb.weekend[0][0])
    assert (summer[0].kind, summer[0].source) == (IntensityKind.MODELLED, "profile:2023")
    assert summer[0].emission_factor_type is EmissionFactorType.LIFECYCLE


def test_the_mean_over_a_year_is_the_profile_s_mean() -> None:
    year = profile_readings(
        find_zone("US-CAL-CISO"), datetime(2023, 1, 1, 8, tzinfo=UTC), datetime(2024, 1, 1, 8, tzinfo=UTC)
    )
    mean = sum(hour.carbon_intensity_gco2eq_per_kwh for hour in year) / len(year)
    assert len(year) == 8760
    assert mean == pytest.approx(260.7, rel=0.01)  # shrinkage moves single cells, not the whole


def test_a_zone_without_a_profile_has_no_hours_but_a_country_mean() -> None:
    france, start = find_zone("FR"), datetime(2026, 1, 1, tzinfo=UTC)
    assert profile_readings(france, start, start + DAY) == ()
    mean = country_mean_reading(france, start, start + DAY)
    assert (mean.carbon_intensity_gco2eq_per_kwh, mean.source, mean.kind) == (
        56.0,
        "country_mean",
        IntensityKind.MODELLED,
    )


def test_the_shipped_figures_are_whole_and_name_their_origin() -> None:
    data = json.loads(Path(profile_module.__file__).with_name("profiles.json").read_text(encoding="utf-8"))
    assert "Electricity Maps" in data["attribution"]
    assert "ODbL" in data["attribution"]
    assert set(profiles()) <= set(zone_table())
    assert len(profiles()) == 9
    for profile in profiles().values():
        for curves in (profile.weekday, profile.weekend):
            assert [len(month) for month in curves] == [24] * 12
            assert all(0 < cell < 4 for month in curves for cell in month)
