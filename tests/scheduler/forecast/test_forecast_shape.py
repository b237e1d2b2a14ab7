"""What a forecast says: of days that repeat, over changes of the clock, across gaps, within hours, of odd series."""

import math
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from lowtide.grid.series import Prediction

from tests.support.pasts import BERLIN, DAY, HOUR, MONDAY, forecaster_of
from tests.support.traces import grid_like

ROUND_THE_CLOCK = [100.0 + 10.0 * hour for hour in range(24)]


def by_clock(start: datetime, hours: int, timezone: ZoneInfo = BERLIN) -> list[float]:
    return [ROUND_THE_CLOCK[(start + i * HOUR).astimezone(timezone).hour] for i in range(hours)]


def said(forecast: Prediction | None) -> Prediction:
    assert forecast is not None
    return forecast


@pytest.mark.parametrize(
    ("timezone", "now"),
    [
        (BERLIN, datetime(2031, 3, 29, 12, tzinfo=UTC)),
        (BERLIN, datetime(2031, 10, 25, 20, tzinfo=UTC)),
        (ZoneInfo("Australia/Sydney"), datetime(2031, 4, 5, 3, tzinfo=UTC)),
        (ZoneInfo("America/Santiago"), datetime(2031, 4, 5, 12, tzinfo=UTC)),
        (BERLIN, datetime(2031, 12, 31, 22, tzinfo=UTC)),
        (BERLIN, datetime(2032, 2, 28, 22, tzinfo=UTC)),
    ],
)
def test_a_day_that_repeats_by_the_clock_is_forecast_through_a_change_of_the_clock(
    timezone: ZoneInfo, now: datetime
) -> None:
    start = now.replace(hour=0) - 70 * DAY
    hours = int((now - start) / HOUR)
    forecast = said(forecaster_of(by_clock(start, hours, timezone), start, timezone=timezone).forecast(now))
    assert forecast.source.endswith(" days, ridge)")
    np.testing.assert_allclose(forecast.curve.values, by_clock(now, 168, timezone), atol=0.5)


def test_a_few_days_give_the_usual_day_at_the_last_hours_level() -> None:
    """72 hours of one day, the last hour 50 g/kWh above its mean: closed form."""
    values = by_clock(MONDAY, 72)
    last = values[-1]
    values[-1] += 50.0
    forecast = said(forecaster_of(values).forecast(MONDAY + 72 * HOUR))
    usual = by_clock(MONDAY + 72 * HOUR, 168)
    usual_last = last + 50.0 / 3.0  # its own hour's mean has a third of it
    usual = [usual_last if value == last else value for value in usual]
    above = (values[-1] - usual_last) * np.exp(-(np.arange(168) + 1) / 24)
    np.testing.assert_allclose(forecast.curve.values, np.array(usual) + above, rtol=1e-9)
    assert forecast.source == "the history (3 days, mean of the same hour)"


@pytest.mark.parametrize("value", [0.0, 250.0])
@pytest.mark.parametrize("days", [4, 50])
def test_a_constant_stays_what_it_is(value: float, days: int) -> None:
    forecast = said(forecaster_of([value] * (days * 24)).forecast(MONDAY + days * DAY))
    np.testing.assert_allclose(forecast.curve.values, value, atol=1e-9)


def test_hours_without_carbon_never_become_negative() -> None:
    values = [max(0.0, value - 450.0) for value in grid_like(100)]
    assert sum(value == 0.0 for value in values) > 200
    forecaster = forecaster_of(values)
    for day in (10, 50, 99):
        assert min(said(forecaster.forecast(MONDAY + day * DAY)).curve.values) >= 0.0


def test_the_first_value_is_of_the_interval_that_holds_the_time() -> None:
    forecaster = forecaster_of(grid_like(20, step=HOUR / 2), step=HOUR / 2)
    full = said(forecaster.forecast(MONDAY + 10 * DAY))
    late = said(forecaster.forecast(MONDAY + 10 * DAY + timedelta(minutes=44)))
    assert (full.curve.step_s, len(full.curve.values)) == (1800, 336)
    assert late.curve.start_s == full.curve.start_s + 1800
    assert late.issued_at == full.issued_at == MONDAY + 10 * DAY
    assert late.curve.values == full.curve.values[1:]


@pytest.mark.parametrize("minutes", [5, 15, 30])
def test_a_finer_series_keeps_its_hours_and_their_inner_shape(minutes: int) -> None:
    """Hours of a repeating day that rise within themselves: both come back."""
    steps = 60 // minutes
    rise = np.arange(steps) - (steps - 1) / 2
    values = (np.array(by_clock(MONDAY, 20 * 24))[:, None] + rise).ravel()
    step = timedelta(minutes=minutes)
    forecast = said(forecaster_of(values.tolist(), step=step).forecast(MONDAY + 20 * DAY))
    expected = (np.array(by_clock(MONDAY + 20 * DAY, 168))[:, None] + rise).ravel()
    np.testing.assert_allclose(forecast.curve.values, expected, atol=1e-6)


def test_a_finer_series_is_forecast_as_its_hours_are() -> None:
    values = grid_like(60, step=HOUR / 4)
    hours = np.array(values).reshape(-1, 4).mean(axis=1)
    fine = said(forecaster_of(values, step=HOUR / 4).forecast(MONDAY + 60 * DAY))
    coarse = said(forecaster_of(hours.tolist()).forecast(MONDAY + 60 * DAY))
    np.testing.assert_allclose(np.array(fine.curve.values).reshape(-1, 4).mean(axis=1), coarse.curve.values, rtol=1e-6)


def mean_error(values: list[float], truth: list[float], hours: range) -> float:
    forecaster = forecaster_of(values)
    errors = [
        np.abs(np.array(said(forecaster.forecast(MONDAY + h * HOUR)).curve.values[:24]) - truth[h : h + 24]).mean()
        for h in hours
    ]
    return float(np.mean(errors))


def test_gaps_of_hours_and_weeks_cost_little() -> None:
    truth = grid_like(150)
    holed = list(truth)
    for first, length in ((300, 1), (500, 9), (900, 400), (2000, 30), (2700, 2)):
        holed[first : first + length] = [math.nan] * length
    hours = range(120 * 24, 148 * 24, 5)
    assert mean_error(holed, truth, hours) < 1.05 * mean_error(truth, truth, hours)


def test_readings_that_come_three_hours_late_cost_little() -> None:
    truth = grid_like(100)
    late: list[float] = []
    in_time: list[float] = []
    for hour in range(70 * 24, 98 * 24, 37):
        now, true = MONDAY + hour * HOUR, np.array(truth[hour : hour + 24])
        for errors, known in ((in_time, hour), (late, hour - 3)):
            errors.append(
                np.abs(np.array(said(forecaster_of(truth[:known]).forecast(now)).curve.values[:24]) - true).mean()
            )
    assert np.mean(in_time) < np.mean(late) < 1.15 * np.mean(in_time)
