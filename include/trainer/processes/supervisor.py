"""The parent's hand on the training child: start it, hear it, ask it to stop, end it for certain."""

import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from include.config.training import TrainingConfig
from include.errors import ArtifactError, LowtideError, TrainingError, TrainingPaused, TrainingStopped
from include.trainer.checkpoint.identity import CheckpointPlan
from include.trainer.processes.environment import child_environment
from include.trainer.processes.lines import LineReader, last_lines
from include.trainer.processes.process import ChildProcess, ProcessUsage, describe_exit
from include.trainer.processes.protocol import STACK_SIGNAL, ChildRequest, Command, EventKind, ExitStatus, TrainingEvent
from include.trainer.stall import StallWatch

_SHOWN_LINES = 20
_SIGTERM_GRACE_S = 1.0
_LONGEST_GRACE_S = 2.5
"""With the second after SIGTERM this stays below the 4 s that ``end`` promises."""
_LOOK_S = 0.1
_STACK_S = 0.5
"""For the child's signal handler to write where it hangs."""


class TrainingChild:
    """A training in a process of its own, never forked from this one; used as a context manager it always ends.

    :param data_folder: where data sets are kept; the child gets it as ``LOWTIDE_DATA_DIR``.
    :param log_path: what the child and the user's code in it print is appended here.
    :param checkpoints: where its state is kept, and gone on from if there is one; None: nowhere.
    :param environment: variables that it must see whatever this process has.
    """

    def __init__(
        self,
        training: TrainingConfig,
        *,
        data_folder: Path,
        log_path: Path,
        project_root: Path,
        checkpoints: CheckpointPlan | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._training = training
        self._checkpoints = checkpoints
        self._stall = StallWatch(training.stall_timeout)
        self._log_path = log_path
        self._project_root = project_root
        self._environment = child_environment(
            {**os.environ, **(environment or {})},
            extra=training.environment,
            project_root=project_root,
            data_folder=data_folder.absolute(),
        )
        self._process: ChildProcess | None = None
        self._events: LineReader | None = None
        self._log_offset = 0
        self._outcome: TrainingEvent | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.end()

    def start(self) -> None:
        """Start the child and hand it its configuration.

        :raises ArtifactError: the log file cannot be written.
        :raises TrainingError: started before, or the process cannot be made.
        """
        if self._process is not None:
            raise TrainingError("this training child has been started already; make a new TrainingChild")
        read_fd, write_fd = os.pipe()
        self._events = LineReader(read_fd)
        try:
            self._process = self._spawn(write_fd)
        finally:
            os.close(write_fd)  # the child's copy must be the only one, or its death would not close the pipe
        request = ChildRequest(
            training=self._training,
            # PR_SET_PDEATHSIG fires when the starting thread ends; only the main thread is sure to outlive the child
            die_with_parent_thread=threading.current_thread() is threading.main_thread(),
            checkpoints=self._checkpoints,
        )
        self._stall.start()
        self._process.write(request.model_dump_json() + "\n")  # a child that died at once is next_event's business

    def _spawn(self, events_fd: int) -> ChildProcess:
        command = [sys.executable, "-m", "include.trainer.child", str(events_fd)]
        with self._open_log() as log:
            self._log_offset = log.tell()
            try:
                return ChildProcess(
                    command, folder=self._project_root, environment=self._environment, output=log, events_fd=events_fd
                )
            except OSError as error:
                raise TrainingError(f"the training child cannot be started ({error})") from error

    def _open_log(self) -> IO[bytes]:
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
        return self._started().pid

    @property
    def is_running(self) -> bool:
        """Whether the child lives."""
        return self._process is not None and self._process.is_running

    @property
    def exit_status(self) -> int | None:
        """How the child ended (``protocol.ExitStatus``), negative for a signal; None while it runs."""
        return self._process.exit_status if self._process is not None else None

    @property
    def usage(self) -> ProcessUsage | None:
        """Peak RSS and CPU time; None before ``end``."""
        return self._process.usage if self._process is not None else None

    def next_event(self, timeout_s: float) -> TrainingEvent | None:
        """Return the next event; None when none came in time, and after ``finished``. Heartbeats are kept back.

        :raises TrainingStopped: the child stopped on request (TrainingPaused: with all its state saved).
        :raises LowtideError: what a ``failed`` event said, when asked again after it.
        :raises TrainingError: the child died without ``finished``, with its last lines, sent what is not an event, or gave
            no sign of progress for ``training.stall_timeout``.
        """
        until = time.monotonic() + timeout_s
        while True:
            # looked at before reading: what a child wrote before it died is then surely in the pipe
            ended = not self._started().is_running
            line = self._reader().next_line(0.0 if ended else min(_LOOK_S, max(0.0, until - time.monotonic())))
            event = None if line is None else self._heard(TrainingEvent.decode(line))
            if event is not None:
                return event
            if line is not None:
                continue
            if self._outcome is not None and self._outcome.kind is EventKind.FINISHED:
                return None
            if ended:
                raise self._death()
            if self._stall.is_over():  # only now that the pipe is empty: a parent that slept has not looked
                raise self._hung()
            if time.monotonic() >= until:
                return None

    def _heard(self, event: TrainingEvent) -> TrainingEvent | None:
        self._stall.heard(event)
        if event.kind in (EventKind.FINISHED, EventKind.FAILED, EventKind.STOPPED):
            self._outcome = event
        return None if event.kind is EventKind.HEARTBEAT else event

    def _hung(self) -> TrainingError:
        self._started().signal_child(STACK_SIGNAL)
        time.sleep(_STACK_S)
        return TrainingError(f"{self._stall.sentence()}; where it hangs is at the end of {self._log_path}")

    def _death(self) -> LowtideError:
        status = self._started().exit_status or 0
        if status == ExitStatus.STOPPED:
            return _left_on_request(self._outcome)
        if self._outcome is not None and self._outcome.kind is EventKind.FAILED:
            return self._outcome.as_error()
        lines = last_lines(self._log_path, start=self._log_offset, count=_SHOWN_LINES)
        shown = "; it printed nothing" if not lines else "; its last lines:\n" + "\n".join(lines)
        return TrainingError(f"the training child ended with {describe_exit(status)} before it had finished{shown}")

    def request_stop(self) -> None:
        """Ask the child to save and leave at the next optimizer step, with status 75. Nothing if it has ended."""
        self._started().write(Command.STOP.as_line())

    def request_pause(self) -> None:
        """Ask the child to leave at the next optimizer step, status 75, but only once its checkpoint is on the disk.

        Where none can be written it says so (a ``warning`` event) and goes on training.
        """
        self._started().write(Command.PAUSE.as_line())

    def request_checkpoint(self) -> None:
        """Ask the child to save at the next optimizer step and to go on."""
        self._started().write(Command.CHECKPOINT.as_line())

    def end(self, grace_s: float = 2.0) -> None:
        """End the child and all that it started, and reap it: asked first, then SIGTERM, then SIGKILL; within 4 s.

        :param grace_s: seconds between the request and SIGTERM, at most 2.5.
        """
        process = self._process
        if process is not None and process.usage is None:
            if process.is_running:
                self.request_stop()
                if not process.wait(min(grace_s, _LONGEST_GRACE_S)):
                    process.signal_group(signal.SIGTERM)
                    process.wait(_SIGTERM_GRACE_S)
            process.signal_group(signal.SIGKILL)  # also for what a dead child left in its group
            process.reap()
        if self._events is not None:
            self._events.close()

    def _started(self) -> ChildProcess:
        if self._process is None:
            raise TrainingError("the training child has not been started; call start() first")
        return self._process

    def _reader(self) -> LineReader:
        if self._events is None:
            raise TrainingError("the training child has not been started; call start() first")
        return self._events


def _left_on_request(stopped: TrainingEvent | None) -> TrainingStopped:
    if stopped is None or stopped.data.get("checkpoint") is None:
        return TrainingStopped("the training stopped on request, before it was complete")
    step, paused = stopped.data["optimizer_step"], stopped.data["requested"] == "pause"
    kind = TrainingPaused if paused else TrainingStopped
    return kind(
        f"the training {'paused' if paused else 'stopped'} on request at optimizer step {step}; its state is saved"
    )
