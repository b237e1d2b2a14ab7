"""A running job is looked at like a waiting one, and its progress is its share of the samples."""

from dataclasses import replace
from datetime import timedelta

import pytest

from include.config import load_config
from include.pipeline.pausing import PauseWatch, resumed
from include.pipeline.progress import Progress as Snapshot
from include.scheduler import Action, job_from_config, open_signal
from tests.support.two_tides import EXPECTED, NOON, two_tides


class At:
    """Policy time that a test sets; a poke interval passes in a tenth of a second."""

    def __init__(self, moment):
        self.moment = moment

    def now(self):
        return self.moment

    def seconds_until(self, moment):
        return max(0.0, (moment - self.moment).total_seconds() / 6000)


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
def watched(tmp_path):
    config = load_config(two_tides(tmp_path)).values
    job = job_from_config(config, job_id="nightly", submitted_at=NOON)
    clock, looks = At(NOON), []
    return job, clock, looks, PauseWatch(job, open_signal(config.grid), clock, on_look=looks.append)


def test_it_asks_for_a_pause_when_the_clean_stretch_is_over(watched):
    job, clock, looks, watch = watched
    clock.moment = NOON + timedelta(hours=1)
    watch.see(snapshot(0.4))
    with watch:
        assert watch.request.wait(10)
    decision = looks[-1].decision
    assert decision.action is Action.PAUSE
    assert decision.planned_start >= NOON.replace(hour=15, minute=30)
    paused = watch.paused()
    assert (paused.progress.done, paused.progress.running, paused.progress.pauses) == (0.4 * EXPECTED, False, 1)
    assert paused.remaining == 0.6 * EXPECTED
    assert job.progress is None


def test_it_lets_a_job_run_that_has_too_little_left_to_gain(watched):
    _, clock, looks, watch = watched
    clock.moment = NOON + timedelta(minutes=50)
    watch.see(snapshot(0.99))
    with watch:
        assert not watch.request.wait(2.5)
    assert [look.decision.action for look in looks] == [Action.RUN] * len(looks)
    assert looks


def test_progress_never_goes_back_and_pauses_are_counted_on(watched):
    _, _, _, watch = watched
    watch.see(snapshot(0.5))
    watch.see(snapshot(0.1))  # a child that has just begun reports from its checkpoint on
    again = PauseWatch(resumed(watch.paused()), None, None, on_look=print)
    assert again.paused().progress.pauses == 2
    assert again.paused().progress.done == 0.5 * EXPECTED
    assert replace(again.paused(), progress=None) == replace(watch.paused(), progress=None)
