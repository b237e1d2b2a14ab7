"""How one job is run: checks, slices, progress, and the plan of a single check."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lowtide.config.schema import PausingConfig
from lowtide.errors import LowtideError
from lowtide.grid.outlook import Outlook
from lowtide.grid.series import IntensityCurve, Prediction
from lowtide.scheduler.backtest.simulate import JobState, next_check, run_job
from lowtide.scheduler.job import Job
from lowtide.scheduler.types import Action, Decision, Reason

from benchmarks.captured_share import run_as_planned_at_submission
from tests.support.grid import HOUR, T0, job, reading

MINUTE = timedelta(minutes=1)
MINUTES = st.integers(1, 600).map(lambda count: count * MINUTE)


def seconds(time: datetime) -> float:
    return time.timestamp()


class Grid:
    """A sight on hourly values from T0 on; it remembers when it was checked."""

    def __init__(self, *values: float, later: tuple[float, ...] = ()) -> None:
        self.checks: list[datetime] = []
        self._curves = [self._curve(values), self._curve(later or values)]

    def __call__(self, now: datetime) -> Outlook:
        self.checks.append(now)
        curve = self._curves[now > T0]
        return Outlook(prediction=Prediction(curve=curve, source="test", issued_at=now))

    @staticmethod
    def _curve(values: tuple[float, ...]) -> IntensityCurve:
        return IntensityCurve([seconds(T0 + i * HOUR) for i in range(len(values) + 1)], values)


def planning(**changes: object) -> Job:
    wanted: dict[str, object] = {
        "policy": "window",
        "minimum_gain_percent": 0.0,
        "poke_interval": HOUR,
        "deadline": T0 + 8 * HOUR,
    }
    return job(**wanted | changes)


def test_a_waiting_job_checks_every_poke_interval_and_at_the_planned_start() -> None:
    grid = Grid(5, 5, 5, 1, 1, 5, 5, 5)
    assert run_job(planning(poke_interval=50 * MINUTE), grid) == ((seconds(T0 + 3 * HOUR), seconds(T0 + 5 * HOUR)),)
    assert grid.checks == [T0, T0 + 50 * MINUTE, T0 + 100 * MINUTE, T0 + 150 * MINUTE, T0 + 3 * HOUR]


def test_a_later_check_may_change_the_plan_but_not_for_a_job_that_decides_once() -> None:
    def view() -> Grid:
        return Grid(5, 5, 5, 1, 1, 5, 5, 5, later=(5, 5, 5, 5, 5, 5, 2, 2))

    assert run_job(planning(), view())[0][0] == seconds(T0 + 6 * HOUR)
    once = view()
    assert run_as_planned_at_submission(planning(), once)[0] == (
        seconds(T0 + 3 * HOUR),
        seconds(T0 + 5 * HOUR),
    )
    assert once.checks == [T0]


def test_deciding_once_without_a_plan_starts_when_it_must() -> None:
    waiting = planning(policy="threshold", threshold_gco2eq_per_kwh=100.0)
    dirty, clean = (lambda now, value=value: Outlook(reading=reading(value, now)) for value in (200.0, 90.0))
    assert run_as_planned_at_submission(waiting, dirty)[0][0] == seconds(T0 + 6 * HOUR)
    assert run_as_planned_at_submission(waiting, clean)[0][0] == seconds(T0)


LIMITS = PausingConfig(minimum_slice=30 * MINUTE, resume_time=6 * MINUTE, resume_energy=6 * MINUTE, maximum_pauses=3)


@pytest.mark.parametrize("run", [run_job, run_as_planned_at_submission])
def test_a_job_that_may_pause_runs_in_the_clean_hours_and_resumes_before_them(run: type) -> None:
    pausing = planning(policy="interruptible", pausing=LIMITS)
    first, second = run(pausing, Grid(9, 1, 9, 9, 1, 9, 9, 9))
    assert first == (seconds(T0 + HOUR), seconds(T0 + 2 * HOUR))
    assert second == (seconds(T0 + 4 * HOUR - 6 * MINUTE), seconds(T0 + 5 * HOUR))


def test_a_slice_that_ends_between_two_polls_is_ended_there() -> None:
    pausing = planning(policy="interruptible", pausing=LIMITS, submitted_at=T0 + 20 * MINUTE, deadline=T0 + 8 * HOUR)
    grid = Grid(9, 1, 9, 9, 1, 9, 9, 9)
    segments = run_job(pausing, grid)
    assert [end for _, end in segments] == [seconds(T0 + 2 * HOUR), seconds(T0 + 5 * HOUR)]


@pytest.mark.parametrize("run", [run_job, run_as_planned_at_submission])
@pytest.mark.parametrize("expected_h", [0.5, 1.5, 2.0, 3.0])
def test_the_whole_duration_is_worked_beside_the_resumes(run: type, expected_h: float) -> None:
    pausing = planning(policy="interruptible", pausing=LIMITS, expected_duration=expected_h * HOUR)
    segments = run(pausing, Grid(9, 1, 9, 9, 1, 9, 9, 9, 9, 9))
    worked = sum(end - start for start, end in segments) - 360.0 * (len(segments) - 1)
    assert worked == pytest.approx(expected_h * 3600.0)
    assert len(segments) == (2 if expected_h > 1 else 1)


@given(st.lists(st.tuples(MINUTES, MINUTES), min_size=1, max_size=8), MINUTES, st.integers(0, 30))
def test_work_is_what_ran_less_the_resumes(
    slices: list[tuple[timedelta, timedelta]], real: timedelta, resume: int
) -> None:
    limits = PausingConfig(resume_time=resume * MINUTE)
    state, now = JobState(job(pausing=limits, expected_duration=real)), T0
    for run, pause in slices:
        if state.is_over:
            break
        until = now + run
        stopped = state.run_until(now, until)
        assert stopped <= until
        progress = state.job_at(stopped).progress
        assert progress is not None
        assert progress.running == (not state.is_over)
        state.stop(stopped)
        paused = state.job_at(stopped).progress
        assert paused is not None
        assert paused.done >= progress.done
        assert paused.pauses == len(state.segments)
        now = stopped + pause
    lost = [min(end - start, resume * 60.0) for start, end in state.segments[1:]]
    ran = sum(end - start for start, end in state.segments) - sum(lost)
    assert ran == pytest.approx(min(ran, real.total_seconds()))
    assert state.is_over == (ran >= real.total_seconds() - 1e-6)


def test_a_job_that_has_not_begun_has_no_progress() -> None:
    assert JobState(job()).job_at(T0).progress is None


def test_a_wait_that_would_never_end_is_refused() -> None:
    stuck = Decision(
        action=Action.WAIT, reason=Reason.ABOVE_THRESHOLD, decided_at=T0, until=T0, text="waiting", reading=None,
        threshold_gco2eq_per_kwh=None, deadline=None, latest_start=None, steps=(),
    )  # fmt: skip
    with pytest.raises(LowtideError, match="later check"):
        next_check(stuck)
