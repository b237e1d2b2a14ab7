"""An outlook gets one prediction: the provider's forecast as far as it goes, then the history's; either may be missing."""

from datetime import timedelta

import pytest
from lowtide.config.zones import find_zone
from lowtide.grid.forecast.uncertainty import DAYS, stored_forecast_errors
from lowtide.grid.outlook import LONGEST_PAST, DataNeeds, ForecastCombiner, HistoryPredictor, Outlook, StoredPast
from lowtide.records import Forecast, IntensityKind

from tests.support.grid import HOUR, T0, reading
from tests.support.history import store
from tests.support.traces import grid_like

ALL = DataNeeds(forecast=True, prediction=True, trailing=True)
LONDON = find_zone("GB").timezone


def past_readings(days=60, end=T0):
    start = end - timedelta(days=days)
    values = grid_like(days, start=start, zone="GB")
    return tuple(reading(value, start + i * HOUR) for i, value in enumerate(values))


@pytest.fixture(scope="module")
def foresight():
    return HistoryPredictor(lambda now: past_readings(), LONDON)


def provider_says(*values, start=T0):
    readings = tuple(reading(value, start + i * HOUR, kind=IntensityKind.FORECAST) for i, value in enumerate(values, 1))
    return Outlook(reading=reading(150.0), forecast=Forecast(issued_at=T0, readings=readings))


def test_the_provider_comes_first_and_the_history_continues(foresight):
    told = ForecastCombiner(foresight).combined(provider_says(140.0, 130.0), T0, ALL, "neso").prediction
    assert told.source.startswith("neso, then the history (60 days")
    assert [told.curve.value_at((T0 + i * HOUR).timestamp()) for i in range(3)] == [150.0, 140.0, 130.0]
    assert told.curve.end_s > (T0 + timedelta(hours=71)).timestamp()
    assert told.issued_at == T0


def test_without_a_forecast_the_history_s_own_is_taken(foresight):
    told = ForecastCombiner(foresight).combined(Outlook(reading=reading(150.0)), T0, ALL, "neso").prediction
    assert told.source.startswith("the history (60 days")
    assert told.past_errors is not None


def test_without_a_history_the_provider_s_is_taken():
    told = ForecastCombiner(None).combined(provider_says(140.0), T0, ALL, "neso").prediction
    assert told.source == "neso"
    assert told.curve.values == (150.0, 140.0)


def test_a_forecast_that_does_not_hold_now_gives_way_to_the_history(foresight):
    tomorrow = provider_says(140.0, start=T0 + timedelta(hours=20))
    told = ForecastCombiner(foresight).combined(tomorrow, T0, ALL, "neso").prediction
    assert told.source.startswith("the history")


def test_only_what_is_wanted_is_made(foresight):
    nothing = ForecastCombiner(foresight).combined(provider_says(140.0), T0, DataNeeds(), "neso")
    assert (nothing.prediction, nothing.trailing) == (None, None)
    days_before = ForecastCombiner(foresight).combined(provider_says(140.0), T0, DataNeeds(trailing=True), "neso")
    assert days_before.prediction is None
    assert days_before.trailing(30.0, timedelta(days=7)) > 0


def test_what_has_not_ended_is_not_seen():
    """Values of the future in the same past change neither the forecast nor the percentile."""
    until_now = past_readings(days=40)
    later = past_readings(days=3, end=T0 + timedelta(days=3))
    alone, together = (HistoryPredictor(lambda now, r=r: r, LONDON) for r in (until_now, (*until_now, *later)))
    assert alone.prediction(T0).curve.values == together.prediction(T0).curve.values
    window = timedelta(days=7)
    assert alone.trailing(T0)(30.0, window) == together.trailing(T0)(30.0, window)


def test_a_store_is_read_again_when_it_has_grown_and_forecasts_in_it_are_no_past(tmp_path):
    kept = store(tmp_path)
    kept.add(past_readings(days=20, end=T0 - HOUR), T0)
    kept.add([reading(9999.0, T0 - HOUR, kind=IntensityKind.FORECAST)], T0 - 2 * HOUR)
    foresight = HistoryPredictor(StoredPast(kept).readings, LONDON)
    before = foresight.prediction(T0)
    assert max(before.curve.values) < 1000.0
    kept.add([reading(400.0, T0 - HOUR)], T0)
    assert foresight.prediction(T0).curve != before.curve


def test_older_values_than_the_longest_past_are_not_read(tmp_path):
    kept = store(tmp_path)
    kept.add(past_readings(days=5, end=T0 - LONGEST_PAST - timedelta(days=8)), T0)
    assert StoredPast(kept).readings(T0) == ()
    assert HistoryPredictor(StoredPast(kept).readings, LONDON).prediction(T0) is None
    assert HistoryPredictor(StoredPast(kept).readings, LONDON).trailing(T0) is None


def test_how_good_a_provider_was_is_known_from_the_forecasts_that_were_stored(tmp_path):
    """Each night it promised 100 for the hour after next; the grid did 80 on odd days and 120 on even ones."""
    kept = store(tmp_path)
    for day in range(1, DAYS + 1):
        origin = T0 - timedelta(days=day)
        promised = [reading(200.0, origin, kind=IntensityKind.FORECAST)]
        promised += [reading(100.0, origin + HOUR, kind=IntensityKind.FORECAST)]
        kept.add(promised, origin - timedelta(minutes=5))
        kept.add([reading(200.0, origin), reading(120.0 - 40.0 * (day % 2), origin + HOUR)], origin + 3 * HOUR)
    told = (
        ForecastCombiner(None, stored_forecast_errors(kept)).combined(provider_says(100.0), T0, ALL, "neso").prediction
    )
    now_s, later_s = T0.timestamp(), (T0 + HOUR).timestamp()
    curve = type(told.curve)([now_s, later_s, later_s + 3600.0], [200.0, 100.0])
    assert told.past_errors(T0).saving_interval_percent(curve, now_s, later_s, 3600.0) == pytest.approx((40.0, 60.0))


def test_a_provider_whose_forecasts_were_not_stored_gets_no_interval(tmp_path):
    kept = store(tmp_path)
    kept.add(past_readings(days=30), T0)
    told = (
        ForecastCombiner(None, stored_forecast_errors(kept)).combined(provider_says(100.0), T0, ALL, "neso").prediction
    )
    later_s = (T0 + HOUR).timestamp()
    assert told.past_errors(T0).saving_interval_percent(told.curve, T0.timestamp(), later_s, 3600.0) is None
