"""Choosing a start by a curve, against brute force over every minute."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.scheduler.ordering import best_start, mean_over, possible_starts
from tests.support.grid import HOUR, T0, curve

MINUTE = timedelta(minutes=1)


def test_the_mean_is_weighted_by_time() -> None:
    # half an hour at 100, an hour at 200, half an hour at 400: (50 + 200 + 200) / 2
    assert mean_over(curve([100.0, 200.0, 400.0]), T0 + HOUR / 2, 2 * HOUR) == pytest.approx(225.0)


def test_a_gap_or_an_end_in_the_block_gives_no_mean() -> None:
    hours = curve([100.0, 200.0, 400.0])
    assert mean_over((hours[0], hours[2]), T0, 3 * HOUR) is None
    assert mean_over(hours, T0 + HOUR, 3 * HOUR) is None


@settings(max_examples=40)
@given(st.lists(st.integers(1, 50), min_size=6, max_size=8), st.integers(20, 150), st.integers(0, 59))
def test_no_minute_is_better_than_the_start_chosen(values: list[int], minutes: int, offset: int) -> None:
    hours, now, duration = curve([float(v) for v in values]), T0 + offset * MINUTE, minutes * MINUTE
    latest = T0 + 3 * HOUR
    best = best_start(possible_starts(hours, now, latest, duration), 0.0)
    means = [mean_over(hours, now + i * MINUTE, duration) for i in range(int((latest - now) / MINUTE) + 1)]
    assert now <= best.moment <= latest
    assert best.mean_gco2eq_per_kwh <= min(mean for mean in means if mean is not None) + 1e-9
