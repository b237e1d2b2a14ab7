"""The decision function: properties over all jobs and outlooks, and each branch by example."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from math import nan
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lowtide.config.schema import PausingConfig, PolicyName
from lowtide.grid.outlook import Outlook
from lowtide.records import IntensityKind
from lowtide.scheduler.decision import decide
from lowtide.scheduler.job import Job, Progress
from lowtide.scheduler.types import Action, Decision, Reason

from tests.support.grid import HOUR, T0, curve, job, prediction, reading

VALUES = st.floats(min_value=0, max_value=1_000)
DURATIONS = st.integers(1, 60 * 60 * 50).map(lambda seconds: timedelta(seconds=seconds))
TIMES = st.integers(-100_000, 300_000).map(lambda seconds: T0 + timedelta(seconds=seconds))

JOBS = st.builds(
    job,
    policy=st.sampled_from(get_args(PolicyName)),
    deadline=st.none() | TIMES,
    expected_duration=DURATIONS,
    duration_margin=st.floats(0, 10),
    on_latest_start=st.sampled_from(["start", "skip", "fail"]),
    threshold_gco2eq_per_kwh=st.floats(1, 1_000),
    minimum_gain_percent=st.floats(0, 99),
    poke_interval=DURATIONS,
    failure_budget=st.integers(1, 10),
    percentile=st.floats(1, 99),
    percentile_window=DURATIONS,
    run_now_below_gco2eq_per_kwh=st.none() | st.floats(1, 300),
    jitter=st.just(timedelta(0)) | DURATIONS,
    pausing=st.none() | st.builds(PausingConfig, minimum_slice=DURATIONS, maximum_pauses=st.integers(0, 3)),
    progress=st.none() | st.builds(Progress, done=DURATIONS, running=st.booleans(), pauses=st.integers(0, 5)),
)


@dataclass(frozen=True)
class Steady:
    """A grid that was always the same, or of which nothing is known."""

    value: float | None

    def __call__(self, percent: float, window: timedelta) -> float | None:
        return self.value


OUTLOOKS = st.builds(
    Outlook,
    reading=st.none() | st.builds(reading, VALUES, kind=st.sampled_from(list(IntensityKind))),
    shape=st.lists(VALUES, max_size=30).map(curve),
    prediction=st.none()
    | st.builds(
        prediction,
        st.lists(VALUES | st.just(nan), min_size=1, max_size=120),
        start=st.integers(-9, 9).map(lambda hours: T0 + hours * HOUR),
        step=st.sampled_from([HOUR / 12, HOUR / 2, HOUR]),
    ),
    trailing=st.none() | st.builds(Steady, st.none() | VALUES),
    failed_checks=st.integers(0, 20),
    threshold_comparable=st.booleans(),
    worth_retrying=st.booleans(),
)


@given(JOBS, TIMES, OUTLOOKS)
def test_a_wait_ends_after_now_and_never_after_the_latest_start(job: Job, now: datetime, outlook: Outlook) -> None:
    decision = decide(job, now, outlook)
    if decision.action not in (Action.WAIT, Action.PAUSE):
        assert decision.until is None
        return
    assert decision.until is not None
    assert now < decision.until <= now + job.poke_interval
    for time in (decision.until, decision.planned_start):
        assert time is None or job.latest_start is None or time <= job.latest_start


@given(JOBS, TIMES, OUTLOOKS)
def test_deciding_twice_gives_the_same_and_leaves_plain_json(job: Job, now: datetime, outlook: Outlook) -> None:
    decision = decide(job, now, outlook)
    assert decision == decide(Job.from_json(job.as_json()), now, outlook)
    assert Decision.from_json(decision.as_json()) == decision


@given(JOBS, TIMES, OUTLOOKS)
def test_nothing_waits_at_or_after_its_latest_start(job: Job, now: datetime, outlook: Outlook) -> None:
    if job.policy != "immediate" and job.latest_start is not None and now >= job.latest_start:
        decision = decide(job, now, outlook)
        if job.progress is not None:
            assert decision.action is Action.RUN
            return
        if decision.reason in (Reason.BELOW_THRESHOLD, Reason.FORECAST_MINIMUM):
            # clean, or planned, at the latest start and in time: nothing to skip or to fail
            assert decision.action is Action.RUN
            assert job.deadline is not None
            assert now + job.expected_duration <= job.deadline
            return
        assert decision.reason is Reason.DEADLINE
        assert decision.action == {"start": Action.RUN, "skip": Action.SKIP, "fail": Action.FAIL}[job.on_latest_start]


@pytest.mark.parametrize("on_latest_start", ["start", "skip", "fail"])
@pytest.mark.parametrize(("value", "reason"), [(99.0, Reason.BELOW_THRESHOLD), (101.0, Reason.DEADLINE)])
def test_a_grid_that_is_clean_at_the_latest_start_starts_the_job(
    on_latest_start: str, value: float, reason: Reason
) -> None:
    waiting = job(threshold_gco2eq_per_kwh=100.0, deadline=T0 + 12 * HOUR, on_latest_start=on_latest_start)
    assert waiting.latest_start is not None
    decision = decide(waiting, waiting.latest_start, Outlook(reading=reading(value)))
    assert decision.reason is reason
    assert (decision.action is Action.RUN) == (reason is Reason.BELOW_THRESHOLD or on_latest_start == "start")


@given(JOBS, TIMES, OUTLOOKS)
def test_immediate_always_runs(job: Job, now: datetime, outlook: Outlook) -> None:
    decision = decide(replace(job, policy="immediate"), now, outlook)
    assert (decision.action, decision.reason) == (Action.RUN, Reason.IMMEDIATE)


@given(VALUES, st.floats(1, 1_000), st.integers(0, 9))
def test_an_answered_check_runs_now_exactly_when_at_or_below_the_threshold(
    value: float, limit: float, hours: int
) -> None:
    decision = decide(
        job(threshold_gco2eq_per_kwh=limit, deadline=T0 + 12 * HOUR), T0 + hours * HOUR, Outlook(reading=reading(value))
    )
    assert (decision.action is Action.RUN) == (value <= limit)
    assert decision.reason is (Reason.BELOW_THRESHOLD if value <= limit else Reason.ABOVE_THRESHOLD)


@given(JOBS, TIMES, OUTLOOKS)
def test_a_plan_begins_neither_before_now_nor_after_the_latest_start_and_is_in_order(
    job: Job, now: datetime, outlook: Outlook
) -> None:
    decision = decide(job, now, outlook)
    flat = [time for segment in decision.segments for time in segment]
    assert flat == sorted(flat)
    start = decision.planned_start
    assert start is None or start >= now
    if start is not None and job.latest_start is not None and job.progress is None:
        assert start <= max(now, job.latest_start)
    if decision.action is Action.PAUSE:
        assert job.progress is not None
        assert job.progress.running
        assert job.policy == "interruptible"
    assert "\n" not in decision.text


@given(JOBS, OUTLOOKS)
def test_a_job_with_a_deadline_ends_its_wait_when_checks_follow_until(job: Job, outlook: Outlook) -> None:
    job = replace(job, deadline=T0 + timedelta(hours=30), expected_duration=HOUR, duration_margin=0.0, progress=None)
    job = replace(job, poke_interval=max(job.poke_interval, timedelta(minutes=10)))
    now, checks = T0, 0
    while (decision := decide(job, now, outlook)).action is Action.WAIT:
        assert decision.until is not None
        now, checks = decision.until, checks + 1
        assert checks <= 30 * 6 + 60  # beside the poke interval, planned starts cause a check
    assert job.latest_start is not None
    assert now <= job.latest_start


def test_failed_checks_wait_for_the_provider_until_the_budget_is_used_up() -> None:
    shape = curve([300.0] * 5 + [100.0] * 10)
    actions = [decide(job(failure_budget=3), T0, Outlook(shape=shape, failed_checks=n)).reason for n in (1, 2, 3, 50)]
    unavailable, ordered = Reason.SIGNAL_UNAVAILABLE, Reason.FORECAST_MINIMUM
    assert actions == [unavailable, unavailable, ordered, ordered]


def test_a_cached_reading_is_held_against_the_threshold_during_an_outage() -> None:
    cached = reading(90.0, kind=IntensityKind.CACHED)
    assert decide(job(), T0, Outlook(reading=cached, failed_checks=1)).reason is Reason.BELOW_THRESHOLD


def test_a_modelled_reading_of_the_same_factors_counts_only_beyond_the_budget() -> None:
    modelled = reading(90.0, kind=IntensityKind.MODELLED)
    early = decide(job(), T0, Outlook(reading=modelled, failed_checks=1))
    late = decide(job(), T0, Outlook(reading=modelled, failed_checks=3))
    assert (early.action, early.reason) == (Action.WAIT, Reason.SIGNAL_UNAVAILABLE)
    assert (late.action, late.reason) == (Action.RUN, Reason.BELOW_THRESHOLD)
    assert late.reading is not None
    assert late.reading.kind is IntensityKind.MODELLED
    assert "modelled" in late.text


def test_other_factors_order_the_hours_but_are_not_held_against_the_threshold() -> None:
    shape = curve([50.0] * 4 + [30.0, 20.0, 20.0] + [50.0] * 10)
    outlook = Outlook(reading=shape[0], shape=shape, failed_checks=3, threshold_comparable=False)
    decision = decide(job(), T0, outlook)  # 50 g/kWh is below 120, yet says nothing about the provider's grams
    assert (decision.action, decision.reason) == (Action.WAIT, Reason.FORECAST_MINIMUM)
    assert decision.planned_start == T0 + 5 * HOUR
    assert decision.until == T0 + timedelta(minutes=5)
    assert decide(job(), T0 + 5 * HOUR, outlook).action is Action.RUN


def test_a_gain_below_the_minimum_is_not_waited_for() -> None:
    outlook = Outlook(
        shape=curve([100.0, 100.0, 98.5, 98.5] + [100.0] * 10), failed_checks=3, threshold_comparable=False
    )
    assert decide(job(minimum_gain_percent=2.0), T0, outlook).action is Action.RUN
    assert decide(job(minimum_gain_percent=1.0), T0, outlook).planned_start == T0 + 2 * HOUR


def test_with_nothing_known_at_all_the_job_starts_at_once_and_says_so() -> None:
    for outlook in (Outlook(failed_checks=3), Outlook(failed_checks=1, worth_retrying=False)):
        decision = decide(job(), T0, outlook)
        assert (decision.action, decision.reason) == (Action.RUN, Reason.SIGNAL_UNAVAILABLE)


def test_a_deadline_that_has_passed_is_called_passed() -> None:
    texts = [decide(job(), T0 + h * HOUR, Outlook()).text for h in (8, 9, 10)]
    assert "has been reached" in texts[0]
    assert "too late to meet the deadline" in texts[1]
    assert "already passed" in texts[2]


def test_a_naive_time_is_refused() -> None:
    with pytest.raises(ValueError, match="no UTC offset"):
        decide(job(), datetime(2026, 3, 2, 22, 0), Outlook())  # noqa: DTZ001


def test_a_job_and_a_decision_of_an_earlier_version_can_still_be_read() -> None:
    newer = {"percentile", "percentile_window_s", "run_now_below_gco2eq_per_kwh", "jitter_s", "pausing", "progress"}
    old_job = {key: value for key, value in job().as_json().items() if key not in newer}
    assert Job.from_json(old_job) == job()
    decision = decide(job(), T0, Outlook(reading=reading(90.0)))
    added = {"expected_saving_percent", "expected_saving_interval_percent", "forecast_source", "segments"}
    old = {key: value for key, value in decision.as_json().items() if key not in added}
    assert Decision.from_json(old) == decision


def test_the_latest_start_leaves_the_duration_with_its_margin() -> None:
    assert job(duration_margin=0.5).latest_start == T0 + 7 * HOUR
    assert job(deadline=None).latest_start is None
    assert T0.tzinfo is UTC
