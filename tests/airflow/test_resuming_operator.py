"""A retried or cleared ``train`` resumes from its own run's checkpoint, and from no other's."""

import json
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from lowtide.config.loader import PROJECT_ROOT
from lowtide.runs.folder import RunFolder
from lowtide.trainer.mnist import ensure_mnist

from tests.support.config_files import write_config
from tests.support.state_store import Store, stored_state

pytestmark = pytest.mark.airflow

LONG = {
    "grid__replay": {"virtual_start": "2025-04-15T11:00", "speed": 60.0},
    "training__model": {"path": "lowtide.trainer.models:mlp"},
    "training__epochs": 60,
    "training__checkpoint_steps": 30,
}
STEPS = 600


@pytest.fixture(scope="module", autouse=True)
def mnist():
    ensure_mnist(PROJECT_ROOT / ".data", report=print)


def test_a_retry_resumes_from_the_last_checkpoint_of_its_run(run_probe, tmp_path):
    outcome = run_probe("killed_once", file=write_config(tmp_path, **LONG), fresh=True)  # a retry is no clearing
    record = outcome.xcoms["train"]
    assert outcome.state == "success"
    assert record["attempts"] == 2
    assert record["optimizer_steps"] == STEPS
    (gap,) = record["interruptions"]
    assert gap["resumed_from_optimizer_step"] >= 30
    pointer = stored_state(outcome.run_id)["lowtide_training"]
    assert pointer["optimizer_step"] == STEPS
    assert (Path(pointer["folder"]) / pointer["checkpoint"]).exists()


def test_a_run_that_was_deleted_and_made_again_under_its_id_starts_a_new_training(probe_dags, tmp_path):
    """The folder still holds the deleted run's checkpoint; the state store, which belongs to the new run, knows nothing."""
    dag = probe_dags.dags["killed"]
    conf = {**dict.fromkeys(dag.params), "file": str(write_config(tmp_path, **LONG))}
    due = datetime(2026, 3, 1, tzinfo=UTC)
    first = dag.test(run_conf=conf, run_after=due, logical_date=due)
    assert str(first.state) == "failed"
    (identity,) = (tmp_path / "artifacts").rglob("identity.json")
    lost = json.loads(identity.read_text())["training_id"]
    again = dag.test(run_conf=conf, run_after=due, logical_date=due)
    assert again.run_id == first.run_id
    assert json.loads(identity.read_text())["training_id"] != lost
    assert json.loads((identity.parent / "other-1" / "identity.json").read_text())["training_id"] == lost
    assert list((identity.parent / "other-1" / "checkpoints").glob("*.pt"))


def state_of(store, *, try_number, max_tries, fresh, retries=2):
    from lowtide.airflow.context import TrainingState

    context = {
        "task_state_store": store,
        "ti": SimpleNamespace(try_number=try_number, max_tries=max_tries),
        "task": SimpleNamespace(retries=retries),
        "params": {"fresh": fresh},
    }
    return TrainingState(context, RunFolder(Path("run")))


@pytest.mark.parametrize("fresh", [False, True])
def test_clearing_resumes_unless_the_run_has_fresh(fresh):
    store = Store()
    first = state_of(store, try_number=1, max_tries=2, fresh=fresh)
    first.move({"checkpoint": "checkpoint-000001.json", "optimizer_step": 50})
    assert state_of(store, try_number=2, max_tries=2, fresh=fresh).training_id == first.training_id  # a retry

    cleared = state_of(store, try_number=4, max_tries=5, fresh=fresh)
    assert (cleared.training_id == first.training_id) is not fresh
    assert store["lowtide_training"]["optimizer_step"] == (None if fresh else 50)
    # a retry after the clearing resumes what the clearing started
    assert state_of(store, try_number=5, max_tries=5, fresh=fresh).training_id == cleared.training_id


def test_an_unavailable_store_does_not_end_the_training(caplog):
    class Unavailable(Store):
        def set(self, key, value):
            if self.get("unavailable"):
                raise RuntimeError("the API server does not answer")
            super().__setitem__(key, value)

    store = Unavailable()
    state = state_of(store, try_number=1, max_tries=2, fresh=False)
    store["unavailable"] = True
    state.move({"checkpoint": "checkpoint-000001.json", "optimizer_step": 50})
    assert "the API server does not answer" in caplog.text
