"""The best block before the deadline: chosen exactly, the same however often it is checked, never too late."""

from dataclasses import replace
from datetime import datetime, timedelta
from math import nan

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from lowtide.grid.outlook import Outlook
from lowtide.grid.series import IntensityCurve
from lowtide.scheduler.decision import decide
from lowtide.scheduler.job import Job
from lowtide.scheduler.types import Action, Reason

from tests.support.grid import HOUR, T0, curve, job, prediction, reading
from tests.support.walking import started

MINUTE = timedelta(minutes=1)
CURVES = st.lists(st.integers(0, 30).map(lambda v: 10.0 * v), min_size=30, max_size=60)
MINUTES = st.integers(1, 8 * 60).map(lambda minutes: minutes * MINUTE)


def window(**changes: object) -> Job:
    return job(**{"policy": "window", "minimum_gain_percent": 0.0} | changes)


def seen(values: list[float], step: timedelta = HOUR) -> Outlook:
    return Outlook(prediction=prediction(values, step=step))


def mean(outlook: Outlook, start: datetime, duration: timedelta) -> float:
    assert outlook.prediction is not None
    found = outlook.prediction.curve.mean_over(start.timestamp(), (start + duration).timestamp())
    assert found is not None
    return found


def test_it_waits_for_the_best_block_and_says_what_that_saves() -> None:
    outlook = seen([300.0, 280.0, 200.0, 100.0, 120.0, 300.0] + [250.0] * 20)
    decision = decide(window(), T0, outlook)
    assert (decision.action, decision.reason) == (Action.WAIT, Reason.FORECAST_MINIMUM)
    assert decision.planned_start == T0 + 3 * HOUR
    assert decision.segments == ((T0 + 3 * HOUR, T0 + 5 * HOUR),)
    assert decision.expected_saving_percent == pytest.approx(100 * (1 - 110 / 290))
    assert decision.forecast_source == "neso"
    assert "has 110 g/kWh, 62 % less than the 290 of a start now" in decision.text
    at_start = decide(window(), T0 + 3 * HOUR, outlook)
    assert (at_start.action, at_start.expected_saving_percent) == (Action.RUN, 0.0)


@settings(max_examples=60)
@given(CURVES, MINUTES, st.integers(0, 59), st.integers(0, 20 * 60))
def test_no_minute_before_the_deadline_is_better_than_the_start_planned(
    values: list[float], duration: timedelta, late: int, slack: int
) -> None:
    outlook, now = seen(values), T0 + late * MINUTE
    waiting = window(expected_duration=duration, deadline=now + duration + slack * MINUTE)
    decision = decide(waiting, now, outlook)
    planned = decision.planned_start
    assert planned is not None
    assert now <= planned <= now + slack * MINUTE
    best = min(mean(outlook, now + i * MINUTE, duration) for i in range(slack + 1))
    assert mean(outlook, planned, duration) <= best + 1e-6


@settings(max_examples=60)
@given(CURVES, MINUTES, st.integers(0, 20 * 60), st.integers(1, 600))
def test_more_slack_never_raises_the_expected_cost(
    values: list[float], duration: timedelta, slack: int, more: int
) -> None:
    outlook = seen(values)
    costs = []
    for minutes in (slack, slack + more):
        waiting = window(expected_duration=duration, deadline=T0 + duration + minutes * MINUTE)
        planned = decide(waiting, T0, outlook).planned_start
        assert planned is not None
        costs.append(mean(outlook, planned, duration))
    assert costs[1] <= costs[0] + 1e-6


@settings(max_examples=60, deadline=None)
@given(CURVES, MINUTES, st.integers(0, 59), st.integers(0, 20 * 60), st.integers(7, 300))
def test_checking_more_often_does_not_change_the_start(
    values: list[float], duration: timedelta, late: int, slack: int, often: int
) -> None:
    outlook, now = seen(values), T0 + late * MINUTE
    waiting = window(submitted_at=now, expected_duration=duration, deadline=now + duration + slack * MINUTE)
    starts = {
        started(replace(waiting, poke_interval=interval), lambda _: outlook)
        for interval in (often * MINUTE, timedelta(days=9))
    }
    assert len(starts) == 1


