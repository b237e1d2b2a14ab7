"""The child's end of the control pipe, and its end of the event pipe."""

import os
import threading
import time
from typing import Final

from include.trainer.protocol import ChildRequest, EventKind, ExitStatus, TrainingEvent

_STOP: Final = b'"stop"'


class Control:
    """Reads the request from standard input, then listens for commands and for the parent's death."""

    def __init__(self) -> None:
        # A copy, not inherited by what the user's code starts; standard input itself becomes empty, so that a user's
        # input() cannot swallow a command.
        self._pipe = os.fdopen(
            os.dup(0), "rb", buffering=0
        )  # a buffer's lock, held by a daemon thread, aborts the exit
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        line = self._pipe.readline()
        if not line:
            leave_as_orphan()
        self.request = ChildRequest.model_validate_json(line)
        self._stop = threading.Event()

    def stop_requested(self) -> bool:
        """Whether the parent has asked for a stop."""
        return self._stop.is_set()

    def listen(self) -> None:
        """Start the thread that hears commands and leaves with the parent."""
        threading.Thread(target=self._listen, name="control", daemon=True).start()

    def _listen(self) -> None:
        for line in self._pipe:
            if _STOP in line:
                self._stop.set()
        leave_as_orphan()


class Events:
    """Writes events to a descriptor that only this process has: what the user's code starts does not inherit it."""

    def __init__(self, descriptor: int) -> None:
        os.set_inheritable(descriptor, False)
        self._pipe = os.fdopen(descriptor, "wb", buffering=0)

    def emit(self, kind: EventKind, data: dict[str, object]) -> None:
        """Write one event, stamped now."""
        line = TrainingEvent(kind=kind, monotonic_s=time.monotonic(), data=data).encode()
        try:
            self._pipe.write(line.encode())
        except BrokenPipeError:
            leave_as_orphan()


def leave_as_orphan() -> None:
    """Leave at once, whatever the main thread is doing: nobody is left to whom a result could be given."""
    os._exit(ExitStatus.ORPHANED)
