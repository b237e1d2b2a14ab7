"""A running job is looked at like a waiting one, and its progress is its share of the samples."""

from dataclasses import replace
from datetime import timedelta

import pytest
from lowtide.config.loader import load_config
from lowtide.errors import ArtifactError
from lowtide.grid.factory import open_signal
from lowtide.runs.pausing import PauseWatch, after_pause
from lowtide.runs.run import Progress as Snapshot
from lowtide.runs.run import SignalRefresher
from lowtide.scheduler.job import Progress, job_from_config
from lowtide.scheduler.types import Action

from tests.support.two_tides import EXPECTED, NOON, two_tides


class At:
    """Policy time that a test sets."""

    def __init__(self, time):
        self.time = time

    def now(self):
        return self.time

    def seconds_until(self, time):
        return (time - self.time).total_seconds()


def snapshot(share):
    return Snapshot(
        phase="train",
        epoch=1,
        epochs=1,
        samples=round(1000 * share),
        samples_total=1000,
        samples_per_s=10.0,
        loss=None,
        power_w=0.0,
        energy_kwh=0.0,
        emissions_gco2eq=0.0,
        carbon_intensity_gco2eq_per_kwh=None,
    )


@pytest.fixture
def grid(tmp_path):
    return load_config(two_tides(tmp_path)).values.grid


@pytest.fixture
def watched(tmp_path):
    config = load_config(two_tides(tmp_path)).values
    job = job_from_config(config, job_id="nightly", submitted_at=NOON)
    clock, looks = At(NOON), []
    return job, clock, looks, PauseWatch(job, open_signal(config.grid), clock, on_decision=looks.append)


def test_it_asks_for_a_pause_when_the_clean_stretch_is_over(watched):
    job, clock, looks, watch = watched
    watch.see(snapshot(0.001))
    clock.time = NOON + timedelta(hours=1)
    watch.see(snapshot(0.401))
    watch.check()
    assert watch.request.is_set()
    decision = looks[-1].decision
    assert decision.action is Action.PAUSE
    assert decision.planned_start >= NOON.replace(hour=15, minute=30)
    paused = watch.paused()
    assert (paused.progress.running, paused.progress.pauses) == (False, 1)
    assert paused.progress.done == pytest.approx(0.401 * EXPECTED, abs=timedelta(seconds=1))
    assert paused.remaining == pytest.approx(0.599 * EXPECTED, abs=timedelta(seconds=1))
    assert job.progress is None


def test_it_lets_a_job_run_that_has_too_little_left_to_gain(watched):
    _, clock, looks, watch = watched
    clock.time = NOON + timedelta(minutes=50)
    watch.see(snapshot(0.99))
    watch.check()
    assert not watch.request.is_set()
    assert [look.decision.action for look in looks] == [Action.RUN]


def test_a_training_slower_than_expected_is_not_paused_past_its_deadline(watched):
    """After two hours a fifth is done: what is left takes eight hours, and the deadline is ten away."""
    _, clock, looks, watch = watched
    watch.see(snapshot(0.001))
    clock.time = NOON + timedelta(hours=2)
    watch.see(snapshot(0.201))
    paused = watch.paused()
    assert paused.expected_duration == timedelta(hours=10)
    assert paused.remaining == pytest.approx(timedelta(hours=7.99), abs=timedelta(minutes=1))
    watch.check()
    assert not watch.request.is_set()
    assert [look.decision.action for look in looks] == [Action.RUN]


def test_a_pause_that_was_asked_for_is_not_asked_for_again(watched):
    _, clock, looks, watch = watched
    watch.see(snapshot(0.001))
    clock.time = NOON + timedelta(hours=1)
    watch.see(snapshot(0.401))
    watch.check()
    clock.time = NOON + timedelta(hours=2)
    watch.check()
    assert len(looks) == 1


def test_a_check_that_cannot_be_kept_does_not_end_the_watch(tmp_path, caplog):
    config = load_config(two_tides(tmp_path)).values
    job = job_from_config(config, job_id="nightly", submitted_at=NOON)
    kept = []

    def keep(looked):
        kept.append(looked)
        if len(kept) == 1:
            raise ArtifactError("the disk is full")

    clock = At(NOON)
    signal = open_signal(config.grid)
    watch = PauseWatch(job, signal, clock, on_decision=keep)
    watch.see(snapshot(0.001))
    clock.time = NOON + timedelta(hours=1)
    watch.see(snapshot(0.401))
    with SignalRefresher(signal, clock, interval_s=1.0, check=watch.check):
        assert watch.request.wait(10)
    assert len(kept) >= 2
    assert "the disk is full" in caplog.text


def test_a_check_knows_how_often_the_job_has_paused_and_how_long_its_slice_is(watched, grid):
    """Else the limits of pauses and of slices would never bind: no pause but the last one, no slice but a long one."""
    job, clock, looks, _ = watched
    twice = replace(job, progress=Progress(done=EXPECTED / 10, running=True, pauses=2))
    watch = PauseWatch(twice, open_signal(grid), clock, on_decision=looks.append)
    watch.see(snapshot(0.1))
    clock.time = NOON + timedelta(minutes=15)
    watch.see(snapshot(0.2))
    watch.check()
    assert looks[-1].job.progress == Progress(done=0.2 * EXPECTED, running=True, pauses=2, slice_done=0.1 * EXPECTED)


def test_a_slice_shorter_than_the_least_and_a_job_out_of_pauses_run_on(watched, grid):
    """Both where the very same look would else pause."""
    job, clock, looks, _ = watched

    def action(progress, shares):
        watch = PauseWatch(replace(job, progress=progress), open_signal(grid), clock, on_decision=looks.append)
        for share in shares:
            watch.see(snapshot(share))
        watch.check()
        return looks[-1].decision.action

    clock.time = NOON + timedelta(hours=1)  # the clean stretch is over
    begun = Progress(done=EXPECTED * 0.1, running=True, pauses=0)
    assert action(begun, (0.1, 0.4)) is Action.PAUSE
    assert action(begun, (0.1, 0.15)) is Action.RUN  # 7.5 minutes of 30
    limit = job.limits.maximum_pauses
    assert action(replace(begun, pauses=limit), (0.1, 0.4)) is Action.RUN
    assert action(replace(begun, pauses=limit - 1), (0.1, 0.4)) is Action.PAUSE


def test_pauses_are_counted_on_and_a_training_that_starts_over_is_not_taken_for_done(watched):
    _, clock, _, watch = watched
    watch.see(snapshot(0.5))
    again = PauseWatch(after_pause(watch.paused()), None, clock, on_decision=print)
    assert again.paused().progress.pauses == 2
    assert again.paused().progress.done == 0.5 * EXPECTED
    assert replace(again.paused(), progress=None) == replace(watch.paused(), progress=None)
    again.see(snapshot(0.1))
    assert again.paused().progress.done == 0.1 * EXPECTED
