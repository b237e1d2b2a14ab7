"""Signals at several moments, on a real Airflow: nothing may be left, and the next start must work."""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from local.places import PROJECT_ROOT
from local.ports import demand_free, free_port
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
    """The demo on small DAGs, in a process of its own."""

    def __init__(self, folder: Path, port: int) -> None:
        command = [sys.executable, "-m", "tests.local.demo_driver", str(folder), str(port)]
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


def _child_of_the_task(folder: Path) -> psutil.Process:
    file = folder / "dags" / "child.pid"
    give_up = time.monotonic() + PATIENCE_S
    while not (file.exists() and psutil.pid_exists(int(file.read_text() or 0))):
        assert time.monotonic() < give_up
        time.sleep(0.1)
    return psutil.Process(int(file.read_text()))
