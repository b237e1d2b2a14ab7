"""From nothing to a healthy Airflow: left-overs ended, database migrated, components started, pool there."""

import hashlib
import time
from datetime import UTC, datetime
from typing import Any

from local import instance as instances
from local import processes
from local.api import AirflowApi
from local.components import AIRFLOW_COMMAND, LocalAirflow
from local.environment import url
from local.open_runs import fail_open_runs, pause_again
from local.places import Places
from local.problems import LocalProblem
from local.secrets_files import USER, password

HEALTHY_WITHIN_S = 120.0
_PARTS = ("metadatabase", "scheduler", "triggerer", "dag_processor")
_MIGRATED = "migrated.sha256"


def refuse_or_end_what_is_there(places: Places) -> int:
    """End what a killed runner left behind and return how many processes that were.

    :raises LocalProblem: ``make up`` runs here; that is no left-over.
    """
    there = instances.read(places.instance)
    if there is None:
        return 0
    if there.mode == "up" and processes.living_leaders(there):
        raise LocalProblem(
            f"Airflow is already running here, at {url(there.port)} (make up started it); stop it with make down first."
        )
    ended = processes.end(there)
    places.instance.unlink(missing_ok=True)
    return ended


def migrate(airflow: LocalAirflow) -> None:
    """Bring the metadata database to this Airflow's version; nothing to do if that was done before.

    :raises ComponentFailed: the migration failed.
    """
    stamp = airflow.places.home / _MIGRATED
    wanted = _versions_checksum(airflow.places)
    if airflow.places.database.exists() and stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return
    airflow.finish("db-migrate", airflow.spawn("db-migrate", [*AIRFLOW_COMMAND, "db", "migrate"]))
    stamp.write_text(wanted, encoding="utf-8")


def client(airflow: LocalAirflow) -> AirflowApi:
    """Return a client that logs in as the instance's admin."""
    return AirflowApi(url(airflow.port), USER, password(airflow.places.passwords))


def start_healthy(airflow: LocalAirflow, api: AirflowApi) -> None:
    """Start the components and return when all four have been heard of since, and nothing of an earlier demo is at work.

    :raises ComponentFailed: one ended, or they took too long.
    """
    pause_again(airflow)
    since = time.time()
    airflow.start()
    airflow.wait_until(lambda: is_healthy(api.health(), since), what="Airflow's start", timeout_s=HEALTHY_WITHIN_S)
    api.ensure_pool("gpu", 1, "One training at a time for each device")
    fail_open_runs(api)


def is_healthy(health: dict[str, Any] | None, since: float) -> bool:
    """Say whether all parts are healthy, and by a heartbeat of this start.

    The database keeps the heartbeats of an instance that was killed seconds ago; they must not count.
    """
    if health is None:
        return False
    parts = [health.get(part) or {} for part in _PARTS]
    if any(part.get("status") != "healthy" for part in parts):
        return False
    beats = [str(value) for part in parts for name, value in part.items() if name.startswith("latest_") and value]
    return len(beats) == len(_PARTS) - 1 and all(_moment(beat) >= since for beat in beats)


def _moment(text: str) -> float:
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _versions_checksum(places: Places) -> str:
    return hashlib.sha256((places.project_root / "constraints.txt").read_bytes()).hexdigest()
