"""Notices that a training no longer moves, whatever it hangs in."""

import time
from datetime import timedelta

from include.config.times import format_duration
from include.trainer.processes.protocol import EventKind, TrainingEvent

_HEARTBEAT_LATE_S = 15.0
"""Three heartbeats."""


class StallWatch:
    """Every event but a heartbeat is a sign of progress: the training sends one about once a second as long as it moves.

    The heartbeat, which the child sends from a thread of its own, only tells two causes apart: a training that waits for
    something for ever, and a process that cannot run at all (stopped, or held by C code that keeps the interpreter's lock).
    """

    def __init__(self, limit: timedelta | None) -> None:
        self._limit = limit
        self._progress_s = self._heartbeat_s = time.monotonic()

    def start(self) -> None:
        """Count from now."""
        self._progress_s = self._heartbeat_s = time.monotonic()

    def heard(self, event: TrainingEvent) -> None:
        """Take an event into account; its clock is ours."""
        self._heartbeat_s = max(self._heartbeat_s, event.monotonic_s)
        if event.kind is not EventKind.HEARTBEAT:
            self._progress_s = max(self._progress_s, event.monotonic_s)

    def is_over(self) -> bool:
        """Whether the last sign of progress is longer ago than allowed."""
        return self._limit is not None and time.monotonic() - self._progress_s > self._limit.total_seconds()

    def sentence(self) -> str:
        """Say what is wrong, in words."""
        limit = format_duration(self._limit or timedelta())
        alive = time.monotonic() - self._heartbeat_s <= _HEARTBEAT_LATE_S
        state = "its process lives, but the training in it waits" if alive else "its process does not answer either"
        return f"the training gave no sign of progress for {limit} (training.stall_timeout), so it was ended: {state}"
