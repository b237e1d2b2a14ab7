"""What a retry, a resumed pause and a cleared task know of a training's pauses."""

import json
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from lowtide.config.loader import load_config
from lowtide.runs.folder import RunFolder
from lowtide.runs.pausing import PauseWatch
from lowtide.scheduler.job import Progress, job_from_config

from tests.support.state_store import Store
from tests.support.two_tides import EXPECTED, NOON, two_tides

pytestmark = pytest.mark.airflow


@pytest.fixture
def job(tmp_path):
    return job_from_config(load_config(two_tides(tmp_path)).values, job_id="nightly", submitted_at=NOON)


def state_of(store, training_id="t"):
    from lowtide.airflow.context import TRAINING_KEY, TrainingState

    store[TRAINING_KEY] = {"training_id": training_id}
    context = {
        "task_state_store": store,
        "ti": SimpleNamespace(try_number=2, max_tries=2),
        "task": SimpleNamespace(retries=2),
        "params": {},
    }
    return TrainingState(context, RunFolder(Path("run")))


def paused(job):
    """The job as the watch leaves it after its first pause, slower than expected."""
    watch = PauseWatch(job, None, SimpleNamespace(now=lambda: NOON + timedelta(hours=1)), on_decision=print)
    left = watch.paused()
    return type(job).from_json(left.as_json() | {"expected_duration_s": 2 * EXPECTED.total_seconds()})


def test_a_job_that_never_paused_begins_as_it_is(job):
    assert state_of(Store()).resumed(job) is job


def test_whoever_comes_after_a_pause_counts_on(job):
    """A task that is resumed, and a retry of it, which knows nothing but the store."""
    store = Store()
    state_of(store).paused(paused(job))
    assert json.loads(json.dumps(store)) == store  # what the API takes
    for _ in range(2):
        begun = state_of(store).resumed(job)
        assert begun.progress == Progress(done=timedelta(0), running=True, pauses=1)
        assert begun.expected_duration == 2 * EXPECTED
        assert (begun.deadline, begun.submitted_at) == (job.deadline, job.submitted_at)
    state_of(store).paused(paused(begun))
    assert state_of(store).resumed(job).progress.pauses == 2


def test_pauses_of_another_training_and_of_one_that_is_over_are_not_counted(job):
    store = Store()
    state_of(store).paused(paused(job))
    assert state_of(store, "another").resumed(job) is job  # a cleared run with fresh
    state_of(store).completed()
    assert state_of(store).resumed(job) is job
