"""A supervisor ends every process that its command leads to, whatever these do, and no others."""

import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from local import supervisor
from tests.local.runner import wait_until
from tests.local.subreaper import no_process_left

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs a Linux child subreaper")

SLEEP = "import time; time.sleep(60)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
RENAMED = "import setproctitle; setproctitle.setproctitle('airflow worker -- idle ' * 200); "
IN_ANOTHER_SESSION = (
    "import subprocess, sys; "
    f"child = subprocess.Popen([sys.executable, '-c', {SLEEP!r}], env={{}}, start_new_session=True); child.wait()"
)
WITHOUT_ITS_FIRST_THREAD = (  # /proc calls such a process a zombie, and it lives
    "import ctypes, subprocess, threading, time; subprocess.Popen(['sleep', '60']); "
    "threading.Thread(target=time.sleep, args=(60,)).start(); ctypes.CDLL(None).syscall(60, 0)"  # exit of one thread
)
ORPHAN = f"import os; os._exit(0) if os.fork() else os.setsid(); {RENAMED}{SLEEP}"


def below(pid: int) -> list[psutil.Process]:
    found = psutil.Process(pid).children(recursive=True)
    return [process for process in found if process.status() != psutil.STATUS_ZOMBIE]


def command(code: str) -> list[str]:
    return [sys.executable, "-c", code]


@pytest.mark.parametrize(("code", "count"), [(SLEEP, 1), (IN_ANOTHER_SESSION, 2)])
@pytest.mark.parametrize("way", ["signal", "end of its starter"])
def test_it_ends_what_it_started_at_a_signal_and_when_its_starter_ends(
    tmp_path: Path, code: str, count: int, way: str
) -> None:
    with no_process_left():
        process = supervisor.spawn(command(code), tmp_path / "log")
        wait_until(lambda: len(below(process.pid)) == count)
        if way == "signal":
            process.terminate()
        assert process.stdin
        if way == "end of its starter":
            process.stdin.close()
        assert process.wait(20) == 1
        process.stdin.close()


def test_it_ends_orphans_that_renamed_themselves_in_another_session(tmp_path: Path) -> None:
    with no_process_left():
        process = supervisor.spawn(["sh", "-c", f'{sys.executable} -c "{ORPHAN}"; sleep 60'], tmp_path / "log")
        wait_until(lambda: any("airflow worker" in " ".join(one.cmdline()) for one in below(process.pid)))
        process.communicate(timeout=20)


def test_a_process_that_ignores_sigterm_is_killed_after_the_grace(tmp_path: Path) -> None:
    with no_process_left():
        process = supervisor.spawn(command(STUBBORN + "print('ready', flush=True); " + SLEEP), tmp_path / "log")
        wait_until(lambda: (tmp_path / "log").read_text() == "ready\n")
        begun = time.monotonic()
        process.communicate(timeout=30)
        assert supervisor.GRACE_S <= time.monotonic() - begun < supervisor.GRACE_S + 10


def test_it_returns_the_status_of_its_command_and_ends_what_that_left(tmp_path: Path) -> None:
    with no_process_left():
        process = supervisor.spawn(["sh", "-c", "sleep 60 & echo done; exit 3"], tmp_path / "log")
        assert process.wait(20) == 3
        process.communicate()
    assert (tmp_path / "log").read_text() == "done\n"


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the number of the system call")
def test_it_ends_a_process_whose_first_thread_ended_and_what_that_started(tmp_path: Path) -> None:
    with no_process_left():
        process = supervisor.spawn(command(WITHOUT_ITS_FIRST_THREAD), tmp_path / "log")
        wait_until(lambda: {"sleep"} == {one.name() for one in below(process.pid)})
        process.communicate(timeout=20)


def test_a_command_that_ends_at_once_is_not_missed(tmp_path: Path) -> None:
    with no_process_left():
        processes = [supervisor.spawn(["true"], tmp_path / "log") for _ in range(12)]
        assert [process.wait(20) for process in processes] == [0] * 12
        for process in processes:
            process.communicate()


def starter(log: Path, then: str) -> list[str]:
    imports = "import time; from pathlib import Path; from local.supervisor import spawn"
    return command(f"{imports}; process = spawn(['sleep', '60'], Path({str(log)!r})); {then}")


def test_after_a_byte_it_outlives_its_starter(tmp_path: Path) -> None:
    with no_process_left() as alive:
        kept = subprocess.run(
            starter(tmp_path / "log", "process.stdin.write(b'k'); print(process.pid)"),
            capture_output=True,
            text=True,
            check=True,
        )
        pid = int(kept.stdout)
        time.sleep(1)
        wait_until(lambda: len(below(pid)) == 1)
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not alive())


def test_it_ends_what_it_started_when_its_starter_is_killed(tmp_path: Path) -> None:
    with no_process_left() as alive:
        killed = subprocess.Popen(starter(tmp_path / "log", "time.sleep(60)"))
        wait_until(lambda: any(one.name() == "sleep" for one in below(killed.pid)))
        killed.kill()
        killed.wait()
        wait_until(lambda: not alive())
