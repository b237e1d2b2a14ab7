"""Messages between parent and child: events up, as JSON lines, and commands down.

Events travel on a separate descriptor, so that nothing a user's code prints can be taken for one. The first line
down is a ``ChildRequest``; further lines are commands, one word each. End of file on that pipe means that the parent is gone.

Exit statuses of the child: 0 finished, 1 failed (a ``failed`` event gives the reason), 70 orphaned, 75 paused or stopped on
request (a ``stopped`` event names which, and what was saved).
"""

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field

from lowtide import errors
from lowtide.config.schema import TrainingConfig
from lowtide.errors import LowtideError, TrainingError
from lowtide.records import TrainingFigures


class CheckpointPlan(BaseModel):
    """Where a training's checkpoints lie and whose they are; part of the request to the child.

    :param training_id: made once when a training begins from nothing. A run that was deleted and made again has the same
        run id and the same folder, and must not resume where the deleted one stopped.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: Path
    run_id: str
    training_id: str


STACK_SIGNAL: Final = signal.SIGUSR2
"""Makes the child write what each of its threads is doing into its log, also while C code holds the interpreter's lock."""


class Command(StrEnum):
    """What the parent may request; each is done between two optimizer steps.

    ``pause`` exits only once a checkpoint is on disk, and continues if none can be written; ``stop`` saves what it can and
    exits.
    """

    STOP = "stop"
    PAUSE = "pause"


class ExitStatus(IntEnum):
    """How the child ended; 70 and 75 are EX_SOFTWARE and EX_TEMPFAIL of sysexits.h."""

    FINISHED = 0
    FAILED = 1
    ORPHANED = 70
    STOPPED = 75


class EventKind(StrEnum):
    """The kinds of events; their data are listed in ``TrainingEvent``."""

    READY = "ready"
    PHASE = "phase"
    PROGRESS = "progress"
    RESUMED = "resumed"
    CHECKPOINT = "checkpoint"
    WARNING = "warning"
    NOTE = "note"
    MEASURED = "measured"
    STOPPED = "stopped"
    FINISHED = "finished"
    FAILED = "failed"


class ChildRequest(BaseModel):
    """The first line down: what to train.

    ``checkpoints`` is where the state is kept, and resumed from where there is one; None: nowhere. With ``trial_sizes``
    the child measures the memory of these micro-batches, in ascending order, and does not train.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    training: TrainingConfig
    checkpoints: CheckpointPlan | None = None
    trial_sizes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingEvent:
    """One line up. ``monotonic_s`` is the child's CLOCK_MONOTONIC, which is also the parent's: same machine, same boot.

    Data by kind:

    - ready: micro_batch_size, accumulation_steps
    - phase: phase (startup | train | checkpoint | evaluate)
    - progress: epoch (from 1), epochs, optimizer_step, optimizer_steps, samples, samples_total, loss, samples_per_s
    - resumed: optimizer_step, epoch (from 0), checkpoint (its manifest's name)
    - checkpoint: optimizer_step, epoch (from 0), checkpoint, size_bytes, duration_s
    - warning: message (one line for the log and the record; the training continues)
    - note: message (one line for the log)
    - measured: micro_batch_size, peak_memory_bytes (null: memory ran out); sent by a trial only
    - stopped: requested (stop | pause), optimizer_step, checkpoint (null: none could be written)
    - finished: the fields of ``TrainingResult``; nothing after a trial
    - failed: error_type, message
    """

    kind: EventKind
    monotonic_s: float
    data: dict[str, Any]

    def encode(self) -> str:
        """Return the event as one line of JSON, with the line's end.

        :raises ValueError: a figure that is not finite, which JSON cannot hold.
        """
        return (
            json.dumps({"kind": self.kind, "monotonic_s": self.monotonic_s, "data": self.data}, allow_nan=False) + "\n"
        )

    @classmethod
    def decode(cls, line: str) -> Self:
        """Read one line; keys of later versions are ignored.

        :raises TrainingError: the line is not an event; the message shows it.
        """
        try:
            raw = json.loads(line)
            # dict() of what is not a mapping is one of the two errors below
            return cls(kind=EventKind(raw["kind"]), monotonic_s=float(raw["monotonic_s"]), data=dict(raw["data"]))
        except (ValueError, KeyError, TypeError) as error:
            raise TrainingError(
                f"the training child sent a line that is not an event: {line.strip()[:200]!r}"
            ) from error

    def as_error(self) -> LowtideError:
        """Return the exception that a ``failed`` event reports: a Lowtide exception where it is one, else TrainingError."""
        kind = getattr(errors, str(self.data.get("error_type")), None)
        if not (isinstance(kind, type) and issubclass(kind, LowtideError)):
            kind = TrainingError
        return kind(str(self.data.get("message")))


@dataclass(frozen=True, slots=True)
class Requests:
    """What the parent requested and has not been done yet."""

    stop: threading.Event = field(default_factory=threading.Event)
    pause: threading.Event = field(default_factory=threading.Event)

    def take(self, line: bytes) -> None:
        """Record a command; one of a later version, or a torn one, is ignored."""
        requested = {b"stop\n": self.stop, b"pause\n": self.pause}.get(line)
        if requested is not None:
            requested.set()


class Control:
    """The child's end of the control pipe: reads the request from standard input, then commands and the parent's death."""

    def __init__(self) -> None:
        # A copy, not inherited by what the user's code starts; standard input itself becomes empty, so that a user's
        # input() cannot swallow a command.
        # Unbuffered: a buffer's lock, held by a daemon thread, aborts the exit.
        self._pipe = os.fdopen(os.dup(0), "rb", buffering=0)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        self.descriptor = self._pipe.fileno()  # it hangs up when the parent is gone
        line = self._pipe.readline()
        if not line:
            leave_as_orphan()
        self.request = ChildRequest.model_validate_json(line)
        self.requests = Requests()

    def listen(self) -> None:
        """Start the thread that reads commands and ends this process when the parent is gone."""
        threading.Thread(target=self._listen, name="control", daemon=True).start()

    def _listen(self) -> None:
        for line in self._pipe:
            self.requests.take(line)
        leave_as_orphan()


class Events:
    """The child's end of the event pipe, which no process that the user's code starts inherits."""

    def __init__(self, descriptor: int) -> None:
        os.set_inheritable(descriptor, False)
        self.descriptor = descriptor
        self._pipe = os.fdopen(descriptor, "wb", buffering=0)

    def emit(self, kind: EventKind, data: dict[str, object]) -> None:
        """Write one event, stamped now."""
        line = TrainingEvent(kind=kind, monotonic_s=time.monotonic(), data=data).encode().encode()
        try:
            while line:
                line = line[self._pipe.write(line) or 0 :]
        except BrokenPipeError:
            leave_as_orphan()


def leave_as_orphan() -> None:
    """Exit at once, whatever the main thread is doing: no parent is left to receive a result."""
    os._exit(ExitStatus.ORPHANED)


Emit = Callable[[EventKind, dict[str, object]], None]


class TrainingResult(TrainingFigures):
    """The figures of a finished training, and what they depend on."""

    effective_batch_size: Annotated[int, Field(ge=1)]
    seed: int
    versions: dict[str, str]
