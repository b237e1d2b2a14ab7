"""``make up`` leaves Airflow running on loopback; ``make down`` ends it."""

from rich.console import Console

from local import instance as instances
from local import processes
from local.components import LocalAirflow
from local.environment import url
from local.places import Places
from local.secrets_files import USER, password
from local.startup import client, migrate, start_healthy


def up(airflow: LocalAirflow, console: Console) -> None:
    """Start Airflow and say where it is and how to log in.

    :raises ComponentFailed: a component ended, or the start took too long.
    """
    console.print("Starting Airflow (scheduler, DAG processor, API server, triggerer) ...", highlight=False)
    migrate(airflow)
    start_healthy(airflow, client(airflow))
    airflow.mark("up")
    places = airflow.places
    for line in (
        f"Airflow is running at {url(airflow.port)}",
        f"  user      {USER}",
        f"  password  {password(places.passwords)}",
        f"  logs      {places.component_logs}",
        "Stop it with: make down",
    ):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def down(places: Places, console: Console) -> None:
    """End whatever is recorded as running here."""
    there = instances.read(places.instance)
    ended = processes.end(there) if there else 0
    places.instance.unlink(missing_ok=True)
    console.print(f"Airflow stopped ({ended} processes)." if ended else "No Airflow is running here.", highlight=False)
