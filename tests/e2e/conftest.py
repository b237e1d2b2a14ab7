"""One real Airflow for all tests here, started and stopped as ``make up`` and ``make down`` do."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from lowtide.trainer.mnist import ensure_mnist

from local.airflow import Api
from local.bootstrap import ROOT
from tests.local.runner import Runner, variables
from tests.support.two_tides import NOON, two_tides

FINAL = ("success", "failed", "skipped", "upstream_failed")


class RunningAirflow:
    """The shipped DAGs and those of pool_dags.py, all paused at first."""

    def __init__(self, folder: Path) -> None:
        self.artifacts = folder / "artifacts"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = int(probe.getsockname()[1])
        self._folder = folder
        self._api = Api(f"http://127.0.0.1:{self._port}", folder / ".airflow")
        self._triggerer: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        up = Runner("up", self._folder, self._port)
        assert up.finish() == 0, up.output

    def stop(self) -> None:
        if self._triggerer:
            self._triggerer.kill()
            self._triggerer.wait()
        down = Runner("down", self._folder, self._port)
        assert down.finish() == 0, down.output
        assert down.output == "Stopped the Airflow that was running here.\n"

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        return self._api.call(method, f"api/v2/{path}", body)

    def set_paused(self, dag_id: str, paused: bool) -> None:
        self.call("PATCH", f"dags/{dag_id}", {"is_paused": paused})

    def trigger(self, dag_id: str, run_id: str, conf: dict[str, Any]) -> None:
        self.call("POST", f"dags/{dag_id}/dagRuns", {"dag_run_id": run_id, "logical_date": None, "conf": conf})

    def fail_run(self, dag_id: str, run_id: str) -> None:
        self.call("PATCH", f"dags/{dag_id}/dagRuns/{run_id}", {"state": "failed"})

    def runs(self, dag_id: str) -> list[dict[str, Any]]:
        return list(self.call("GET", f"dags/{dag_id}/dagRuns?limit=10")["dag_runs"])

    def tasks(self, dag_id: str, run_id: str) -> dict[str, dict[str, Any]]:
        found = self.call("GET", f"dags/{dag_id}/dagRuns/{run_id}/taskInstances")["task_instances"]
        return {task["task_id"]: task for task in found}

    def xcom(self, dag_id: str, run_id: str, task_id: str) -> Any:
        path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/return_value?stringify=false"
        return self.call("GET", path)["value"]

    def wait_for(self, dag_id: str, run_id: str, task_id: str, *states: str, timeout_s: float = 300) -> dict[str, Any]:
        """Return the task instance once it is in one of the states; fail as soon as it ends in another."""
        give_up = time.monotonic() + timeout_s
        while True:
            task = self.tasks(dag_id, run_id).get(task_id, {})
            state = task.get("state")
            if state in states:
                return task
            assert state not in FINAL, f"{task_id} ended as {state}, not as {states}"
            assert time.monotonic() < give_up, f"{task_id} is {state} after {timeout_s} s, not {states}"
            time.sleep(0.5)

    def kill_and_replace_triggerer(self) -> None:
        supervisor = json.loads((self._folder / ".airflow" / "state.json").read_text())["supervisor"]
        (standalone,) = psutil.Process(supervisor).children()
        (triggerer,) = (one for one in standalone.children() if "triggerer" in one.cmdline())
        for process in (triggerer, *triggerer.children(recursive=True)):
            process.send_signal(signal.SIGKILL)
        settings = variables(self._folder, LOCAL_PORT=str(self._port), LOCAL_PYTHON=sys.executable)
        with (self._folder / "triggerer.log").open("wb") as log:
            command = [ROOT / "local" / "bin" / "airflow", "triggerer"]
            self._triggerer = subprocess.Popen(command, cwd=ROOT, env=settings, stdout=log, stderr=log)


@pytest.fixture(scope="session")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningAirflow]:
    ensure_mnist(Path(os.environ["LOWTIDE_DATA_DIR"]), report=print)
    folder = tmp_path_factory.mktemp("airflow")
    dags = folder / "dags"
    # an hour of the grid passes in eight seconds: it is dirty for forty
    replay = {"trace": str(dags / "GB_2031.csv"), "virtual_start": NOON.replace(hour=13).isoformat(), "speed": 450}
    two_tides(dags, clean_hours=range(18, 24), grid__replay=replay)
    for file in [*(ROOT / "dags").glob("*.py"), Path(__file__).with_name("pool_dags.py")]:
        shutil.copy(file, dags)
    running = RunningAirflow(folder)
    running.start()
    try:
        wanted = {"baseline_training", "carbon_aware_retraining", "grid_history", "pausing_training", "next_in_line"}
        give_up = time.monotonic() + 90
        while not wanted <= {dag["dag_id"] for dag in running.call("GET", "dags?limit=100")["dags"]}:
            assert time.monotonic() < give_up, running.call("GET", "importErrors")
            time.sleep(0.5)
        yield running
    finally:
        running.stop()