@settings(max_examples=40, deadline=None)
@given(st.data(), st.integers(0, 100))
def test_a_wrong_duration_breaks_the_deadline_by_no_more_than_its_error(data: st.DataObject, margin: int) -> None:
    waiting = window(duration_margin=margin / 100)
    assert waiting.deadline is not None

    def outlook_at(now: datetime) -> Outlook:  # a forecast that changes with each check
        return Outlook(prediction=prediction(data.draw(CURVES), start=now - 30 * MINUTE, issued_at=now))

    start = started(replace(waiting, poke_interval=HOUR), outlook_at)
    longer = data.draw(MINUTES)
    spare = waiting.expected_duration * (margin / 100)
    assert start + waiting.expected_duration + longer - waiting.deadline <= longer - spare


def test_a_gain_below_the_minimum_is_not_waited_for() -> None:
    outlook = seen([100.0, 100.0, 98.5, 98.5] + [100.0] * 20)
    assert decide(window(minimum_gain_percent=2.0), T0, outlook).action is Action.RUN
    assert decide(window(minimum_gain_percent=1.0), T0, outlook).planned_start == T0 + 2 * HOUR
    assert "no later start is better by at least 2 %" in decide(window(minimum_gain_percent=2.0), T0, outlook).text


@pytest.mark.parametrize("policy", ["threshold", "percentile", "window", "interruptible"])
def test_every_waiting_policy_starts_at_once_below_the_limit_for_that(policy: str) -> None:
    outlook = Outlook(reading=reading(79.0), prediction=prediction([79.0] + [10.0] * 30))
    waiting = job(policy=policy, threshold_gco2eq_per_kwh=50.0, run_now_below_gco2eq_per_kwh=80.0)
    decision = decide(waiting, T0, outlook)
    assert (decision.action, decision.reason) == (Action.RUN, Reason.BELOW_THRESHOLD)
    assert decision.threshold_gco2eq_per_kwh == 80.0
    dirty = replace(outlook, reading=reading(81.0))
    assert decide(waiting, T0, dirty).action is Action.WAIT
    foreign = replace(outlook, threshold_comparable=False)
    assert decide(replace(waiting, minimum_gain_percent=0.0), T0, foreign).action is Action.WAIT


@pytest.mark.parametrize("on_latest_start", ["skip", "fail"])
def test_a_start_that_was_planned_for_the_latest_start_is_no_reason_to_skip(on_latest_start: str) -> None:
    outlook = seen([300.0] * 8 + [100.0] * 10)
    waiting = window(on_latest_start=on_latest_start)
    assert decide(waiting, T0, outlook).planned_start == waiting.latest_start == T0 + 8 * HOUR
    assert decide(waiting, T0 + 8 * HOUR, outlook).action is Action.RUN
    blind = decide(waiting, T0 + 8 * HOUR, Outlook())
    assert blind.action is {"skip": Action.SKIP, "fail": Action.FAIL}[on_latest_start]


def test_without_a_prediction_the_usual_order_of_hours_decides_and_it_says_so() -> None:
    decision = decide(window(), T0, Outlook(shape=curve([300.0] * 3 + [100.0] * 12)))
    assert decision.planned_start == T0 + 3 * HOUR
    assert decision.text.startswith(
        "waiting: no forecast for GB; by the usual order of hours 2026-03-03 01:00 UTC is 67 %"
    )
    assert decision.forecast_source is None
    assert decide(window(), T0, Outlook()).reason is Reason.SIGNAL_UNAVAILABLE


def test_without_a_prediction_a_provider_that_fails_is_given_its_chances() -> None:
    outlook = Outlook(shape=curve([100.0] * 20), failed_checks=1)
    assert decide(window(), T0, outlook).reason is Reason.SIGNAL_UNAVAILABLE
    assert decide(window(), T0, replace(outlook, failed_checks=3)).action is Action.RUN


def test_a_threshold_s_fallback_uses_the_prediction_before_the_order_of_hours() -> None:
    outlook = Outlook(shape=curve([1.0] * 20), prediction=prediction([300.0] * 4 + [100.0] * 20), failed_checks=3)
    decision = decide(job(), T0, outlook)
    assert decision.planned_start == T0 + 4 * HOUR
    assert decision.text.startswith("waiting: no usable signal for GB; by the forecast of neso")


