"""Many jobs, one curve: starts are spread evenly, the same in every process, and none comes too late."""

from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lowtide.grid.outlook import Outlook
from lowtide.scheduler.decision import decide
from lowtide.scheduler.job import Job
from lowtide.scheduler.policies import delayed, fraction
from lowtide.scheduler.types import Action, Reason

from tests.support.grid import HOUR, T0, job, prediction, reading
from tests.support.walking import started

MINUTE = timedelta(minutes=1)
IDS = [f"nightly/scheduled__2026-03-{day:02d}T22:00:00+00:00/{team}" for day in range(1, 26) for team in range(40)]
VALUES = [300.0] * 4 + [100.0] * 3 + [300.0] * 40


def jobs(count: int, **changes: object) -> list[Job]:
    spread = {"policy": "window", "jitter": HOUR, "minimum_gain_percent": 0.0, "poke_interval": 10 * MINUTE} | changes
    return [job(job_id=IDS[i * len(IDS) // count], **spread) for i in range(count)]


def hourly(now: datetime) -> Outlook:
    """What is seen from an hour: a curve that begins with the hour that holds now."""
    passed = int((now - T0) / HOUR)
    reading_now = reading(VALUES[passed], T0 + passed * HOUR)
    return Outlook(reading=reading_now, prediction=prediction(VALUES[passed:], start=T0 + passed * HOUR))


def remembered(now: datetime) -> Outlook:
    """The same with a curve that began long before now."""
    return replace(hourly(now), prediction=prediction([300.0] * 9 + VALUES, start=T0 - 9 * HOUR, issued_at=now))


def test_a_thousand_jobs_are_spread_evenly() -> None:
    tenths = Counter(int(fraction(job_id) * 10) for job_id in IDS)
    assert len(tenths) == 10
    assert all(70 <= count <= 130 for count in tenths.values())  # 100 each, +- three standard deviations of 9.5
    assert fraction("nightly") == pytest.approx(0.9599, abs=1e-4)  # the same in every process, unlike hash()


@pytest.mark.parametrize("outlook_at", [hourly, remembered])
def test_jobs_that_see_one_curve_start_over_the_whole_jitter(outlook_at: object) -> None:
    starts = sorted(started(waiting, outlook_at) for waiting in jobs(60))  # type: ignore[arg-type]
    assert T0 + 4 * HOUR <= starts[0] < starts[-1] < T0 + 5 * HOUR
    quarters = Counter(int((start - T0) / (15 * MINUTE)) for start in starts)
    assert set(quarters) == {16, 17, 18, 19}
    assert min(quarters.values()) >= 6


def test_with_a_curve_that_began_before_now_the_jitter_may_be_longer_than_its_steps() -> None:
    starts = sorted(started(waiting, remembered) for waiting in jobs(60, jitter=2 * HOUR, expected_duration=HOUR))
    assert starts[-1] - starts[0] > 1.7 * HOUR
    assert starts[0] >= T0 + 4 * HOUR
    assert starts[-1] < T0 + 6 * HOUR


@pytest.mark.parametrize("policy", ["threshold", "interruptible"])
def test_the_other_policies_are_spread_as_well(policy: str) -> None:
    starts = [started(waiting, hourly) for waiting in jobs(40, policy=policy)]
    assert min(starts) >= T0 + 4 * HOUR
    assert max(starts) < T0 + 5 * HOUR
    assert len(set(starts)) >= 39


def test_a_start_below_the_limit_for_starting_at_once_is_spread_too() -> None:
    waiting = jobs(1, run_now_below_gco2eq_per_kwh=400.0)[0]
    decision = decide(waiting, T0, hourly(T0))
    assert (decision.action, decision.reason) == (Action.WAIT, Reason.JITTER)
    assert decision.planned_start is not None
    assert abs(decision.planned_start - (T0 + fraction(waiting.job_id) * HOUR)) < timedelta(milliseconds=1)
    assert "starts are spread over time" in decision.text
    assert started(waiting, hourly) == decision.planned_start


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(0, 30).map(lambda v: 10.0 * v), min_size=24, max_size=24),
    st.sampled_from(["threshold", "window", "interruptible"]),
    st.sampled_from(IDS),
    st.integers(1, 600),
    st.integers(0, 300),
)
def test_jitter_never_passes_the_latest_start(
    values: list[float], policy: str, job_id: str, jitter: int, slack: int
) -> None:
    def outlook_at(now: datetime) -> Outlook:
        passed = int((now - T0) / HOUR)
        begin = T0 + passed * HOUR
        return Outlook(reading=reading(values[passed], begin), prediction=prediction(values[passed:], start=begin))

    waiting = job(job_id=job_id, policy=policy, jitter=jitter * MINUTE, deadline=T0 + 2 * HOUR + slack * MINUTE)
    assert T0 <= started(waiting, outlook_at) <= T0 + slack * MINUTE


@pytest.mark.parametrize("by_s", [600.0, 5000.0])
def test_a_delayed_curve_says_later_what_the_curve_says(by_s: float) -> None:
    seen = prediction([100.0, 200.0, 300.0]).curve
    later, begin = delayed(seen, by_s), seen.start_s
    assert later.start_s <= begin
    assert {later.value_at(begin + s) for s in (0.0, by_s, by_s + 3599)} == {100.0}
    assert [later.value_at(begin + by_s + s) for s in (3601, 7199, 7201, 10799)] == [200.0, 200.0, 300.0, 300.0]
    assert (later.step_s is not None) == (by_s <= 3600)
