"""Whatever the past looks like, a forecast is either not made or a week of intensities."""

import math
from datetime import timedelta
from zoneinfo import ZoneInfo

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.pasts import MONDAY, forecaster_of

STEPS = (timedelta(minutes=15), timedelta(minutes=30), timedelta(hours=1))
ZONES = ("Europe/Berlin", "Australia/Adelaide", "America/Los_Angeles", "Asia/Kathmandu")


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    days=st.integers(1, 75),
    unknown=st.sampled_from([0.0, 0.02, 0.3, 0.9]),
    clean=st.sampled_from([0.0, 0.5, 0.99]),
    step=st.sampled_from(STEPS),
    zone=st.sampled_from(ZONES),
    offset=st.integers(0, 3),
    now=st.floats(0.0, 90.0),
)
def test_a_forecast_is_a_week_of_intensities_from_the_asked_time_on(
    seed: int, days: int, unknown: float, clean: float, step: timedelta, zone: str, offset: int, now: float
) -> None:
    draw = np.random.default_rng(seed)
    count = int(timedelta(days=days) / step)
    values = draw.lognormal(5.0, 1.0, count) * (draw.random(count) >= clean)
    # gaps of hours to days
    for first in draw.integers(0, count, int(unknown * days)):
        values[first : first + int(draw.integers(1, 200))] = math.nan
    forecaster = forecaster_of(values.tolist(), MONDAY + offset * step, step, ZoneInfo(zone))
    time = MONDAY + timedelta(days=now)
    forecast = forecaster.forecast(time)
    if forecast is None:
        known = int(np.isfinite(values[: max(0, int((time - MONDAY) / step) - offset)]).sum())
        assert unknown or known * step < timedelta(days=4) or now > days + 6
        return
    curve = forecast.curve
    assert 0 <= time.timestamp() - curve.start_s < curve.step_s == step.total_seconds()
    hour_s = time.timestamp() // 3600 * 3600
    assert curve.start_s + len(curve.values) * curve.step_s - hour_s == 168 * 3600
    # a forecast is as old as the last hour that it knows
    assert 0 <= hour_s - forecast.issued_at.timestamp() <= 7 * 86_400
    assert all(math.isfinite(value) and value >= 0 for value in curve.values)
