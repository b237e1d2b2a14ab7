"""The parent's hand on the training child: start it, hear it, ask it to stop, end it for certain."""

import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from include.config.training import TrainingConfig
from include.errors import ArtifactError, LowtideError, TrainingError, TrainingStopped
from include.trainer.environment import child_environment
from include.trainer.lines import LineReader, last_lines
from include.trainer.process import ChildProcess, ProcessUsage, describe_exit
from include.trainer.protocol import STOP_COMMAND, ChildRequest, EventKind, ExitStatus, TrainingEvent

_SHOWN_LINES = 20
_SIGTERM_GRACE_S = 1.0
_LONGEST_GRACE_S = 2.5
"""With the second after SIGTERM this stays below the 4 s that ``end`` promises."""
_LOOK_S = 0.1


class TrainingChild:
    """A training in a process of its own, never forked from this one; used as a context manager it always ends.

    :param data_folder: where data sets are kept; the child gets it as ``LOWTIDE_DATA_DIR``.
    :param log_path: what the child and the user's code in it print is appended here.
    """

    def __init__(self, training: TrainingConfig, *, data_folder: Path, log_path: Path, project_root: Path) -> None:
        self._training = training
        self._log_path = log_path
        self._project_root = project_root
        self._environment = child_environment(
            os.environ, extra=training.environment, project_root=project_root, data_folder=data_folder.absolute()
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
        )
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
        """Return the next event; None when none came in time, and after ``finished``.

        :raises TrainingStopped: the child stopped on request.
        :raises LowtideError: what a ``failed`` event said, when asked again after it.
        :raises TrainingError: the child died without ``finished``, with its last lines, or sent what is not an event.
        """
        until = time.monotonic() + timeout_s
        while True:
            # looked at before reading: what a child wrote before it died is then surely in the pipe
            ended = not self._started().is_running
            line = self._reader().next_line(0.0 if ended else min(_LOOK_S, max(0.0, until - time.monotonic())))
            if line is not None:
                return self._heard(TrainingEvent.decode(line))
            if self._outcome is not None and self._outcome.kind is EventKind.FINISHED:
                return None
            if ended:
                raise self._death()
            if time.monotonic() >= until:
                return None

    def _heard(self, event: TrainingEvent) -> TrainingEvent:
        if event.kind in (EventKind.FINISHED, EventKind.FAILED):
            self._outcome = event
        return event

    def _death(self) -> LowtideError:
        if self._outcome is not None:
            return self._outcome.as_error()
        status = self._started().exit_status or 0
        if status == ExitStatus.STOPPED:
            return TrainingStopped("the training stopped on request, before it was complete")
        lines = last_lines(self._log_path, start=self._log_offset, count=_SHOWN_LINES)
        shown = "; it printed nothing" if not lines else "; its last lines:\n" + "\n".join(lines)
        return TrainingError(f"the training child ended with {describe_exit(status)} before it had finished{shown}")

    def request_stop(self) -> None:
        """Ask the child to stop at the next optimizer step; it leaves with status 75. Nothing if it has ended."""
        self._started().write(STOP_COMMAND)

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
