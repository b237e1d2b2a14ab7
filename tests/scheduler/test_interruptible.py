"""Jobs that may pause: what is decided while they wait, run and are paused, and that they end in time."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lowtide.config.schema import PausingConfig
from lowtide.grid.outlook import Outlook
from lowtide.grid.series import IntensityCurve, Prediction
from lowtide.scheduler.decision import decide
from lowtide.scheduler.job import Job, Progress
from lowtide.scheduler.types import Action, Reason

from tests.support.grid import HOUR, T0, curve, job, prediction, reading
from tests.support.walking import walked

MINUTE = timedelta(minutes=1)
NO_COST = PausingConfig(minimum_slice=15 * MINUTE, resume_time=timedelta(0), resume_energy=timedelta(0))
VALLEYS = [300.0] * 2 + [100.0] * 2 + [300.0] * 4 + [100.0] * 2 + [300.0] * 20
CURVES = st.lists(st.integers(1, 30).map(lambda v: 10.0 * v), min_size=40, max_size=40)
LIMITS = st.builds(
    PausingConfig,
    minimum_slice=st.sampled_from([timedelta(0), 30 * MINUTE, HOUR]),
    resume_time=st.sampled_from([timedelta(0), 5 * MINUTE, 20 * MINUTE]),
    resume_energy=st.sampled_from([timedelta(0), 5 * MINUTE]),
    maximum_pauses=st.integers(0, 4),
)


def pausing(**changes: Any) -> Job:
    values = {"policy": "interruptible", "expected_duration": 4 * HOUR, "deadline": T0 + 14 * HOUR, "pausing": NO_COST}
    return job(**values | {"minimum_gain_percent": 0.0} | changes)


def under_way(done: timedelta, *, running: bool, pauses: int = 0, **changes: Any) -> Job:
    return pausing(progress=Progress(done=done, running=running, pauses=pauses), **changes)


SEEN = Outlook(prediction=prediction(VALLEYS))


def test_it_runs_in_both_valleys_and_pauses_between_them() -> None:
    plan = ((T0 + 2 * HOUR, T0 + 4 * HOUR), (T0 + 8 * HOUR, T0 + 10 * HOUR))
    before = decide(pausing(), T0, SEEN)
    assert (before.action, before.planned_start, before.segments) == (Action.WAIT, plan[0][0], plan)
    assert before.expected_saving_percent == pytest.approx(50.0)  # 100 g/kWh against 200 from now on
    assert decide(pausing(), T0 + 2 * HOUR, SEEN).action is Action.RUN
    on = decide(under_way(HOUR, running=True), T0 + 3 * HOUR, SEEN)
    assert (on.action, on.until) == (Action.RUN, None)
    assert on.segments == ((T0 + 3 * HOUR, T0 + 4 * HOUR), plan[1])
    pause = decide(under_way(2 * HOUR, running=True), T0 + 4 * HOUR, SEEN)
    assert (pause.action, pause.planned_start) == (Action.PAUSE, T0 + 8 * HOUR)
    assert pause.until == T0 + 4 * HOUR + 5 * MINUTE
    assert "resuming at 2026-03-03 06:00 UTC in one piece emits 67 % less than running on from now" in pause.text
    paused = decide(under_way(2 * HOUR, running=False, pauses=1), T0 + 7 * HOUR, SEEN)
    assert (paused.action, paused.planned_start) == (Action.WAIT, T0 + 8 * HOUR)
    resumed = decide(under_way(2 * HOUR, running=False, pauses=1), T0 + 8 * HOUR, SEEN)
    assert (resumed.action, resumed.segments) == (Action.RUN, (plan[1],))
    ran = walked(pausing(), lambda _: SEEN)
    assert ran.segments == list(plan)


def test_a_resume_begins_before_the_clean_hour_by_the_time_it_takes() -> None:
    costly = NO_COST.model_copy(update={"resume_time": 10 * MINUTE, "resume_energy": 10 * MINUTE})
    pause = decide(under_way(2 * HOUR, running=True, pausing=costly), T0 + 4 * HOUR, SEEN)
    assert (pause.action, pause.planned_start) == (Action.PAUSE, T0 + 8 * HOUR - 10 * MINUTE)
    assert pause.segments[-1][1] == T0 + 10 * HOUR
    assert walked(pausing(pausing=costly), lambda _: SEEN).end == T0 + 10 * HOUR


def test_a_pause_that_costs_more_than_it_saves_or_is_not_allowed_is_not_made() -> None:
    dear = NO_COST.model_copy(update={"resume_energy": 5 * HOUR})
    for limits in (
        dear,
        NO_COST.model_copy(update={"maximum_pauses": 0}),
        NO_COST.model_copy(update={"minimum_slice": 3 * HOUR}),
    ):
        ran = walked(pausing(pausing=limits), lambda _: SEEN)
        assert (ran.pauses, len(ran.segments)) == (0, 1)
    used_up = under_way(2 * HOUR, running=True, pauses=10)
    assert decide(used_up, T0 + 4 * HOUR, SEEN).action is Action.RUN


def test_a_gain_below_the_minimum_is_worth_no_pause() -> None:
    shallow = Outlook(prediction=prediction([103.0] * 2 + [100.0] * 2 + [103.0] * 4 + [100.0] * 30))
    running = under_way(2 * HOUR, running=True, minimum_gain_percent=0.0)
    assert decide(running, T0 + 4 * HOUR, shallow).action is Action.PAUSE
    assert decide(replace(running, minimum_gain_percent=5.0), T0 + 4 * HOUR, shallow).action is Action.RUN


@settings(max_examples=40, deadline=None)
@given(st.data(), LIMITS, st.integers(0, 20), st.integers(60, 600), st.integers(0, 900), st.integers(5, 90))
def test_it_never_ends_past_the_deadline_whatever_the_forecasts_say(
    data: st.DataObject, limits: PausingConfig, margin: int, minutes: int, slack: int, poke: int
) -> None:
    duration = minutes * MINUTE
    deadline = T0 + duration * (1 + margin / 100) + slack * MINUTE
    waiting = pausing(
        pausing=limits,
        duration_margin=margin / 100,
        expected_duration=duration,
        deadline=deadline,
        poke_interval=poke * MINUTE,
    )
    seeds: dict[datetime, Outlook] = {}

    def look(now: datetime) -> Outlook:  # another forecast every six hours, drawn once
        begin = T0 + int((now - T0) / (6 * HOUR)) * 6 * HOUR
        if begin not in seeds:
            seeds[begin] = Outlook(prediction=prediction(data.draw(CURVES), start=begin))
        return seeds[begin]

    ran = walked(waiting, look)
    assert ran.start >= T0
    assert ran.end <= deadline
    assert ran.pauses <= limits.maximum_pauses
    error = data.draw(st.integers(1, 300)) * MINUTE
    assert walked(waiting, look, duration + error).end <= deadline + error


@settings(max_examples=40, deadline=None)
@given(CURVES, LIMITS, st.integers(1, 8), st.integers(0, 20), st.integers(1, 6))
def test_more_slack_never_raises_the_expected_cost_and_pausing_never_that_of_one_block(
    values: list[float], limits: PausingConfig, hours: int, slack: int, more: int
) -> None:
    outlook, costs = Outlook(prediction=prediction(values)), []
    for s in (slack, slack + more):
        waiting = pausing(pausing=limits, expected_duration=hours * HOUR, deadline=T0 + (hours + s) * HOUR)
        costs.append(decide(waiting, T0, outlook).expected_saving_percent)
    whole = decide(replace(waiting, policy="window"), T0, outlook).expected_saving_percent
    assert None not in (*costs, whole)
    assert costs[0] <= costs[1] + 1e-3  # type: ignore[operator]
    assert whole <= costs[1] + 1e-3  # type: ignore[operator]


@settings(max_examples=25, deadline=None)
@given(CURVES, LIMITS, st.integers(1, 7), st.integers(0, 20), st.sampled_from([7, 20, 53, 180]))
def test_looking_more_often_does_not_change_the_start(
    values: list[float], limits: PausingConfig, hours: int, slack: int, often: int
) -> None:
    outlook = Outlook(prediction=prediction(values))
    waiting = pausing(pausing=limits, expected_duration=hours * HOUR, deadline=T0 + (hours + slack) * HOUR)
    starts = set()
    for interval in (often * MINUTE, timedelta(days=9)):
        now, looking = T0, replace(waiting, poke_interval=interval)
        while (decision := decide(looking, now, outlook)).action is Action.WAIT:
            assert decision.until is not None
            now = decision.until
        starts.add(now)
    assert len(starts) == 1


CONTRADICTED = replace(SEEN, reading=reading(20.0, length=24 * HOUR))


@pytest.mark.parametrize(
    ("outlook", "told"),
    [
        (Outlook(shape=curve([300.0] * 2 + [100.0] * 30)), "no pauses are planned, since no forecast for GB"),
        (CONTRADICTED, "since the forecast of neso contradicts the grid: it says 300 g/kWh for now, the reading 20"),
        (Outlook(prediction=prediction(VALLEYS[:2])), "the forecast of neso does not cover a run that starts now"),
    ],
)
def test_who_cannot_see_behaves_as_window_does_and_says_what_is_missing(outlook: Outlook, told: str) -> None:
    decision, whole = (decide(pausing(policy=policy), T0, outlook) for policy in ("interruptible", "window"))
    assert told in decision.text
    assert (decision.action, decision.planned_start) == (whole.action, whole.planned_start)
    assert len(decision.segments) <= 1
    running = decide(under_way(HOUR, running=True), T0, outlook)
    assert (running.action, running.reason) == (Action.RUN, Reason.IN_PROGRESS)


def test_a_job_that_takes_longer_than_expected_or_has_no_time_left_runs_on() -> None:
    longer = decide(under_way(5 * HOUR, running=True), T0 + 4 * HOUR, SEEN)
    assert (longer.action, longer.reason) == (Action.RUN, Reason.IN_PROGRESS)
    late = under_way(HOUR, running=True, on_latest_start="fail")
    assert late.latest_start == T0 + 11 * HOUR
    assert decide(late, T0 + 12 * HOUR, SEEN).reason is Reason.DEADLINE
    paused = under_way(HOUR, running=False, pausing=NO_COST.model_copy(update={"resume_time": 20 * MINUTE}))
    assert paused.latest_start == T0 + 11 * HOUR - 20 * MINUTE


@pytest.mark.parametrize("policy", ["threshold", "percentile", "window"])
def test_the_other_policies_never_pause_what_has_begun(policy: str) -> None:
    running = decide(under_way(HOUR, running=True, policy=policy), T0 + 4 * HOUR, SEEN)
    assert (running.action, running.reason) == (Action.RUN, Reason.IN_PROGRESS)


def test_a_clean_reading_resumes_at_once() -> None:
    paused = under_way(HOUR, running=False, pauses=1, run_now_below_gco2eq_per_kwh=50.0)
    assert decide(paused, T0 + 5 * HOUR, replace(SEEN, reading=reading(49.0, T0 + 5 * HOUR))).action is Action.RUN


@given(
    share=st.floats(0.0, 1.2),
    pauses=st.integers(0, 12),
    values=st.lists(st.floats(1.0, 900.0), min_size=12, max_size=12),
    below=st.none() | st.floats(1.0, 900.0),
    jitter_min=st.integers(0, 50),
)
def test_a_running_job_runs_or_pauses_and_never_waits(share, pauses, values, below, jitter_min):
    edges = [(T0 + i * HOUR).timestamp() for i in range(13)]
    seen = Outlook(
        reading=reading(values[0]),
        prediction=Prediction(curve=IntensityCurve(edges, values), source="neso", issued_at=T0),
    )
    running = job(
        policy="interruptible",
        expected_duration=4 * HOUR,
        run_now_below_gco2eq_per_kwh=below,
        jitter=timedelta(minutes=jitter_min),
        pausing=PausingConfig(maximum_pauses=5),
        progress=Progress(done=share * 4 * HOUR, running=True, pauses=pauses),
    )
    decision = decide(running, T0 + timedelta(minutes=7), seen)
    assert decision.action in (Action.RUN, Action.PAUSE)
    if pauses >= 5:
        assert decision.action is Action.RUN


def test_a_plan_that_ends_with_a_forecast_delayed_by_jitter_is_not_refused_for_a_rounding_error() -> None:
    waiting = job(
        policy="interruptible", deadline=T0 + 30 * HOUR, expected_duration=HOUR, minimum_gain_percent=0.0,
        poke_interval=10 * MINUTE, jitter=timedelta(seconds=1), pausing=PausingConfig(minimum_slice=timedelta(seconds=1), maximum_pauses=1),
    )  # fmt: skip
    outlook = Outlook(prediction=prediction([0.0, 1.0, 0.0], start=T0, step=30 * MINUTE))
    assert decide(waiting, T0 + timedelta(seconds=0.959901), outlook).action in (Action.RUN, Action.WAIT)
