"""The child's end of the control pipe, and its end of the event pipe."""

import json
import os
import threading
import time
from dataclasses import dataclass, field

from include.trainer.processes.protocol import ChildRequest, Command, EventKind, ExitStatus, TrainingEvent


@dataclass(frozen=True, slots=True)
class Requests:
    """What has been asked for and not yet been done."""

    stop: threading.Event = field(default_factory=threading.Event)
    pause: threading.Event = field(default_factory=threading.Event)
    checkpoint: threading.Event = field(default_factory=threading.Event)

    def take(self, line: bytes) -> None:
        """Note what a command line asks for; one of a later version, or a torn one, asks for nothing."""
        try:
            command = Command(json.loads(line)["command"])
        except (ValueError, KeyError, TypeError):
            return
        {Command.STOP: self.stop, Command.PAUSE: self.pause, Command.CHECKPOINT: self.checkpoint}[command].set()


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
        self.requests = Requests()

    @property
    def descriptor(self) -> int:
        """The control pipe's; it hangs up when the parent is gone."""
        return self._pipe.fileno()

    def listen(self) -> None:
        """Start the thread that hears commands and leaves with the parent."""
        threading.Thread(target=self._listen, name="control", daemon=True).start()

    def _listen(self) -> None:
        for line in self._pipe:
            self.requests.take(line)
        leave_as_orphan()


class Events:
    """Writes events to a descriptor that only this process has: what the user's code starts does not inherit it."""

    def __init__(self, descriptor: int) -> None:
        os.set_inheritable(descriptor, False)
        self.descriptor = descriptor
        self._pipe = os.fdopen(descriptor, "wb", buffering=0)
        self._lock = threading.Lock()  # a line longer than a pipe's atomic write must not mix with a heartbeat

    def emit(self, kind: EventKind, data: dict[str, object]) -> None:
        """Write one event, stamped now."""
        line = TrainingEvent(kind=kind, monotonic_s=time.monotonic(), data=data).encode().encode()
        try:
            with self._lock:
                while line:
                    line = line[self._pipe.write(line) or 0 :]
        except BrokenPipeError:
            leave_as_orphan()

    def start_heartbeat(self, interval_s: float) -> None:
        """Send a heartbeat from a thread of its own as long as this process can run one."""
        threading.Thread(target=self._beat, args=(interval_s,), name="heartbeat", daemon=True).start()

    def _beat(self, interval_s: float) -> None:
        while True:
            time.sleep(interval_s)
            self.emit(EventKind.HEARTBEAT, {})


def leave_as_orphan() -> None:
    """Leave at once, whatever the main thread is doing: nobody is left to whom a result could be given."""
    os._exit(ExitStatus.ORPHANED)
