"""Signals at several times, on a real Airflow: nothing may be left, and the next start must work."""

import json
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest
import requests

from local.airflow import Api
from local.bootstrap import ROOT
from tests.local.runner import Runner, variables, wait_until
from tests.local.subreaper import is_alive, no_process_left

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(sys.platform != "linux", reason="needs a Linux child subreaper")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One instance for all tests, as a person's folder lives through all of them."""
    root = tmp_path_factory.mktemp("interruption")
    (root / "dags").mkdir()
    shutil.copy(Path(__file__).with_name("small_dags.py"), root / "dags")
    return root


@pytest.fixture
def port() -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number = int(probe.getsockname()[1])
    yield number
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", number))


@pytest.mark.parametrize(("after_s", "number"), [(0.0, signal.SIGHUP), (2.0, signal.SIGTERM), (7.0, signal.SIGINT)])
def test_a_signal_during_the_start_leaves_no_process_and_no_port(
    folder: Path, port: int, after_s: float, number: signal.Signals
) -> None:
    with no_process_left():
        runner = Runner("run", folder, port)
        runner.read_until("airflow: starting")
        time.sleep(after_s)
        runner.process.send_signal(number)
        assert runner.finish() == 128 + number
    assert runner.lines[-1] == "Interrupted; everything that was started has been stopped.\n"
    assert "Traceback" not in runner.output


def test_a_killed_runner_takes_everything_with_it(folder: Path, port: int) -> None:
    """Even the child of a task in a session and an environment without a trace of Airflow."""
    with no_process_left() as alive:
        runner = Runner("run", folder, port)
        runner.read_until("wait_for_clean_grid: deferred, no worker is held")
        child = child_of_the_task(folder)
        runner.process.kill()
        runner.finish()
        wait_until(lambda: not is_alive(child))
        wait_until(lambda: not alive())
    assert len(open_runs(folder)) == 1
    assert unpaused(folder) == ["baseline_training"]


def test_up_resumes_nothing_serves_on_loopback_behind_a_password_and_down_ends_it(folder: Path, port: int) -> None:
    """It follows the killed runner."""
    with no_process_left() as alive:
        up = Runner("up", folder, port)
        try:
            assert up.finish() == 0, up.output
            assert open_runs(folder) == unpaused(folder) == []
            waits = column(folder, "select state from task_instance where task_id = 'wait_for_clean_grid'")
            # Airflow skips a task that its trigger has woken but that no worker has taken up
            assert waits[-1] in ("failed", "skipped")

            password = json.loads((folder / ".airflow" / "passwords.json").read_text())["admin"]
            for words in (f"http://127.0.0.1:{port}", "admin", password, "make down"):
                assert words in up.output
            assert listeners(alive()) == {f"127.0.0.1:{port}"}
            assert requests.get(f"http://127.0.0.1:{port}/api/v2/dags", timeout=30).status_code == 401
            pool = Api(f"http://127.0.0.1:{port}", folder / ".airflow").call("GET", "api/v2/pools/gpu")
            assert (pool["slots"], pool["include_deferred"]) == (1, False)
            assert password not in (folder / ".airflow" / "standalone.log").read_text()

            for command in ("up", "run"):
                again = Runner(command, folder, port)
                assert again.finish() == 2
                assert again.output.startswith(f"Airflow is running here at http://127.0.0.1:{port} (make up); stop it")
        finally:
            down = Runner("down", folder, port)
            assert down.finish() == 0
        assert down.output == "Stopped the Airflow that was running here.\n"
    nothing = Runner("down", folder, port)
    assert nothing.finish() == 0
    assert nothing.output == "No Airflow is running here.\n"


def test_ctrl_c_during_a_task_ends_its_child_in_another_session_and_fails_the_run(folder: Path, port: int) -> None:
    with no_process_left():
        runner = Runner("run", folder, port)
        runner.read_until("baseline_training: train: running")
        child_of_the_task(folder)
        another = subprocess.run(
            [sys.executable, "-m", "local", "up", "--port", str(port)],
            cwd=ROOT,
            env=variables(folder),
            capture_output=True,
            text=True,
            check=False,
        )
        assert another.returncode == 2
        assert another.stderr.startswith(f"Another make is running in {folder / '.airflow'}; wait for it")
        runner.process.send_signal(signal.SIGINT)
        runner.process.send_signal(signal.SIGINT)  # the impatient second one
        assert runner.finish() == 128 + signal.SIGINT
    assert column(folder, "select state from task_instance where task_id = 'train' order by start_date")[-1] == "failed"
    assert open_runs(folder) == unpaused(folder) == []


def test_after_all_of_this_the_demo_succeeds_and_names_its_report(folder: Path, port: int) -> None:
    with no_process_left():
        runner = Runner("run", folder, port)
        assert runner.finish() == 0, runner.output
    assert runner.lines[-1] == f"Report: {ROOT / 'report.json'}\n"
    for words in (f"airflow: ready at http://127.0.0.1:{port}", "data: MNIST: ready in", "compare: success"):
        assert words in runner.output
    assert open_runs(folder) == unpaused(folder) == []


def open_runs(folder: Path) -> list[str]:
    return column(folder, "select run_id from dag_run where state in ('queued', 'running')")


def unpaused(folder: Path) -> list[str]:
    return column(folder, "select dag_id from dag where not is_paused")


def column(folder: Path, query: str) -> list[str]:
    with closing(sqlite3.connect(folder / ".airflow" / "airflow.db")) as database:
        return [row[0] for row in database.execute(query)]


def listeners(processes: list[psutil.Process]) -> set[str]:
    """Return the addresses that processes listen on."""
    connections = [one for process in processes for one in process.net_connections("tcp")]
    return {f"{one.laddr[0]}:{one.laddr[1]}" for one in connections if one.status == psutil.CONN_LISTEN}


def child_of_the_task(folder: Path) -> psutil.Process:
    file = folder / "dags" / "child.pid"
    wait_until(lambda: file.exists() and psutil.pid_exists(int(file.read_text() or 0)))
    return psutil.Process(int(file.read_text()))
