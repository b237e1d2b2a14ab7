"""Signals at several moments, on a real Airflow: nothing may be left, and the next start must work."""

import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from local.places import PROJECT_ROOT
from local.ports import demand_free, free_port
from local.up_down import down
from tests.local.demo_driver import places_in
from tests.local.subreaper import no_process_left

HERE = Path(__file__).parent
PATIENCE_S = 120

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(sys.platform != "linux", reason="needs a Linux child subreaper")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One instance for all moments, as a person's folder lives through all of them."""
    root = tmp_path_factory.mktemp("interruption")
    for name in ("dags", "plugins"):
        (root / name).mkdir()
    shutil.copy(HERE / "small_dags.py", root / "dags")
    return root


class Driver:
    """The demo on small DAGs, or ``make up`` on them, in a process of its own."""

    def __init__(self, folder: Path, port: int, *mode: str) -> None:
        command = [sys.executable, "-m", "tests.local.demo_driver", str(folder), str(port), *mode]
        self.process = subprocess.Popen(
            command, cwd=PROJECT_ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1
        )
        self.lines: list[str] = []

    def read_until(self, words: str) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.lines.append(line)
            if words in line:
                return
        pytest.fail(f"no line with {words!r} in:\n{''.join(self.lines)}")

    def finish(self) -> int:
        assert self.process.stdout
        with self.process.stdout as stream:
            self.lines += stream.readlines()
        return self.process.wait(PATIENCE_S)

    @property
    def output(self) -> str:
        return "".join(self.lines)


@pytest.fixture
def port() -> Iterator[int]:
    number = free_port()
    yield number
    demand_free(number)


@pytest.mark.parametrize(
    ("words", "after_s", "number"),
    [
        ("preparing the metadata database", 1.0, signal.SIGTERM),
        ("starting scheduler", 0.05, signal.SIGHUP),
        ("starting scheduler", 5.0, signal.SIGINT),
    ],
)
def test_a_signal_during_the_start_leaves_no_process_and_no_port(
    folder: Path, port: int, words: str, after_s: float, number: signal.Signals
) -> None:
    with no_process_left():
        driver = Driver(folder, port)
        driver.read_until(words)
        time.sleep(after_s)
        driver.process.send_signal(number)
        assert driver.finish() == 128 + number
    assert "everything that was started has been stopped" in driver.output
    assert "Traceback" not in driver.output


def test_a_killed_runner_is_cleaned_up_after_by_the_next_one_which_succeeds(folder: Path, port: int) -> None:
    with no_process_left():
        killed = Driver(folder, port)
        killed.read_until("first: work: running")
        child = _child_of_the_task(folder)
        killed.process.kill()
        killed.finish()
        assert child.is_running()

        second = Driver(folder, port)
        assert second.finish() == 0, second.output
        assert "that an earlier run left behind" in second.lines[0]
        assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
    assert f"REPORT {PROJECT_ROOT / 'report.json'}" in second.output
    assert "deferred, no worker is held" in second.output


def test_ctrl_c_during_a_task_ends_its_child_in_another_session_too(folder: Path, port: int) -> None:
    with no_process_left():
        driver = Driver(folder, port)
        driver.read_until("first: work: running")
        _child_of_the_task(folder)
        driver.process.send_signal(signal.SIGINT)
        driver.process.send_signal(signal.SIGINT)  # the impatient second one
        assert driver.finish() == 128 + signal.SIGINT
    assert states(folder, "select state from task_instance where task_id = 'work' order by start_date")[-1] == "failed"
    assert left_at_work(folder) == []
    assert not places_in(folder).unpaused.exists()


def test_what_a_killed_runner_left_deferred_does_not_go_on_in_make_up(folder: Path, port: int) -> None:
    with no_process_left():
        killed = Driver(folder, port)
        killed.read_until("second: wait_for_clean_grid: deferred")
        killed.process.kill()
        killed.finish()
        assert len(left_at_work(folder)) == 3, "a run and two DAGs"
        up = Driver(folder, port, "up")
        try:
            assert up.finish() == 0, up.output
            assert left_at_work(folder) == []
        finally:
            down(places_in(folder), Console(quiet=True))
    waits = states(folder, "select state from task_instance where task_id = 'wait_for_clean_grid' order by start_date")
    # Airflow skips a task that its trigger has woken but that no worker has taken up
    assert waits[-1] in ("failed", "skipped")


def left_at_work(folder: Path) -> list[str]:
    """The runs that have not ended, and the DAGs that are not paused."""
    runs = states(folder, "select run_id from dag_run where state in ('queued', 'running')")
    return runs + states(folder, "select dag_id from dag where not is_paused")


def states(folder: Path, query: str) -> list[str]:
    with closing(sqlite3.connect(places_in(folder).database)) as database:
        return [row[0] for row in database.execute(query)]


def _child_of_the_task(folder: Path) -> psutil.Process:
    file = folder / "dags" / "child.pid"
    give_up = time.monotonic() + PATIENCE_S
    while not (file.exists() and psutil.pid_exists(int(file.read_text() or 0))):
        assert time.monotonic() < give_up
        time.sleep(0.1)
    return psutil.Process(int(file.read_text()))
