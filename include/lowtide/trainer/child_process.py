"""The parent's side of the training child: start it, read its events, ask it to stop, end it and its whole process group.

``process_reaper`` kills the orphans of a child whose parent died; it is used on the child's side, in ``worker``.
"""

import contextlib
import importlib.util
import os
import select
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO, NoReturn

import lowtide
from lowtide.config.loader import DATA_VARIABLE, PROJECT_VARIABLE
from lowtide.config.schema import TrainingConfig
from lowtide.errors import (
    ArtifactError,
    ConfigurationError,
    LowtideError,
    TrainingError,
    TrainingPaused,
    TrainingStopped,
)
from lowtide.timeutil import format_duration
from lowtide.trainer.protocol import (
    STACK_SIGNAL,
    CheckpointPlan,
    ChildRequest,
    Command,
    EventKind,
    ExitStatus,
    TrainingEvent,
)

ALLOWED = (
    *("PATH", "HOME", "USER", "LANG", "LC_*", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "XDG_CACHE_HOME"),
    *("CUDA_*", "NVIDIA_*", "OMP_*", "MKL_*", "OPENBLAS_*", "PYTORCH_*", "TORCH_*"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
    *("SSL_CERT_*", "REQUESTS_CA_BUNDLE"),
)
"""The environment variables that the child may see, an allow-list, so that a new secret stays out by default."""


def child_environment(parent: Mapping[str, str], *, extra: tuple[str, ...], project_root: Path) -> dict[str, str]:
    """Return the child's whole environment.

    :param extra: the names in ``training.environment``; one that is not set is left out.
    :raises ConfigurationError: an ``AIRFLOW*`` name in ``extra``: those carry connections, keys and the database's address.
    """
    for name in extra:
        if name.upper().startswith("AIRFLOW"):
            raise ConfigurationError(
                f"training.environment lists '{name}', but Airflow's own variables hold secrets and never reach the"
                " training child; remove it and pass what the model needs under another name"
            )
    allowed = {
        name: value
        for name, value in parent.items()
        if name in extra or any(fnmatchcase(name, pattern) for pattern in ALLOWED)
    }
    if data_folder := parent.get(DATA_VARIABLE):
        allowed[DATA_VARIABLE] = str(Path(data_folder).absolute())  # the child runs in another folder
    return allowed | {
        PROJECT_VARIABLE: str(project_root),
        # the users' code, and the very Lowtide that runs here
        "PYTHONPATH": os.pathsep.join([str(project_root), str(Path(lowtide.__file__).parents[1])]),
        "PYTHONUNBUFFERED": "1",  # a killed child's last words must be in the log, not in its buffer
    }


_TAIL_BYTES = 32 * 1024


class LineReader:
    """Reads complete lines from a pipe, whose descriptor it owns; an unfinished last line is never returned."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lines: deque[bytes] = deque()
        self._rest = b""
        self._open = True

    def next_line(self, timeout_s: float) -> str | None:
        """Return the next line; None when there is none within the time."""
        while not self._lines and self._is_readable(timeout_s):
            self._read()
        if not self._lines:
            return None
        return self._lines.popleft().decode(errors="replace")

    def _is_readable(self, timeout_s: float) -> bool:
        if not self._open:
            # closed at the far end: without the wait, a caller that polls a child still on its way out would spin
            time.sleep(timeout_s)
            return False
        poll = select.poll()  # select() refuses descriptors above 1023, which a busy worker may well have
        poll.register(self._descriptor, select.POLLIN)
        return bool(poll.poll(timeout_s * 1000))

    def _read(self) -> None:
        chunk = os.read(self._descriptor, 65_536)
        if not chunk:
            self.close()
            return
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        self._lines.extend(lines)

    def close(self) -> None:
        """Close the descriptor; lines already read remain available."""
        if self._open:
            self._open = False
            os.close(self._descriptor)


def last_lines(path: Path, *, start: int, count: int) -> list[str]:
    """Return the last lines of a file after an offset; none if the file cannot be read."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(start, size - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return [line for line in text.splitlines() if line.strip()][-count:]


_ORPHAN_GRACE_S = 1.0
"""For an orphaned child to exit by itself, with the exit status of an orphan."""


@contextmanager
def process_reaper(control_fd: int, *, close: tuple[int, ...]) -> Iterator[None]:
    """Have a small process beside the child that outlives it by a second, and kills its whole group when the parent is gone.

    It ends a child that hangs in C code, where its own thread at the control pipe cannot run, and what the child started: a data
    loader's workers, a program that a user's model calls. They share the child's process group, and the reaper, a fork made
    before PyTorch is imported, watches the parent, and the control pipe, which hangs up with the parent however that died unless
    a process that it had forked holds it open.

    Does nothing where the child leads no process group, which then holds other programs.

    :param control_fd: the read end of the control pipe; only watched, never read.
    :param close: descriptors that the process reaper must not hold open.
    """
    watched = {control_fd: 0}  # hang-ups only
    with contextlib.suppress(AttributeError, OSError):  # not Linux, or a sandbox forbids it
        watched[os.pidfd_open(os.getppid())] = select.POLLIN  # it ended
    pid = os.fork() if os.getpgrp() == os.getpid() else None
    if pid == 0:
        _kill_orphans(watched, close)
    try:
        yield
    finally:
        if pid is not None:  # reaped here: not every container's first process reaps orphans
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


def _kill_orphans(watched: dict[int, int], close: tuple[int, ...]) -> NoReturn:
    try:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # meant for the child; the reaper exits last
        for descriptor in close:
            os.close(descriptor)
        poll = select.poll()
        for descriptor, events in watched.items():
            poll.register(descriptor, events)
        poll.poll()
        time.sleep(_ORPHAN_GRACE_S)
        os.killpg(0, signal.SIGKILL)
    finally:
        os._exit(0)


_SHOWN_LINES = 20
_SIGTERM_GRACE_S = 1.0
_LONGEST_GRACE_S = 2.5
"""With the second after SIGTERM this stays below the 4 s that ``end`` promises."""
_READ_S = 0.1
_POLL_S = 0.02
_STACK_S = 0.5
"""For the child's signal handler to write where it hangs."""


def require_pytorch() -> None:
    """Check that a training child will find PyTorch, which the sensor and the reports do without.

    :raises ConfigurationError: it is not installed.
    """
    if importlib.util.find_spec("torch") is None:
        raise ConfigurationError(
            f"PyTorch is not installed for {sys.executable}, and a training needs it; run: pip install 'lowtide[train]'"
        )


class TrainingChild(AbstractContextManager["TrainingChild"]):
    """A training in a separate process, never forked from this one; as a context manager it always ends the process.

    The child leads a new session and process group. Its death is detected without reaping it: until ``end`` the zombie keeps
    the group's id from being reused, so that a signal to the group reaches only the child's own processes.

    :param log_path: the child's output, the user's prints included, is appended here; None: this process's own output.
    :param checkpoints: where its state is kept, and resumed from if there is one; None: nowhere.
    :param trial_sizes: micro-batches that it measures instead of training, in ascending order.
    :param environment: variables that it must see whatever this process has.
    """

    def __init__(
        self,
        training: TrainingConfig,
        *,
        log_path: Path | None,
        project_root: Path,
        checkpoints: CheckpointPlan | None = None,
        trial_sizes: tuple[int, ...] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._request = ChildRequest(training=training, checkpoints=checkpoints, trial_sizes=trial_sizes)
        self._log_path = log_path
        self._project_root = project_root
        self._environment = child_environment(
            {**os.environ, **(environment or {})}, extra=training.environment, project_root=project_root
        )
        self._process: subprocess.Popen[bytes] | None = None
        self._events: LineReader | None = None
        self._log_offset = 0
        self._outcome: TrainingEvent | None = None
        self._progress_s = 0.0

    def __exit__(self, *error: object) -> None:
        self.end()

    def start(self) -> None:
        """Start the child and hand it its configuration.

        :raises ArtifactError: the log file cannot be written.
        :raises ConfigurationError: PyTorch is not installed.
        :raises TrainingError: started before, or the process cannot be made.
        """
        if self._process is not None:
            raise TrainingError("this training child has been started already; make a new TrainingChild")
        require_pytorch()
        read_fd, write_fd = os.pipe()
        self._events = LineReader(read_fd)
        try:
            self._process = self._spawn(write_fd)
        finally:
            os.close(write_fd)  # the child's copy must be the only one, or its death would not close the pipe
        self._progress_s = time.monotonic()
        self._write(self._request.model_dump_json())  # a child that died at once is next_event's business

    def _spawn(self, events_fd: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "lowtide.trainer.worker", str(events_fd)]
        with self._open_log() as log:
            self._log_offset = log.tell() if log else 0
            try:
                return subprocess.Popen(
                    command,
                    cwd=self._project_root,
                    env=self._environment,
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    pass_fds=(events_fd,),
                    start_new_session=True,
                    bufsize=0,
                )
            except OSError as error:
                raise TrainingError(f"the training child cannot be started ({error})") from error

    def _open_log(self) -> AbstractContextManager[IO[bytes] | None]:
        if self._log_path is None:
            return nullcontext()
        try:
            self._log_path.parent.mkdir(parents=True, exist_ok=True)
            return self._log_path.open("ab")
        except OSError as error:
            raise ArtifactError(
                f"the training child's log {self._log_path} cannot be written ({error.strerror}); check the folder"
            ) from error

    @property
    def pid(self) -> int:
        """The child's process id, which is also its process group's."""
        return self._started()[0].pid

    @property
    def is_running(self) -> bool:
        """Whether the child is alive; a zombie is not."""
        return self._process is not None and self.exit_status is None

    @property
    def exit_status(self) -> int | None:
        """How the child ended (``protocol.ExitStatus``), negative for a signal; None while it runs."""
        if self._process is None or self._process.returncode is not None:
            return None if self._process is None else self._process.returncode
        state = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if state is None:
            return None
        return state.si_status if state.si_code == os.CLD_EXITED else -state.si_status

    def next_event(self, timeout_s: float) -> TrainingEvent | None:
        """Return the next event; None if none came in time, and after ``finished``.

        :raises TrainingStopped: the child stopped on request (TrainingPaused: with all its state saved).
        :raises LowtideError: what a ``failed`` event reported, on the next call after it.
        :raises TrainingError: the child died without ``finished`` (with its last lines), sent what is not an event, or made
            no progress for ``training.stall_timeout``.
        """
        _, events = self._started()
        until = time.monotonic() + timeout_s
        while True:
            # checked before reading: what a child wrote before it died is then in the pipe
            status = self.exit_status
            line = events.next_line(0.0 if status is not None else min(_READ_S, max(0.0, until - time.monotonic())))
            if line is not None:
                return self._received(TrainingEvent.decode(line))
            if self._outcome is not None and self._outcome.kind is EventKind.FINISHED:
                return None
            if status is not None:
                raise self._death(status)
            self._check_progress()  # only now that the pipe is empty: a parent that slept has not read it
            if time.monotonic() >= until:
                return None

    def _received(self, event: TrainingEvent) -> TrainingEvent:
        self._progress_s = event.monotonic_s
        if event.kind in (EventKind.FINISHED, EventKind.FAILED, EventKind.STOPPED):
            self._outcome = event
        return event

    def _check_progress(self) -> None:
        limit = self._request.training.stall_timeout
        if limit is None or time.monotonic() - self._progress_s <= limit.total_seconds():
            return
        os.kill(self.pid, STACK_SIGNAL)  # at worst a zombie: its id is not reused before it is reaped
        time.sleep(_STACK_S)
        raise TrainingError(
            f"the training made no progress for {format_duration(limit)} (training.stall_timeout), so it was ended; its stack"
            f" is at the end of {self._log_name}"
        )

    def _death(self, status: int) -> LowtideError:
        if status == ExitStatus.STOPPED:
            return _left_on_request(self._outcome)
        if self._outcome is not None and self._outcome.kind is EventKind.FAILED:
            return self._outcome.as_error()
        return TrainingError(
            f"the training child ended with {describe_exit(status)} before it had finished; {self._last_output()}"
        )

    def _last_output(self) -> str:
        if self._log_path is None:
            return f"its output is in {self._log_name}"
        lines = last_lines(self._log_path, start=self._log_offset, count=_SHOWN_LINES)
        return "its last lines:\n" + "\n".join(lines) if lines else "it printed nothing"

    @property
    def _log_name(self) -> str:
        return "the training's log" if self._log_path is None else str(self._log_path)

    def request_stop(self) -> None:
        """Ask the child to save and exit at the next optimizer step, with status 75; does nothing if it has ended."""
        self._write(Command.STOP)

    def request_pause(self) -> None:
        """Ask the child to exit at the next optimizer step, with status 75, but only once its checkpoint is on disk.

        Where none can be written it sends a ``warning`` event and continues.
        """
        self._write(Command.PAUSE)

    def _write(self, line: str) -> None:
        pipe = self._started()[0].stdin
        if pipe is not None and not pipe.closed:
            with contextlib.suppress(BrokenPipeError):  # no process reads it any more
                pipe.write(f"{line}\n".encode())

    def end(self, grace_s: float = 2.0) -> None:
        """End the child and all that it started, and reap it: asked first, then SIGTERM, then SIGKILL; within 4 s.

        :param grace_s: seconds between the request and SIGTERM, at most 2.5.
        """
        process = self._process
        if process is not None and process.returncode is None:
            if self.is_running:
                self.request_stop()
                if not self._has_ended(min(grace_s, _LONGEST_GRACE_S)):
                    _signal_group(process.pid, signal.SIGTERM)
                    self._has_ended(_SIGTERM_GRACE_S)
            _signal_group(process.pid, signal.SIGKILL)  # also ends what a dead child left in its group
            process.wait()
            if process.stdin is not None:
                process.stdin.close()
        if self._events is not None:
            self._events.close()

    def _has_ended(self, within_s: float) -> bool:
        until = time.monotonic() + within_s
        while self.is_running:
            if time.monotonic() >= until:
                return False
            time.sleep(_POLL_S)
        return True

    def _started(self) -> tuple[subprocess.Popen[bytes], LineReader]:
        if self._process is None or self._events is None:
            raise TrainingError("the training child has not been started; call start() first")
        return self._process, self._events


def describe_exit(status: int) -> str:
    """Return an exit status in words."""
    try:
        return f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
    except ValueError:
        return f"signal {-status}"


def _signal_group(leader: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):  # it has no session yet, or no process is left in it
        os.killpg(leader, number)


def _left_on_request(stopped: TrainingEvent | None) -> TrainingStopped:
    if stopped is None or stopped.data.get("checkpoint") is None:
        return TrainingStopped("the training stopped on request before it was complete")
    step, paused = stopped.data["optimizer_step"], stopped.data["requested"] == "pause"
    kind = TrainingPaused if paused else TrainingStopped
    return kind(
        f"the training {'paused' if paused else 'stopped'} on request at optimizer step {step}; its state is saved"
    )
