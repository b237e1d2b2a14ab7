"""All processes of an instance are found and ended, and no others."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import pytest

from local import processes
from local.environment import MARKER
from local.instance import Instance, Member

SLEEP = "import time; print('ready', flush=True); time.sleep(60)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEP
RENAMED = "import setproctitle; setproctitle.setproctitle('airflow worker -- idle ' * 200); " + SLEEP
PARENT_OF_A_STRANGER = (
    "import subprocess, sys; "
    f"child = subprocess.Popen([sys.executable, '-c', {SLEEP!r}], env={{}}, start_new_session=True, stdout=subprocess.DEVNULL); "
    "print(child.pid, flush=True); child.wait()"
)
ORPHAN_IN_THE_SESSION = (
    "import os, time; pid = os.fork(); "
    "(print(pid, flush=True), os._exit(0)) if pid else None; " + RENAMED.replace("print('ready', flush=True)", "None")
)


class Started:
    """Starts processes for a test, and reads the first line of each."""

    def __init__(self) -> None:
        self.all: list[subprocess.Popen[str]] = []

    def __call__(self, code: str, **environment: str) -> tuple["subprocess.Popen[str]", str]:
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.all.append(process)
        assert process.stdout
        return process, process.stdout.readline().strip()


@pytest.fixture
def start() -> Iterator[Started]:
    started = Started()
    yield started
    for process in started.all:
        with process:
            process.kill()


def instance_of(*members: "subprocess.Popen[str]") -> Instance:
    recorded = [
        Member(name=str(process.pid), pid=process.pid, create_time=psutil.Process(process.pid).create_time())
        for process in members
    ]
    return Instance(id="test-instance", port=1, mode="run", members=recorded)


def ended(pid: int) -> bool:
    for _ in range(50):
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False


def test_a_process_that_ignores_sigterm_is_killed_after_the_patience(start: Started) -> None:
    stubborn, _ = start(STUBBORN)
    begun = time.monotonic()
    assert processes.end(instance_of(stubborn), patience_s=0.5) == 1
    assert time.monotonic() - begun < 5
    assert ended(stubborn.pid)


def test_a_marked_process_is_found_without_being_recorded(start: Started) -> None:
    marked, _ = start(SLEEP, **{MARKER: "test-instance"})
    other, _ = start(SLEEP, **{MARKER: "another-instance"})
    assert processes.end(instance_of()) == 1
    assert ended(marked.pid)
    assert other.poll() is None


def test_a_child_without_marker_in_a_session_of_its_own_is_found_through_its_parent(start: Started) -> None:
    parent, child = start(PARENT_OF_A_STRANGER)
    assert processes.end(instance_of(parent)) == 2
    assert ended(int(child))


def test_an_orphan_that_overwrote_its_environment_is_found_through_its_session(start: Started) -> None:
    leader, orphan = start(ORPHAN_IN_THE_SESSION, **{MARKER: "test-instance"})
    member = Member(name="leader", pid=leader.pid, create_time=time.time() - 1)
    leader.wait()
    time.sleep(0.5)  # until it has renamed itself
    processes.end(Instance(id="test-instance", port=1, mode="run", members=[member]))
    assert ended(int(orphan))


def test_a_process_that_got_a_recorded_number_later_is_left_alone(start: Started) -> None:
    unrelated, _ = start(SLEEP)
    instance = instance_of(unrelated)
    instance.members[0].create_time += 3600
    assert processes.end(instance) == 0
    assert unrelated.poll() is None
