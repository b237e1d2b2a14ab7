"""A whole Airflow in a folder of its own, and waiting for one of its tasks."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lowtide.config.loader import PROJECT_ROOT

from local.api import AirflowApi
from local.components import LocalAirflow
from local.dag_runs import wait_until_parsed
from local.places import Places
from local.ports import free_port
from local.startup import client, migrate, start_healthy

FINAL = ("success", "failed", "skipped", "upstream_failed")


@contextmanager
def airflow_in(
    folder: Path, dags: Path, dag_ids: list[str], *, scheduled: bool = False
) -> Iterator[tuple[LocalAirflow, AirflowApi]]:
    """Run scheduler, DAG processor, API server and triggerer with Lowtide's plugins until the end; the DAGs are paused.

    :param scheduled: whether the DAGs' own schedules are followed.
    """
    places = Places(
        project_root=PROJECT_ROOT,
        home=folder / ".airflow",
        dags=dags,
        plugins=PROJECT_ROOT / "plugins",
        artifacts=folder / "artifacts",
    )
    places.prepare()
    started = LocalAirflow(places, port=free_port(), scheduled=scheduled)
    try:
        migrate(started)
        api = client(started)
        start_healthy(started, api)
        wait_until_parsed(started, api, dag_ids)
        yield started, api
    finally:
        started.stop()


def wait_for(
    api: AirflowApi, dag_id: str, run_id: str, task_id: str, *states: str, timeout_s: float = 300
) -> dict[str, Any]:
    """Return the task instance once it is in one of the states; fail as soon as it ends in another."""
    give_up = time.monotonic() + timeout_s
    while True:
        task = api.tasks(dag_id, run_id).get(task_id, {})
        state = task.get("state")
        if state in states:
            return task
        assert state not in FINAL, f"{task_id} ended as {state}, not as {states}"
        assert time.monotonic() < give_up, f"{task_id} is {state} after {timeout_s} s, not {states}"
        time.sleep(0.5)
