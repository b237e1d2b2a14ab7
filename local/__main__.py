"""``python -m local run|up|down``: what the Makefile calls."""

import argparse
import contextlib
import functools
import json
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from local.airflow import DEMO_PREFIX, HOME, Api, LocalAirflow
from local.bootstrap import ROOT, LocalError, carry_out, last_lines

DEMO: dict[str, dict[str, Any]] = {
    "baseline_training": {"config": "demo.yaml", "micro_batch_size": 512, "accumulation_steps": 1, "precision": "fp32"},
    "carbon_aware_retraining": {"config": "demo.yaml"},
}
_BEGUN = time.monotonic()


def up(airflow: LocalAirflow) -> None:
    """Start Airflow, leave it running, and print where it is and how to log in."""
    say("airflow: starting scheduler, DAG processor, API server and triggerer")
    with airflow.started(keep=True) as api:
        where = f"Airflow is running at {airflow.url}\n  user      admin\n  password  {api.password()}"
        print(f"{where}\n  logs      {HOME}\nStop it with: make down", flush=True)


def run(airflow: LocalAirflow) -> None:
    """Run the baseline, then the run that waits for a clean grid; print what they log and where their comparison is."""
    say("airflow: starting scheduler, DAG processor, API server and triggerer")
    fetching = airflow.spawn("data", sys.executable, "-m", "lowtide.trainer.mnist")
    with airflow.started() as api:
        say(f"airflow: ready at {airflow.url}")
        airflow.wait_until(lambda: fetching.poll() is not None, "Fetching the data", timeout_s=3600.0)
        say(f"data: {last_lines(HOME / 'data.log', 1)[0]}")
        airflow.wait_until(lambda: _is_paused(api).keys() == DEMO.keys(), "Reading the DAG files")
        paused = [dag_id for dag_id, is_paused in _is_paused(api).items() if is_paused]
        airflow.remember(unpaused=paused)  # first: this process may be killed at any time
        run_id = f"{DEMO_PREFIX}{datetime.now(UTC):%Y-%m-%dT%H-%M-%S}"
        try:
            for dag_id, conf in DEMO.items():
                dag = f"api/v2/dags/{dag_id}"
                api.call("PATCH", dag, {"is_paused": False})
                api.call("POST", f"{dag}/dagRuns", {"dag_run_id": run_id, "logical_date": None, "conf": conf})
                _follow(airflow, api, dag_id, run_id)
        finally:
            try:
                api.end_demo(paused)
                airflow.remember(unpaused=[])
            except LocalError as error:  # the API server may be what failed
                print(f"The demo's runs may still be open in Airflow, until its next start: {error}", file=sys.stderr)
        result = f"{dag}/dagRuns/{run_id}/taskInstances/compare/xcomEntries/return_value?stringify=false"
        print(f"Report: {ROOT / api.call('GET', result)['value']['report']}", flush=True)


@functools.cache
def say(text: str) -> None:
    """Print a line of progress with the seconds since the start; each text once."""
    print(f"[{time.monotonic() - _BEGUN:4.0f} s] {text}", flush=True)


def _is_paused(api: Api) -> dict[str, bool]:
    dags = api.call("GET", "api/v2/dags?limit=100")["dags"]
    return {dag["dag_id"]: dag["is_paused"] for dag in dags if dag["dag_id"] in DEMO}


def _follow(airflow: LocalAirflow, api: Api, dag_id: str, run_id: str) -> None:
    """Print the states of a run's tasks and what they log, until the run succeeds."""
    logs = HOME / "logs" / f"dag_id={dag_id}" / f"run_id={run_id}"
    state = "queued"
    while state not in ("success", "failed"):
        airflow.check()
        state = api.call("GET", f"api/v2/dags/{dag_id}/dagRuns/{run_id}")["state"]
        for task in api.call("GET", f"api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances")["task_instances"]:
            now = "deferred, no worker is held" if task["state"] == "deferred" else task["state"]
            for text in filter(None, (*_texts(logs / f"task_id={task['task_id']}"), now)):
                say(f"{dag_id}: {task['task_id']}: {text}")
        time.sleep(1.0)
    if state == "failed":
        raise LocalError(f"Run {run_id} of {dag_id} failed; the logs of its tasks are in {logs}.", 1)


def _texts(folder: Path) -> Iterator[str]:
    """Return what Lowtide's operators logged in all tries of a task, and errors."""
    for line in (line for log in sorted(folder.glob("attempt=?.log")) for line in log.read_text("utf-8").splitlines()):
        with contextlib.suppress(json.JSONDecodeError):  # it is being written
            entry = json.loads(line)
            if "lowtide" in str(entry.get("logger")) or entry.get("level") in ("error", "critical"):
                causes = (f"{cause['exc_type']}: {cause['exc_value']}" for cause in entry.get("error_detail") or [])
                yield " ".join([str(entry["event"]), *causes])


def main(command: str, airflow: LocalAirflow) -> None:
    """Carry out a command; a LocalError says in one sentence why it failed."""
    if command != "down" and airflow.is_running() and airflow.state.get("keep"):
        raise LocalError(f"Airflow is running here at {airflow.state['url']} (make up); stop it with make down first.")
    if airflow.stop():
        print("Stopped the Airflow that was running here.", flush=True)
    elif command == "down":
        print("No Airflow is running here.")
    if command != "down":
        airflow.check_machine()
        (up if command == "up" else run)(airflow)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    parser.add_argument("command", choices=["run", "up", "down"])
    parser.add_argument("--port", type=int, default=8080, help="loopback port of UI and API")
    options = parser.parse_args()
    local_airflow = LocalAirflow(options.port, scheduled=options.command == "up")
    sys.exit(carry_out(lambda: main(options.command, local_airflow), HOME / "runner.lock"))