def test_a_threshold_does_not_wait_where_the_prediction_sees_no_gain() -> None:
    outlook = Outlook(reading=reading(150.0), prediction=prediction([150.0] * 30))
    assert decide(job(minimum_gain_percent=0.0), T0, outlook).reason is Reason.ABOVE_THRESHOLD
    decision = decide(job(minimum_gain_percent=2.0), T0, outlook)
    assert (decision.action, decision.reason) == (Action.RUN, Reason.FORECAST_MINIMUM)
    assert "above the threshold of 120 g/kWh, but by the forecast of neso no later start is better" in decision.text
    short = replace(outlook, prediction=prediction([150.0] * 5))  # who does not see all of the wait cannot say that
    assert decide(job(minimum_gain_percent=2.0), T0, short).reason is Reason.ABOVE_THRESHOLD


@pytest.mark.parametrize(
    ("values", "now_h", "message"),
    [
        (
            [300.0] * 3 + [100.0] * 3,
            0,
            "it ends at 2026-03-03 04:00 UTC, before the latest finish 2026-03-03 08:00 UTC",
        ),
        ([300.0, 290.0, nan, nan] + [100.0] * 20, 0, "2.0 h of it are missing"),
        ([300.0] * 8 + [100.0] * 20, 7, "it is 7 h old"),
    ],
)
def test_what_is_wrong_with_a_forecast_is_said(values: list[float], now_h: int, message: str) -> None:
    decision = decide(window(), T0 + now_h * HOUR, seen(values))
    assert decision.action is Action.WAIT
    assert message in decision.text
    assert "\n" not in decision.text


@pytest.mark.parametrize(
    ("outlook", "message"),
    [
        (
            seen([100.0] * 3),
            "the forecast of neso does not cover now, only from 2026-03-02 22:00 UTC to 2026-03-03 01:00",
        ),
        (seen([300.0] * 5 + [nan] * 5 + [1.0] * 9), "the forecast of neso does not cover now"),
        (seen([300.0] * 6), "does not cover a run that starts now (it ends at 2026-03-03 04:00 UTC, before"),
        (seen([300.0] * 6 + [nan] * 4 + [1.0] * 9), "does not cover a run that starts now (4.0 h of it are missing)"),
    ],
)
def test_a_forecast_that_cannot_see_now_is_not_used_and_that_is_said(outlook: Outlook, message: str) -> None:
    decision = decide(window(), T0 + 5 * HOUR, outlook)
    assert (decision.action, decision.reason) == (Action.RUN, Reason.SIGNAL_UNAVAILABLE)
    assert message in decision.text
    ordered = replace(outlook, shape=curve([300.0] * 6 + [100.0] * 9))
    assert decide(window(), T0 + 5 * HOUR, ordered).reason is Reason.FORECAST_MINIMUM


def test_a_reading_that_contradicts_the_forecast_is_named() -> None:
    outlook = Outlook(reading=reading(90.0), prediction=prediction([300.0] * 3 + [100.0] * 20))
    text = decide(window(), T0, outlook).text
    assert "it says 300 g/kWh for now, the reading 90" in text
    assert "the reading" not in decide(window(), T0, replace(outlook, reading=reading(280.0))).text


@given(CURVES, st.integers(0, 600), st.floats(0, 50), st.integers(0, 240))
def test_deciding_twice_is_deciding_once(values: list[float], late: int, gain: float, jitter: int) -> None:
    outlook, now = seen(values), T0 + late * MINUTE
    waiting = window(minimum_gain_percent=gain, jitter=jitter * MINUTE)
    assume(waiting.latest_start is not None)
    assert decide(waiting, now, outlook) == decide(Job.from_json(waiting.as_json()), now, outlook)


def test_five_minute_steps_are_ordered_as_finely() -> None:
    values = [200.0] * 288
    values[37:49] = [100.0] * 12
    outlook = seen(values, timedelta(minutes=5))
    assert decide(window(expected_duration=HOUR), T0, outlook).planned_start == T0 + 37 * timedelta(minutes=5)
    assert isinstance(outlook.prediction and outlook.prediction.curve, IntensityCurve)
