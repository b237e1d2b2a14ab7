"""What parent and child say to one another: JSON lines, events up and commands down.

Events travel on a descriptor of their own, so that nothing a user's code prints can be taken for one. The first line
down is a ``ChildRequest``; further lines are commands. End of file on that pipe means that the parent is gone.

Exit statuses of the child: 0 finished, 1 failed (a ``failed`` event says why), 70 orphaned, 75 paused or stopped on
request (a ``stopped`` event says which, and what was saved).
"""

import json
import signal
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any, Final, Self

from pydantic import BaseModel, ConfigDict

from include import errors
from include.config.training import TrainingConfig
from include.errors import LowtideError, TrainingError
from include.trainer.checkpoint.identity import CheckpointPlan

STACK_SIGNAL: Final = signal.SIGUSR2
"""Makes the child write what each of its threads is doing into its log, also while C code holds the interpreter's lock."""


class Command(StrEnum):
    """What the parent may ask for; all are done between two optimizer steps.

    ``pause`` leaves only once a checkpoint is on the disk, and goes on training where none can be written; ``stop`` saves
    what it can and leaves; ``checkpoint`` saves and goes on.
    """

    STOP = "stop"
    PAUSE = "pause"
    CHECKPOINT = "checkpoint"

    def as_line(self) -> str:
        """Return the command as a line, with the line's end."""
        return json.dumps({"command": self.value}) + "\n"


class ExitStatus(IntEnum):
    """How the child ended; 70 and 75 are EX_SOFTWARE and EX_TEMPFAIL of sysexits.h."""

    FINISHED = 0
    FAILED = 1
    ORPHANED = 70
    STOPPED = 75
    PAUSED = 75  # the same: left on request, to be gone on with


class EventKind(StrEnum):
    """What an event tells; its data are listed in ``TrainingEvent``."""

    READY = "ready"
    PHASE = "phase"
    PROGRESS = "progress"
    RESUMED = "resumed"
    CHECKPOINT = "checkpoint"
    WARNING = "warning"
    NOTE = "note"
    HEARTBEAT = "heartbeat"
    STOPPED = "stopped"
    FINISHED = "finished"
    FAILED = "failed"


class ChildRequest(BaseModel):
    """The first line down: what to train, and whether the kernel may tie the child's life to its parent's thread.

    ``checkpoints`` is where the state is kept, and gone on from if some is there already; None: nowhere.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    training: TrainingConfig
    die_with_parent_thread: bool
    checkpoints: CheckpointPlan | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingEvent:
    """One line up. ``monotonic_s`` is the child's CLOCK_MONOTONIC, which is also the parent's: same machine, same boot.

    Data by kind:

    - ready: device, device_name, torch_version, base_rss_bytes, peak_memory_method, versions, micro_batch_size,
      accumulation_steps
    - phase: phase (startup | train | checkpoint | evaluate)
    - progress: epoch (from 1), epochs, optimizer_step, optimizer_steps, samples, samples_total, loss, samples_per_s
    - resumed: optimizer_step, epoch (from 0), checkpoint (its manifest's name)
    - checkpoint: optimizer_step, epoch (from 0), checkpoint, size_bytes, duration_s
    - warning: message (one line for the log and the record; the training goes on)
    - note: message (one line for the log)
    - heartbeat: nothing; sent every few seconds by a thread of its own, so it says that the process lives, no more
    - stopped: requested (stop | pause), optimizer_step, checkpoint (null: none could be written)
    - finished: the fields of ``TrainingResult``
    - failed: error_type, message
    """

    kind: EventKind
    monotonic_s: float
    data: dict[str, Any]

    def encode(self) -> str:
        """Return the event as one line of JSON, with the line's end.

        :raises ValueError: a figure that is not finite; JSON has no word for it.
        """
        return (
            json.dumps({"kind": self.kind, "monotonic_s": self.monotonic_s, "data": self.data}, allow_nan=False) + "\n"
        )

    @classmethod
    def decode(cls, line: str) -> Self:
        """Read one line; keys of later versions are left aside.

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
        """Return the exception that a ``failed`` event stands for: of our own type where it has one, else TrainingError."""
        kind = getattr(errors, str(self.data.get("error_type")), None)
        if not (isinstance(kind, type) and issubclass(kind, LowtideError)):
            kind = TrainingError
        return kind(str(self.data.get("message")))
