"""What a person who unpauses a DAG gets, and who may use the GPU while a training pauses; with a real scheduler."""

import time
from datetime import UTC, datetime, timedelta

import pytest
from lowtide.timeutil import parse_time

from tests.e2e.conftest import RunningAirflow

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600), pytest.mark.filterwarnings("default")]

SHIPPED = ["baseline_training", "carbon_aware_retraining", "grid_history"]
TRAINING, OTHER, CAUGHT_UP = "pausing_training", "next_in_line", "with_start_date"


def test_unpausing_the_shipped_dags_starts_none_of_them_at_once(airflow: RunningAirflow) -> None:
    unpaused_at = datetime.now(UTC)
    for dag_id in [*SHIPPED, CAUGHT_UP]:
        airflow.set_paused(dag_id, False)
    # the scheduler takes all DAGs that are due at once: with this one, it has taken the others
    give_up = time.monotonic() + 60
    while not airflow.runs(CAUGHT_UP):
        assert time.monotonic() < give_up, "the scheduler caught up no run at all"
        time.sleep(0.5)
    runs = [run for dag_id in SHIPPED for run in airflow.runs(dag_id)]
    for dag_id in SHIPPED:
        airflow.set_paused(dag_id, True)
    # one whose time comes during this test, or came in the minutes before it, is as it should be
    assert [run for run in runs if parse_time(run["run_after"]) < unpaused_at - timedelta(minutes=6)] == []


def test_the_slot_of_a_paused_training_is_free_for_another(airflow: RunningAirflow) -> None:
    for dag_id in (TRAINING, OTHER):
        airflow.set_paused(dag_id, False)
    airflow.trigger(TRAINING, "paused", {})
    airflow.wait_for(TRAINING, "paused", "train", "running")
    assert slots(airflow) == {"running": 1, "deferred": 0, "open": 0}
    airflow.wait_for(TRAINING, "paused", "train", "deferred")
    assert slots(airflow) == {"running": 0, "deferred": 1, "open": 1}

    airflow.trigger(OTHER, "meanwhile", {})
    airflow.wait_for(OTHER, "meanwhile", "work", "success", timeout_s=60)
    assert airflow.tasks(TRAINING, "paused")["train"]["state"] == "deferred"

    resumed = airflow.wait_for(TRAINING, "paused", "train", "success")
    assert resumed["try_number"] == 1, "a pause must not cost a try"
    assert len(airflow.xcom(TRAINING, "paused", "train")["interruptions"]) == 1


def slots(airflow: RunningAirflow) -> dict[str, int]:
    pool = airflow.call("GET", "pools/gpu")
    return {name: pool[f"{name}_slots"] for name in ("running", "deferred", "open")}
