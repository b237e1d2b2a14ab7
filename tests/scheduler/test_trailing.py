"""The trailing window: a percentile weighted by time, of what had ended before a time."""

from datetime import timedelta
from math import isnan

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lowtide.grid.outlook import trailing
from lowtide.grid.series import IntensityCurve

HOUR_S = 3600.0
VALUES = st.lists(st.floats(0, 1000) | st.just(float("nan")), min_size=1, max_size=60)


def hourly(values: list[float]) -> IntensityCurve:
    return IntensityCurve([i * HOUR_S for i in range(len(values) + 1)], values)


@given(VALUES, st.floats(0.1, 99.9), st.integers(1, 40), st.integers(1, 70))
def test_it_is_the_least_value_below_which_the_grid_was_for_that_share(
    values: list[float], percent: float, window_h: int, until_h: int
) -> None:
    seen = [v for v in values[max(0, until_h - window_h) : until_h] if not isnan(v)]
    found = trailing(hourly(values), until_h * HOUR_S)(percent, timedelta(hours=window_h))
    if len(seen) < window_h / 2:
        assert found is None
        return
    assert found in seen
    assert sum(v <= found for v in seen) >= len(seen) * percent / 100 - 1e-9
    assert sum(v < found for v in seen) <= len(seen) * percent / 100 + 1e-9


def test_steps_count_by_their_length() -> None:
    curve = IntensityCurve([0, HOUR_S, 1.25 * HOUR_S, 2 * HOUR_S], [100.0, 1.0, 50.0])
    percentile = trailing(curve, 2 * HOUR_S)
    window = timedelta(hours=2)
    assert [percentile(p, window) for p in (10, 12.5, 13, 50, 51)] == [1.0, 1.0, 50.0, 50.0, 100.0]


@pytest.mark.parametrize("later", [0.0, 1e6])
def test_what_comes_after_the_time_is_not_used(later: float) -> None:
    percentile = trailing(hourly([100.0, 200.0, 300.0, later, later]), 3 * HOUR_S)
    assert percentile(99, timedelta(hours=3)) == 300.0
