"""A failure is one sentence, with the last lines of the log and its path; the exit status says whose it is."""

import errno
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local import airflow as module
from local.airflow import LocalAirflow
from local.bootstrap import ROOT, LocalError, carry_out
from tests.local.runner import variables, wait_until


@pytest.fixture
def airflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalAirflow]:
    monkeypatch.setattr(module, "HOME", tmp_path)
    monkeypatch.setattr(module, "ARTIFACTS", tmp_path / "artifacts")
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    handlers = {number: signal.getsignal(number) for number in numbers}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    made = LocalAirflow(port, scheduled=False)
    yield made
    for process in made._spawned.values():
        process.communicate()
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_a_command_that_fails_shows_its_last_lines_and_its_log(airflow: LocalAirflow, tmp_path: Path) -> None:
    airflow.spawn("data", sys.executable, "-c", "print('first'); raise SystemExit('the mirror is away')")
    with pytest.raises(LocalError) as raised:
        airflow.wait_until(lambda: False, "Fetching", timeout_s=20)
    first, *rest = str(raised.value).splitlines()
    assert first == "Command data failed:"
    assert "    the mirror is away" in rest
    assert rest[-1] == f"  log: {tmp_path / 'data.log'}"
    assert raised.value.status == 1


def test_a_component_that_ends_is_noticed_though_standalone_continues(airflow: LocalAirflow) -> None:
    code = "import subprocess, time; child = subprocess.Popen(['sh', '-c', 'echo no such table: job']); time.sleep(60)"
    airflow.spawn("standalone", sys.executable, "-c", code)
    with pytest.raises(LocalError, match="no such table: job"):
        airflow.wait_until(lambda: False, "Airflow's start", timeout_s=20)


def test_a_start_that_takes_too_long_says_where_the_logs_are(airflow: LocalAirflow, tmp_path: Path) -> None:
    with pytest.raises(LocalError) as raised:
        airflow.wait_until(lambda: False, "Airflow's start", timeout_s=0.0)
    assert str(raised.value) == f"Airflow's start took more than 0 s; the logs are in {tmp_path}."


def test_an_airflow_runs_as_long_as_its_supervisor_and_is_stopped_through_it(airflow: LocalAirflow) -> None:
    assert not airflow.is_running()
    assert not airflow.stop()
    supervisor = airflow.spawn("standalone", "sleep", "60")
    airflow.remember(supervisor=supervisor.pid)
    assert airflow.is_running()
    assert airflow.stop()
    assert not airflow.is_running()


def test_a_state_of_an_airflow_that_ended_ends_no_other_process(airflow: LocalAirflow) -> None:
    """The number of a process that ended may be another's by now."""
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as other:
        airflow.remember(supervisor=other.pid, keep=True)
        assert not airflow.stop()
        assert other.poll() is None
        other.kill()


def test_a_port_in_use_names_the_port_the_process_and_the_remedy(airflow: LocalAirflow) -> None:
    airflow.check_machine()
    with socket.socket() as server:
        server.bind(("127.0.0.1", airflow.port))
        server.listen()
        with pytest.raises(LocalError, match=rf"Port {airflow.port} is in use by process \d+; .* PORT=8090") as raised:
            airflow.check_machine()
    assert raised.value.status == 2


def test_too_little_space_is_one_sentence(airflow: LocalAirflow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "NEEDED_BYTES", 10**18)
    with pytest.raises(LocalError, match=r" needs 1000000000.0 GB, but .* GB are free; free some space and try again"):
        airflow.check_machine()


def test_artifacts_that_cannot_be_written_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    environment = variables(tmp_path) | {"LOCAL_ARTIFACTS": str(tmp_path / "file" / "artifacts")}
    answer = local(["up", "--port", "18077"], environment)
    assert answer.returncode == 2
    sentence = f"{tmp_path}/file/artifacts cannot be used (Not a directory); free some space or fix its permissions.\n"
    assert answer.stderr == sentence
    assert (tmp_path / ".airflow").stat().st_mode & 0o777 == 0o700


def test_a_signal_is_noted_and_raised_by_the_next_check(airflow: LocalAirflow) -> None:
    signal.raise_signal(signal.SIGTERM)
    wait_until(lambda: bool(airflow._signals))
    with pytest.raises(LocalError, match="Interrupted; everything that was started has been stopped") as raised:
        airflow.check()
    assert raised.value.status == 128 + signal.SIGTERM


def raises(error: BaseException) -> Callable[[], None]:
    def action() -> None:
        raise error

    return action


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (LocalError("Port 8080 is in use."), 2, "Port 8080 is in use."),
        (LocalError("the scheduler ended", 1), 1, "the scheduler ended"),
        (OSError(errno.ENOSPC, "No space left on device", "/some/file"), 2, "/some/file cannot be used (No space left"),
    ],
)
def test_exit_statuses_and_sentences(
    error: BaseException, status: int, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert carry_out(raises(error), tmp_path / "lock") == status
    assert capsys.readouterr().err.startswith(words)


def test_an_unknown_port_is_a_usage_error_that_names_the_value(tmp_path: Path) -> None:
    answer = local(["run", "--port", "seventy"], variables(tmp_path))
    assert answer.returncode == 2
    assert "argument --port: invalid int value: 'seventy'" in answer.stderr


def local(arguments: list[str], environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "local", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
