"""What a person who unpauses a DAG gets, and who may use the GPU while a training pauses; with a real scheduler."""

import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from lowtide.config.loader import PROJECT_ROOT
from lowtide.timeutil import parse_moment
from lowtide.trainer.mnist import ensure_mnist

from local.api import AirflowApi
from tests.e2e.instances import airflow_in, wait_for
from tests.support.two_tides import NOON, two_tides

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600), pytest.mark.filterwarnings("default")]

SHIPPED = ["baseline_training", "carbon_aware_retraining", "grid_history"]
TRAINING, OTHER, MADE_UP_FOR = "pausing_training", "next_in_line", "with_start_date"
ONE_PM = NOON + timedelta(hours=1)
SPEED = 450
"""An hour of the grid passes in eight seconds: it is dirty for forty."""


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AirflowApi]:
    ensure_mnist(PROJECT_ROOT / ".data", report=print)
    folder = tmp_path_factory.mktemp("scheduled")
    dags = folder / "dags"
    replay = {"trace": str(dags / "GB_2031.csv"), "virtual_start": ONE_PM.isoformat(), "speed": SPEED}
    two_tides(dags, clean_hours=range(18, 24), grid__replay=replay)
    for file in [*(PROJECT_ROOT / "dags").glob("*.py"), Path(__file__).with_name("pool_dags.py")]:
        shutil.copy(file, dags)
    with airflow_in(folder, dags, [*SHIPPED, TRAINING, OTHER, MADE_UP_FOR], scheduled=True) as (_, running):
        yield running


def runs_of(api: AirflowApi, dag_id: str) -> list[dict[str, Any]]:
    return list(api._json("GET", f"dags/{dag_id}/dagRuns?limit=10")["dag_runs"])


def test_unpausing_the_shipped_dags_starts_none_of_them_at_once(api: AirflowApi) -> None:
    unpaused_at = datetime.now(UTC)
    for dag_id in [*SHIPPED, MADE_UP_FOR]:
        api.set_paused(dag_id, False)
    # the scheduler looks at all DAGs that are due at once: when it has been at this one, it has been at the others
    give_up = time.monotonic() + 60
    while not runs_of(api, MADE_UP_FOR):
        assert time.monotonic() < give_up, "the scheduler made up for no run at all"
        time.sleep(0.5)
    runs = [run for dag_id in SHIPPED for run in runs_of(api, dag_id)]
    for dag_id in SHIPPED:
        api.set_paused(dag_id, True)
    # one whose time comes during this test, or came in the minutes before it, is as it should be
    assert [run for run in runs if parse_moment(run["run_after"]) < unpaused_at - timedelta(minutes=6)] == []


def test_the_slot_of_a_paused_training_is_free_for_another(api: AirflowApi) -> None:
    for dag_id in (TRAINING, OTHER):
        api.set_paused(dag_id, False)
    api.trigger(TRAINING, "paused", {})
    wait_for(api, TRAINING, "paused", "train", "running")
    assert slots(api) == {"running": 1, "deferred": 0, "open": 0}
    wait_for(api, TRAINING, "paused", "train", "deferred")
    assert slots(api) == {"running": 0, "deferred": 1, "open": 1}

    api.trigger(OTHER, "meanwhile", {})
    wait_for(api, OTHER, "meanwhile", "work", "success", timeout_s=60)
    assert api.tasks(TRAINING, "paused")["train"]["state"] == "deferred"

    resumed = wait_for(api, TRAINING, "paused", "train", "success")
    assert resumed["try_number"] == 1, "a pause must not cost a try"
    assert len(api.xcom(TRAINING, "paused", "train")["interruptions"]) == 1


def slots(api: AirflowApi) -> dict[str, int]:
    pool = api._json("GET", "pools/gpu")
    return {name: pool[f"{name}_slots"] for name in ("running", "deferred", "open")}
