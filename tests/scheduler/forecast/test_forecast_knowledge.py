"""A forecast rests on what had ended by its time, bit for bit."""

import math
import random
from datetime import datetime, timedelta

import numpy as np
import pytest
from lowtide.grid.forecast.model import HistoryForecaster

from tests.support.pasts import HOUR, MONDAY, forecaster_of
from tests.support.traces import grid_like

DAYS = 130
VALUES = grid_like(DAYS)
ASKED = [MONDAY + timedelta(days=d, hours=h) for d, h in ((3, 1), (20, 7), (40, 23), (60, 12), (112, 0), (117, 15))]


def said(forecaster: HistoryForecaster, now: datetime) -> tuple[object, ...] | None:
    found = forecaster.forecast(now)
    return found and (found.curve.edges_s, found.curve.values, found.source, found.issued_at)


def scrambled(after: int) -> list[float]:
    tail = [value * 3 for value in VALUES[after:]]
    random.Random(5).shuffle(tail)
    return VALUES[:after] + tail


@pytest.mark.parametrize("now", ASKED)
def test_the_future_changes_nothing(now: datetime) -> None:
    known = int((now - MONDAY) / HOUR)
    asked = said(forecaster_of(VALUES), now)
    assert asked is not None
    assert asked == said(forecaster_of(scrambled(known)), now)
    assert asked == said(forecaster_of(VALUES[:known]), now)


def test_the_hour_that_has_begun_is_not_known() -> None:
    now = ASKED[-1] + timedelta(minutes=59)
    known = int((now - MONDAY) / HOUR)
    other = [*VALUES[:known], VALUES[known] * 5, *VALUES[known + 1 :]]
    assert said(forecaster_of(VALUES), now) == said(forecaster_of(other), now)
    later = now + timedelta(minutes=1)
    assert said(forecaster_of(VALUES), later) != said(forecaster_of(other), later)


def test_the_order_of_questions_changes_nothing() -> None:
    forwards, backwards = forecaster_of(VALUES), forecaster_of(VALUES)
    first = [said(forwards, now) for now in ASKED]
    forwards.past_errors(ASKED[3])
    backwards.past_errors(ASKED[-1])
    assert first == [said(backwards, now) for now in reversed(ASKED)][::-1]
    assert first == [said(forwards, now) for now in ASKED]


def test_past_errors_do_not_see_the_future_either() -> None:
    now = ASKED[-1]
    errors = [forecaster_of(values).past_errors(now) for values in (VALUES, scrambled(int((now - MONDAY) / HOUR)))]
    assert errors[0] is not None
    assert errors[1] is not None
    np.testing.assert_array_equal(errors[0]._errors, errors[1]._errors)


def test_too_little_history_is_no_forecast() -> None:
    assert said(forecaster_of(VALUES[:71]), MONDAY + 71 * HOUR) is None
    assert said(forecaster_of(VALUES[:72]), MONDAY + 72 * HOUR) is not None
    assert said(forecaster_of(VALUES), MONDAY - HOUR) is None
    assert said(forecaster_of([math.nan] * 200), MONDAY + 200 * HOUR) is None


def test_a_history_that_ended_a_week_ago_is_too_old() -> None:
    forecaster = forecaster_of(VALUES[:480])
    assert said(forecaster, MONDAY + (480 + 167) * HOUR) is not None
    assert said(forecaster, MONDAY + (480 + 168) * HOUR) is None
    gap = forecaster_of(VALUES[:480] + [math.nan] * 170 + VALUES[650:])
    assert said(gap, MONDAY + (480 + 168) * HOUR) is None
