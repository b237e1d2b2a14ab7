"""The child process, for real: heard, stopped, killed, orphaned."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from lowtide.config.schema import TrainingConfig
from lowtide.errors import ConfigurationError, TrainingError, TrainingStopped
from lowtide.trainer.child_process import TrainingChild
from lowtide.trainer.protocol import ChildRequest, EventKind, TrainingEvent, TrainingResult

from tests.support.processes import is_gone, processes_of_group
from tests.support.training_events import heard_until

MakeChild = Callable[[TrainingConfig], TrainingChild]
MakeConfig = Callable[..., TrainingConfig]


def environment_of(pid: int) -> dict[str, str]:
    raw = Path(f"/proc/{pid}/environ").read_bytes().decode()
    return dict(entry.split("=", 1) for entry in raw.split("\0") if entry)


def test_a_training_reports_from_its_first_phase_to_its_result(
    make_child: MakeChild,
    training_config: MakeConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mnist_root: Path,
) -> None:
    """In order, with a result, the user's prints in the log and not among the events, and no secret in the child."""
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "fernet-secret")
    monkeypatch.setenv("MY_TOKEN", "token-secret")
    child = make_child(training_config(model="user_code:Chatty", epochs=2, accumulation_steps=3))
    before_s = time.monotonic()
    child.start()
    events = heard_until(child, EventKind.READY)
    environment = environment_of(child.pid)
    events += heard_until(child, EventKind.FINISHED)
    assert child.next_event(0.5) is None
    child.end()
    assert processes_of_group(child.pid) == []

    kinds = [e.data["phase"] if e.kind is EventKind.PHASE else e.kind.value for e in events]
    assert list(dict.fromkeys(kinds)) == ["startup", "ready", "train", "progress", "evaluate", "finished"]
    times = [before_s, *(event.monotonic_s for event in events), time.monotonic()]
    assert times == sorted(times)  # the child's clock is the parent's

    last_progress = [e.data for e in events if e.kind is EventKind.PROGRESS][-1]
    steps = 2 * 21  # 2,000 images at 96 a step: 20 full groups and one of 80
    assert last_progress["optimizer_step"] == last_progress["optimizer_steps"] == steps
    assert last_progress["samples"] == last_progress["samples_total"] == 4000
    assert last_progress["epoch"] == last_progress["epochs"] == 2

    result = TrainingResult.model_validate(events[-1].data)
    assert (result.optimizer_steps, result.samples, result.effective_batch_size) == (steps, 4000, 96)
    assert result.test_accuracy > 0.7
    assert result.versions["torch_threads"] == "1"

    log = (tmp_path / "logs" / "training.log").read_text()
    for line in ('"kind": "finished"', "to stderr", "straight to descriptor 1", "from a subprocess"):
        assert line in log

    assert environment["LOWTIDE_DATA_DIR"] == str(mnist_root)
    assert not any("secret" in value for value in environment.values())
    assert not any(name.startswith("AIRFLOW") for name in environment)

    assert not child.is_running


def test_a_stop_ends_the_training_at_the_next_optimizer_step_and_leaves_no_process(
    make_child: MakeChild, training_config: MakeConfig
) -> None:
    """Not even a zombie."""
    child = make_child(training_config(model="user_code:Slow", epochs=100))
    child.start()
    heard_until(child, EventKind.PROGRESS)
    assert len(processes_of_group(child.pid)) == 2  # the child and its process reaper
    child.request_stop()
    with pytest.raises(TrainingStopped):
        heard_until(child, EventKind.FINISHED)
    child.end()
    assert child.exit_status == 75
    assert processes_of_group(child.pid) == []


def test_ending_takes_less_than_4_s_though_the_child_ignores_sigterm_in_c_code(
    make_child: MakeChild, training_config: MakeConfig, tmp_path: Path
) -> None:
    """And what the child started goes with it; ending once more does nothing."""
    pid_path = tmp_path / "grandchild"
    child = make_child(
        training_config(model={"path": "user_code:stubborn", "kwargs": {"grandchild_pid_path": str(pid_path)}})
    )
    child.start()
    heard_until(child, EventKind.READY)
    while not (pid_path.exists() and pid_path.read_text()):
        assert child.next_event(0.1) is None
    grandchild = int(pid_path.read_text())
    started_s = time.monotonic()
    child.end()
    assert time.monotonic() - started_s < 4
    assert child.exit_status == -signal.SIGKILL
    assert is_gone(child.pid, within_s=0.5)
    assert is_gone(grandchild, within_s=0.5)
    child.end()


