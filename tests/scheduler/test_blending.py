"""A provider's forecast is prolonged by the history's without a jump in level, and gaps stay gaps."""

from datetime import UTC, datetime, timedelta
from math import exp, isnan, nan

from lowtide.grid.series import DECAY_S, IntensityCurve, prolonged, provider_curve
from lowtide.records import Forecast

from tests.support.grid import reading

HOUR = 3600.0
START = datetime(2026, 3, 1, tzinfo=UTC)


def curve(values, start_h=0.0):
    return IntensityCurve([(start_h + i) * HOUR for i in range(len(values) + 1)], values)


def test_what_the_provider_says_is_kept_and_the_history_follows_at_its_level():
    whole = prolonged(curve([100.0] * 6), curve([160.0] * 6 + [200.0] * 3))
    assert whole.values[:6] == (100.0,) * 6
    assert whole.end_s == 9 * HOUR
    # 60 below the history over the overlap: the first hour after it keeps all of that, later ones less
    assert whole.values[6] == 200.0 - 60.0
    assert whole.values[8] == 200.0 - 60.0 * exp(-2 * HOUR / DECAY_S)


def test_without_an_overlap_the_history_is_taken_as_it_is():
    assert prolonged(curve([100.0] * 2), curve([300.0] * 3, start_h=2.0)).values == (100.0, 100.0, 300.0, 300.0, 300.0)


def test_a_history_that_ends_first_adds_nothing():
    provider = curve([100.0] * 4)
    assert prolonged(provider, curve([10.0] * 3)) == provider


def test_a_gap_of_the_history_stays_a_gap_and_a_moved_value_is_never_negative():
    whole = prolonged(curve([10.0] * 6), curve([200.0] * 6 + [nan, 50.0]))
    assert isnan(whole.values[6]), "a gap must not become a perfectly clean hour"
    assert whole.values[7] == 0.0


def test_the_reading_that_holds_now_comes_before_a_forecast_that_begins_later():
    now = reading(180.0, start=START)
    coming = Forecast(issued_at=START, readings=(reading(90.0, start=START + timedelta(hours=1)),))
    assert provider_curve(now, coming).values == (180.0, 90.0)
    assert provider_curve(now, Forecast(issued_at=START, readings=(now,))).values == (180.0,)
