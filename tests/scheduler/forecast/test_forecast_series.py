"""Stored values on a regular grid: any resolution, any gaps, readings that do not fit the grid."""

import math
from datetime import datetime, timedelta

import numpy as np
from lowtide.grid.forecast.features import Series
from lowtide.records import EmissionFactorType, IntensityKind, Reading, SignalType

from tests.support.pasts import HOUR, MONDAY, series_of


def reading(start: datetime, length: timedelta, value: float) -> Reading:
    return Reading(
        zone="DE",
        start=start,
        end=start + length,
        carbon_intensity_gco2eq_per_kwh=value,
        source="test",
        kind=IntensityKind.MEASURED,
        signal_type=SignalType.AVERAGE,
        emission_factor_type=EmissionFactorType.LIFECYCLE,
    )


def same(found: Series, start: datetime, step_s: int, values: list[float]) -> None:
    assert (found.start_s, found.step_s) == (int(start.timestamp()), step_s)
    np.testing.assert_array_equal(found.values, np.array(values))


def test_readings_in_any_order_make_a_grid_and_a_missing_one_is_a_gap() -> None:
    readings = [reading(MONDAY + 3 * HOUR, HOUR, 4.0), reading(MONDAY, HOUR, 1.0)]
    same(Series.from_readings(readings), MONDAY, 3600, [1.0, math.nan, math.nan, 4.0])


def test_readings_of_two_lengths_are_laid_on_the_finer_grid() -> None:
    half = HOUR / 2
    readings = [
        reading(MONDAY, HOUR, 10.0),
        reading(MONDAY + HOUR, half, 20.0),
        reading(MONDAY + 1.5 * HOUR, half, 30.0),
    ]
    same(Series.from_readings(readings), MONDAY, 1800, [10.0, 10.0, 20.0, 30.0])


def test_readings_off_the_grid_are_averaged_by_time_and_scraps_are_gaps() -> None:
    readings = [
        reading(MONDAY + timedelta(minutes=20), HOUR, 10.0),
        reading(MONDAY + timedelta(minutes=80), HOUR, 40.0),
    ]
    # 40 minutes of the first hour; 20 at 10 and 40 at 40 of the second; 20 minutes of the third are less than half
    same(Series.from_readings(readings), MONDAY, 3600, [10.0, 30.0, math.nan])


def test_hours_are_means_of_their_steps_and_known_from_half_of_them_on() -> None:
    series = series_of([1, 2, 3, math.nan, 5, math.nan, math.nan, math.nan], MONDAY + HOUR / 2, HOUR / 4)
    first, hours = series.hourly()
    assert first == int(MONDAY.timestamp()) // 3600
    np.testing.assert_array_equal(hours, np.array([1.5, 4.0, math.nan]))