PARENT = """
import os, sys, threading, time
from pathlib import Path
from lowtide.config.schema import TrainingConfig
from lowtide.trainer.child_process import TrainingChild
from lowtide.trainer.protocol import EventKind
child = TrainingChild(
    TrainingConfig.model_validate_json(sys.argv[1]), log_path=Path("parent.log"), project_root=Path.cwd()
)
def start():
    child.start()
if sys.argv[2] == "thread":
    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
else:
    start()
if sys.argv[2] == "fork" and os.fork() == 0:  # it has all that its parent has open
    time.sleep(15)
    os._exit(0)
while (event := child.next_event(30)).kind is not EventKind.READY:
    pass
time.sleep(0.7)  # into the data and the model
print(child.pid, child.is_running, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize(("started_from", "model"), [("main", "stubborn"), ("thread", "Slow"), ("fork", "Slow")])
def test_a_child_is_gone_3_s_after_its_parent_was_killed(
    project: Path, training_config: MakeConfig, tmp_path: Path, started_from: str, model: str
) -> None:
    """The process reaper ends it where C code holds the interpreter's lock, or where a process that the parent forked holds the
    control pipe open; else the control pipe does.

    The process reaper also ends what the child started: here a process that would sleep for five minutes.
    """
    kwargs = {"grandchild_pid_path": str(tmp_path / "grandchild")} if model == "stubborn" else {"delay_s": 60}
    training = training_config(model={"path": f"user_code:{model}", "kwargs": kwargs}, epochs=1000)
    command = [sys.executable, "-c", PARENT, training.model_dump_json(), started_from]
    with subprocess.Popen(command, cwd=project, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid, is_running = parent.stdout.readline().split()
        try:
            assert is_running == "True"
            parent.kill()
            assert is_gone(int(pid), within_s=3)
            for left in processes_of_group(int(pid)):
                assert is_gone(left, within_s=2)
        finally:
            parent.kill()
    if model == "stubborn":
        assert is_gone(int((tmp_path / "grandchild").read_text()), within_s=0.1)


def test_a_child_whose_control_pipe_closes_leaves_with_status_70(
    project: Path, training_config: MakeConfig, mnist_root: Path
) -> None:
    request = ChildRequest(training=training_config(model="user_code:Slow", epochs=100))
    read_fd, write_fd = os.pipe()
    command = [sys.executable, "-m", "lowtide.trainer.worker", str(write_fd)]
    with subprocess.Popen(command, cwd=project, stdin=subprocess.PIPE, pass_fds=(write_fd,)) as process:
        os.close(write_fd)
        assert process.stdin is not None
        process.stdin.write(request.model_dump_json().encode() + b"\n")
        process.stdin.flush()
        with os.fdopen(read_fd) as events:
            while TrainingEvent.decode(events.readline()).kind is not EventKind.PROGRESS:
                pass
            process.stdin.close()
            assert process.wait(3) == 70


@pytest.mark.parametrize(("how", "said"), [("exit", "exit status 3"), ("kill", "signal SIGKILL")])
def test_a_silent_death_is_an_error_with_the_last_lines(
    make_child: MakeChild, training_config: MakeConfig, how: str, said: str
) -> None:
    child = make_child(training_config(model={"path": "user_code:dies", "kwargs": {"how": how}}))
    child.start()
    with pytest.raises(TrainingError) as caught:
        heard_until(child, EventKind.FINISHED)
    assert said in str(caught.value)
    assert str(caught.value).endswith("\nthe last thing that it said")


def test_a_users_mistake_comes_as_one_event_and_then_as_its_exception(
    make_child: MakeChild, training_config: MakeConfig
) -> None:
    child = make_child(training_config(model="user_code:no_such_model"))
    child.start()
    event = heard_until(child, EventKind.FAILED)[-1]
    assert event.data["error_type"] == "ConfigurationError"
    assert "training.model.path 'user_code:no_such_model'" in event.data["message"]
    with pytest.raises(ConfigurationError, match="no_such_model"):
        heard_until(child, EventKind.FINISHED)
    child.end()
    assert child.exit_status == 1


def test_a_child_that_was_never_started_ends_and_asks_for_start(
    make_child: MakeChild, training_config: MakeConfig
) -> None:
    child = make_child(training_config())
    child.end()
    assert not child.is_running
    with pytest.raises(TrainingError, match=r"call start\(\) first"):
        child.next_event(0)


def test_leaving_the_block_ends_a_child_that_has_just_been_started(
    make_child: MakeChild, training_config: MakeConfig
) -> None:
    threads = threading.active_count()
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    with make_child(training_config()) as child:
        child.start()
        pid = child.pid
    assert is_gone(pid, within_s=0.1)
    assert threading.active_count() == threads
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors


def test_no_process_of_a_killed_childs_group_is_left(make_child: MakeChild, training_config: MakeConfig) -> None:
    with make_child(training_config(epochs=1000)) as child:
        child.start()
        heard_until(child, EventKind.PROGRESS)
        assert len(processes_of_group(child.pid)) == 2  # the child and its process reaper
        os.kill(child.pid, signal.SIGKILL)
    # the first process of the machine reaps the process reaper's zombie
    assert all(is_gone(pid, within_s=1) for pid in processes_of_group(child.pid))


def test_a_training_that_hangs_is_ended_and_its_stack_is_in_the_log(
    make_child: MakeChild, training_config: MakeConfig, tmp_path: Path
) -> None:
    """In C code that holds the interpreter's lock, so that no thread of the child can say anything any more."""
    with make_child(training_config(model="user_code:Hangs", stall_timeout="10s")) as child:
        child.start()
        with pytest.raises(TrainingError, match=r"made no progress for 10s \(training.stall_timeout\)"):
            heard_until(child, EventKind.FINISHED)
        assert child.is_running
    assert not child.is_running
    log = (tmp_path / "logs" / "training.log").read_text()
    assert re.search(r"user_code.py\", line \d+ in forward", log)


def test_without_a_limit_nothing_is_a_hang(make_child: MakeChild, training_config: MakeConfig) -> None:
    with make_child(training_config(model="user_code:Slow", epochs=100, stall_timeout=None)) as child:
        child.start()
        assert child.next_event(0) is None  # the interpreter takes longer to start
        heard_until(child, EventKind.PROGRESS)


def test_workers_that_a_users_code_forks_die_of_sigterm(make_child: MakeChild, training_config: MakeConfig) -> None:
    """The child itself takes it for a request to stop; what it forks must not."""
    parts = {"micro_batch_size": 1000, "accumulation_steps": 1}
    with make_child(training_config(model="user_code:Terminating", **parts)) as child:
        child.start()
        heard_until(child, EventKind.FINISHED)
