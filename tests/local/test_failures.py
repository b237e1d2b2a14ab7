"""A failure is one sentence with the last lines of the log and its path; exit statuses tell whose it is."""

import errno
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from lowtide.errors import ConfigurationError

from local.components import LocalAirflow
from local.dag_runs import _why
from local.places import Places
from local.ports import free_port
from local.problems import ComponentFailed, LocalProblem
from local.runner import guarded


@pytest.fixture
def airflow(tmp_path: Path) -> LocalAirflow:
    places = Places.of_project(tmp_path)
    places.prepare()
    return LocalAirflow(places, port=free_port(), scheduled=False)


def test_a_component_that_ends_during_the_start_shows_its_log(
    airflow: LocalAirflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "print('first'); raise SystemExit('no such table: job')"
    monkeypatch.setattr("local.components.COMPONENTS", {"scheduler": ("-c", code)})
    monkeypatch.setattr("local.components.AIRFLOW_COMMAND", (sys.executable,))
    airflow.start()
    with pytest.raises(ComponentFailed) as raised:
        airflow.wait_until(lambda: False, what="Airflow's start", timeout_s=20)
    airflow.stop()
    first, *rest = str(raised.value).splitlines()
    assert first == "Airflow's scheduler ended with status 1; it said:"
    assert "    no such table: job" in rest
    assert rest[-1] == f"  log: {airflow.log_of('scheduler')}"


def test_a_start_that_takes_too_long_says_where_the_logs_are(airflow: LocalAirflow) -> None:
    with pytest.raises(ComponentFailed, match=r"Airflow's start took more than 0 s; the logs are in .*components"):
        airflow.wait_until(lambda: False, what="Airflow's start", timeout_s=0.0)


def test_a_failed_task_is_named_with_its_last_lines_and_its_log(tmp_path: Path) -> None:
    folder = tmp_path / "tasks" / "dag_id=d" / "run_id=r" / "task_id=train"
    folder.mkdir(parents=True)
    entries = [
        {"level": "info", "event": "starting"},
        {
            "level": "error",
            "event": "Task failed",
            "error_detail": [{"exc_type": "DataSetError", "exc_value": "no MNIST"}],
        },
    ]
    log = folder / "attempt=3.log"
    log.write_text("".join(json.dumps(entry) + "\n" for entry in entries) + "a plain line\n", encoding="utf-8")
    tasks = {
        "train": {"task_id": "train", "state": "failed"},
        "compare": {"task_id": "compare", "state": "upstream_failed"},
    }
    assert _why(tmp_path / "tasks", "d", "r", tasks).splitlines() == [
        "Task train of d failed; it said:",
        "    info: starting",
        "    error: Task failed",
        "    DataSetError: no MNIST",
        "    a plain line",
        f"  log: {log}",
    ]


def test_a_task_that_failed_before_it_wrote_a_log_points_to_the_scheduler(tmp_path: Path) -> None:
    tasks = {"train": {"task_id": "train", "state": "failed"}}
    assert "before it wrote a log" in _why(tmp_path / "tasks", "d", "r", tasks)


def raises(error: BaseException) -> Callable[[], None]:
    def action() -> None:
        raise error

    return action


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (LocalProblem("Port 8080 is in use."), 2, "Port 8080 is in use."),
        (ConfigurationError("epochs is -1"), 2, "epochs is -1"),
        (ComponentFailed("the scheduler ended"), 1, "the scheduler ended"),
        (OSError(errno.ENOSPC, "No space left on device", "/some/file"), 2, "/some/file cannot be used (No space left"),
    ],
)
def test_exit_statuses_and_sentences(
    error: BaseException, status: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        assert guarded(raises(error)) == status
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert words in capsys.readouterr().err


def test_an_unknown_port_is_a_usage_error_that_names_the_value() -> None:
    command = [sys.executable, "-m", "local", "run", "--port", "seventy"]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert answer.returncode == 2
    assert "'seventy' is not a port; give a number" in answer.stderr
