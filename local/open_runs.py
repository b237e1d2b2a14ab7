"""What the demo changes in the metadata database, and puts right again: open runs, and DAGs that are not paused.

An open run goes on as soon as its DAG is unpaused; a DAG that is left unpaused follows its schedule in the next ``make up``.
"""

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from lowtide.io import write_atomically

from local.api import AirflowApi, ApiError
from local.components import AIRFLOW_COMMAND, LocalAirflow

RUN_ID_PREFIX = "demo__"


@contextmanager
def unpaused(airflow: LocalAirflow, api: AirflowApi, dag_ids: list[str]) -> Iterator[None]:
    """Let DAGs run; afterwards fail the demo's runs that are still open, and pause those DAGs again that were paused."""
    paused = [dag_id for dag_id in dag_ids if (api.dag(dag_id) or {}).get("is_paused")]
    note = airflow.places.unpaused
    write_atomically(note, json.dumps(paused))  # first: this process may be killed at any moment
    try:
        for dag_id in paused:
            api.set_paused(dag_id, False)
        yield
    finally:
        try:
            fail_open_runs(api)
            for dag_id in paused:
                api.set_paused(dag_id, True)
            note.unlink()
        except ApiError as error:  # the API server may be what failed
            reason = str(error).rstrip(".")
            print(
                f"What the demo began may still be open in Airflow: {reason}. The next start ends it.", file=sys.stderr
            )


def fail_open_runs(api: AirflowApi) -> None:
    """Mark the demo's open runs as failed, and with them their tasks: nobody waits for them any more.

    :raises ApiError: the API server does not answer.
    """
    for run in api.open_runs(RUN_ID_PREFIX):
        api.fail_run(run["dag_id"], run["dag_run_id"])


def pause_again(airflow: LocalAirflow) -> None:
    """Pause what a demo that was killed left unpaused; before there is a scheduler, which would go on with it.

    :raises ComponentFailed: Airflow's command failed.
    """
    note = airflow.places.unpaused
    if not note.exists():
        return
    dag_ids = json.loads(note.read_text(encoding="utf-8"))
    if dag_ids:
        pattern = f"^({'|'.join(map(re.escape, dag_ids))})$"
        command = [*AIRFLOW_COMMAND, "dags", "pause", "--yes", "--treat-dag-id-as-regex", pattern]
        airflow.finish("dags-pause", airflow.spawn("dags-pause", command))
    note.unlink()
