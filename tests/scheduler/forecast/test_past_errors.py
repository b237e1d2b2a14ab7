"""An expected saving's interval, from the errors of earlier forecasts."""

from datetime import timedelta

import numpy as np
import pytest
from lowtide.grid.forecast.model import HistoryForecaster
from lowtide.grid.forecast.uncertainty import LeadErrors
from lowtide.grid.series import IntensityCurve

from tests.support.pasts import DAY, HOUR, MONDAY, forecaster_of, grid_forecaster
from tests.support.traces import grid_like

HOUR_S = 3600.0


def curve_of(values: list[float], start_s: float = 0.0) -> IntensityCurve:
    return IntensityCurve([start_s + HOUR_S * i for i in range(len(values) + 1)], values)


def errors_of(rows: list[list[float]]) -> LeadErrors:
    return LeadErrors(np.zeros(len(rows), dtype=np.int64), np.array(rows))


def test_the_quantiles_are_those_of_the_errors_laid_over_the_curve() -> None:
    """The block from now errs by 0, the later one by -50 to +50: savings of 100 x (1 - (50 + error) / 100)."""
    errors = errors_of([[0.0, 0.0, float(e), float(e)] for e in range(-50, 51)])
    interval = errors.saving_interval_percent(curve_of([100.0, 100.0, 50.0, 50.0]), 0.0, 2 * HOUR_S, 2 * HOUR_S)
    assert interval == pytest.approx((10.0, 90.0))


def test_what_errs_alike_in_both_blocks_leaves_a_difference_sure() -> None:
    errors = errors_of([[float(e)] * 4 for e in range(-50, 51)])
    low, high = errors.saving_interval_percent(curve_of([100.0] * 4), 0.0, 2 * HOUR_S, HOUR_S) or (1.0, 1.0)
    assert (low, high) == (0.0, 0.0)


def test_a_block_within_an_hour_takes_parts_of_hours() -> None:
    errors = errors_of([[0.0, 10.0, 30.0, 0.0]] * 50)
    interval = errors.saving_interval_percent(curve_of([100.0] * 4), 0.0, 1.5 * HOUR_S, HOUR_S)
    assert interval == pytest.approx((-20.0, -20.0))  # then: half of 10 and half of 30


def test_no_interval_where_the_errors_do_not_reach_or_are_few() -> None:
    few, many = errors_of([[0.0] * 4] * 39), errors_of([[0.0] * 4] * 40)
    curve = curve_of([100.0] * 10)
    assert few.saving_interval_percent(curve, 0.0, HOUR_S, HOUR_S) is None
    assert many.saving_interval_percent(curve, 0.0, HOUR_S, HOUR_S) is not None
    assert many.saving_interval_percent(curve, 0.0, 4 * HOUR_S, HOUR_S) is None
    assert many.saving_interval_percent(curve, 0.0, 12 * HOUR_S, HOUR_S) is None


def test_errors_of_another_time_of_the_day_do_not_count() -> None:
    errors = LeadErrors(np.repeat([0, 12], 50), np.repeat([[0.0, 0.0], [0.0, 40.0]], 50, axis=0))
    at_noon = curve_of([100.0, 100.0], 12 * HOUR_S)
    interval = errors.saving_interval_percent(at_noon, 12 * HOUR_S, 13 * HOUR_S, HOUR_S)
    assert interval == pytest.approx((-40.0, -40.0))


@pytest.fixture(scope="module")
def forecaster() -> HistoryForecaster:
    return grid_forecaster(330, seed=7)


def test_about_four_of_five_outcomes_lie_in_the_interval(forecaster: HistoryForecaster) -> None:
    """10 % to 90 %, over blocks of other lengths and leads, for forecasts that the errors were not taken from."""
    truth = np.array(grid_like(330, seed=7))
    inside = []
    for day in range(150, 325, 2):
        for hour, lead, hours in ((6, 5, 2), (14, 12, 4), (22, 20, 1)):
            i = 24 * day + hour
            now = MONDAY + i * HOUR
            forecast, errors = forecaster.forecast(now), forecaster.past_errors(now)
            assert forecast is not None
            assert errors is not None
            start_s = now.timestamp() + lead * HOUR_S
            interval = errors.saving_interval_percent(forecast.curve, now.timestamp(), start_s, hours * HOUR_S)
            assert interval is not None
            saving = 100.0 * (1.0 - truth[i + lead : i + lead + hours].mean() / truth[i : i + hours].mean())
            inside.append(interval[0] <= saving <= interval[1])
    assert 0.74 < np.mean(inside) < 0.86


def test_errors_are_found_once_a_day_and_need_weeks(forecaster: HistoryForecaster) -> None:
    now = MONDAY + 100 * DAY
    assert forecaster.past_errors(now) is forecaster.past_errors(now + timedelta(hours=23))
    assert forecaster_of(grid_like(14)).past_errors(MONDAY + 14 * DAY) is None
