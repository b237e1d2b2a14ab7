"""The regression against mathematics, and the forecast against simpler ones on a grid-like series."""

import math
from datetime import timedelta

import numpy as np
import pytest
from lowtide.grid.forecast.features import Anchor, HourlyPast
from lowtide.grid.forecast.model import RidgeFit, block_sums, last_monday, seasonal, solve_ridge

from tests.support.pasts import BERLIN, HOUR, MONDAY, forecaster_of, series_of
from tests.support.traces import grid_like

ANCHOR = Anchor(days=7, lags=24)


@pytest.fixture(scope="module")
def past() -> HourlyPast:
    return HourlyPast(series_of(grid_like(120)), BERLIN)


def test_sums_gathered_by_blocks_are_the_sums_of_all_rows(past: HourlyPast) -> None:
    index = 15 * 7 * 24
    gathered = RidgeFit(past, ANCHOR).sums(index)
    rows = np.arange(7 * 24, index - 72 + 1)
    at_once = seasonal(block_sums(past, ANCHOR, rows), past.season[index])
    assert gathered is not None
    np.testing.assert_allclose(gathered, at_once, rtol=1e-9, atol=1e-6)


def test_days_of_the_same_season_weigh_one_and_half_a_year_away_less_than_a_third(past: HourlyPast) -> None:
    rows = np.arange(500, 500 + 24)
    plain = block_sums(past, ANCHOR, rows)
    near, far = (seasonal(plain, wave) for wave in (past.season[512], -past.season[512]))
    np.testing.assert_allclose(near, plain[:, 0], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(far, 0.3 * plain[:, 0], rtol=1e-2, atol=1e-2)


def test_the_solution_is_that_of_ridge_regression_where_all_hours_obey_one_rule(past: HourlyPast) -> None:
    """With the same sums for each clock hour, mixing hours only multiplies them: the closed form of one ridge."""
    rows = np.arange(7 * 24, 60 * 24)
    one = block_sums(past, ANCHOR, rows)[:, 0].sum(axis=0)
    count = len(one)
    variance = 1e4
    found = solve_ridge(ANCHOR, np.stack([one] * 24), variance, season=True)
    apart = np.minimum(np.arange(24), 24 - np.arange(24))
    times = (0.05 + 0.95 * np.exp(-0.5 * (apart / 1.5) ** 2)).sum()
    penalty = np.array([20.0 * variance] * ANCHOR.intensity_columns + [20.0] * 11 + [1e-3])
    expected = np.linalg.solve(times * one[:, :count] + np.diag(penalty), times * one[:, count:])
    np.testing.assert_allclose(found.weights[7], expected, rtol=1e-6, atol=1e-9)


def test_fits_are_made_on_mondays(past: HourlyPast) -> None:
    assert [last_monday(past, index) for index in (0, 167, 168, 400)] == [0, 0, 168, 336]


def test_the_persistence_forecast_gives_way_as_history_grows() -> None:
    forecaster = forecaster_of(grid_like(120))
    found = [forecaster.ensemble(24 * days) for days in (28, 35, 42, 98)]
    shares = [(len(ensemble.ridges), round(ensemble.persistence_share, 2)) for ensemble in found]
    assert shares == [(0, 1.0), (1, 0.86), (2, 0.71), (3, 0.31)]


def test_a_series_that_remembers_is_forecast_better_than_by_the_usual_day() -> None:
    """AR(1) with a memory of 12 hours on a daily shape: the best possible error of each lead is known."""
    memory, hours = math.exp(-1 / 12), 300 * 24
    noise = np.random.default_rng(3).normal(0.0, 20.0, hours)
    level = np.zeros(hours)
    for i in range(1, hours):
        level[i] = memory * level[i - 1] + noise[i]
    usual = 300.0 + 80.0 * np.sin(np.arange(hours) * 2 * np.pi / 24)
    values = usual + level
    assert values.min() > 0
    forecaster = forecaster_of(values.tolist())
    errors = []
    for hour in range(250 * 24, 290 * 24, 7):
        forecast = forecaster.forecast(MONDAY + hour * HOUR)
        assert forecast is not None
        errors.append(np.array(forecast.curve.values[:48]) - values[hour : hour + 48])
    rmse = np.sqrt((np.stack(errors) ** 2).mean(axis=0))
    best = 20.0 * np.sqrt((1 - memory ** (2 * np.arange(1, 49))) / (1 - memory**2))
    assert (rmse[[0, 2, 5, 11, 23]] < 1.2 * best[[0, 2, 5, 11, 23]]).all()


def test_waiting_for_the_forecast_hour_beats_the_usual_hour() -> None:
    """The best of the next 12 hours, on a grid that the wind moves: four months of history against the usual day."""
    values = grid_like(160, zone="US-TEX-ERCO")
    forecaster, truth = forecaster_of(values), np.array(values)
    saved = {"forecast": 0.0, "usual": 0.0}
    for i in range(120 * 24, 157 * 24, 3):
        forecast = forecaster.forecast(MONDAY + timedelta(hours=i))
        assert forecast is not None
        usual = truth[i - 28 * 24 : i].reshape(28, 24).mean(axis=0)
        saved["forecast"] += truth[i] - truth[i + int(np.argmin(forecast.curve.values[:12]))]
        saved["usual"] += truth[i] - truth[i + int(np.argmin(usual[:12]))]
    assert saved["forecast"] > 1.2 * saved["usual"] > 0
