"""A saving's interval comes from what earlier forecasts of the same leads were worth."""

import random

import numpy as np
import pytest
from lowtide.grid.forecast.uncertainty import LEAST_FORECASTS, LeadErrors
from lowtide.grid.series import IntensityCurve

HOUR, DAY = 3600.0, 86_400.0


def flat(origin_s, values):
    return IntensityCurve([origin_s + i * HOUR for i in range(len(values) + 1)], values)


def past(day, error_now=0.0, error_later=0.0):
    return day * 24, [error_now, error_later]


TODAY = flat(100 * DAY, [200.0, 100.0])


def interval(forecasts, later_s=HOUR):
    hours, errors = zip(*forecasts, strict=True)
    past_errors = LeadErrors(np.array(hours), np.array(errors), fewest=LEAST_FORECASTS)
    return past_errors.saving_interval_percent(TODAY, 100 * DAY, 100 * DAY + later_s, HOUR)


def test_forecasts_that_were_right_leave_no_doubt():
    assert interval([past(day) for day in range(20)]) == pytest.approx((50.0, 50.0))


def test_errors_of_the_later_block_widen_the_interval_to_their_quantiles():
    # later block's errors -50 .. +50 in eleven steps: savings 75 .. 25 %, of which 10 and 90 % are the second and tenth
    low, high = interval([past(day, error_later=10.0 * (day - 5)) for day in range(11)])
    assert (low, high) == pytest.approx((30.0, 70.0))


def test_a_level_that_was_wrong_for_both_blocks_hardly_matters():
    both = interval([past(day, error_now=2 * e, error_later=e) for day, e in enumerate(range(-40, 41, 5))])
    one = interval([past(day, error_later=e) for day, e in enumerate(range(-40, 41, 5))])
    assert both == pytest.approx((50.0, 50.0))
    assert one[1] - one[0] > 20.0


def test_too_few_past_forecasts_or_a_block_outside_the_curve_give_no_interval():
    many = [past(day) for day in range(LEAST_FORECASTS)]
    assert interval(many[1:]) is None
    assert interval(many) is not None
    assert interval(many, later_s=5 * HOUR) is None


def test_the_interval_holds_four_of_five_outcomes_of_the_same_weather():
    weather = random.Random(3)
    draws = [(weather.gauss(0, 20), weather.gauss(0, 20)) for _ in range(400)]
    low, high = interval([past(day, *draw) for day, draw in enumerate(draws[:200])])
    kept = sum(low <= 100 * (1 - (100 + late) / (200 + early)) <= high for early, late in draws[200:])
    assert 0.7 <= kept / 200 <= 0.9
