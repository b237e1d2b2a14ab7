"""What a training asks of whoever keeps its state, and the one who keeps nothing."""

from collections.abc import Callable
from typing import Protocol

from include.errors import TrainingStopped
from include.trainer.checkpoint.snapshot import Snapshot


class Keeper(Protocol):
    """What the training calls before it begins and between optimizer steps."""

    def saved_micro_batch(self) -> int | None:
        """Return the micro-batch of the state that will be gone on from: it need not be searched for again."""

    def leave_if_stopped(self) -> None:
        """Call it before the first step, where nothing is to be saved yet.

        :raises TrainingStopped: asked to stop.
        """

    def restore(self, snapshot: Snapshot) -> None:
        """Go on from an earlier process's state, if there is one."""

    def after_step(self, snapshot: Snapshot) -> None:
        """Save if it is time or asked for.

        :raises TrainingStopped: asked to leave (TrainingPaused: with the state saved).
        """

    def finish(self, snapshot: Snapshot) -> None:
        """Save what the training came to."""


class NoCheckpoints:
    """Keeps nothing; stops on request."""

    def __init__(self, stop_requested: Callable[[], bool]) -> None:
        self._stop_requested = stop_requested

    def saved_micro_batch(self) -> int | None:
        """Nothing was kept."""
        return None

    def leave_if_stopped(self) -> None:
        """Leave if asked to."""
        if self._stop_requested():
            raise TrainingStopped("stopped on request")

    def restore(self, snapshot: Snapshot) -> None:
        """Nothing was kept."""

    def after_step(self, snapshot: Snapshot) -> None:  # noqa: ARG002 nothing is kept of it
        """Leave if asked to; a pause would lose what was done, so it is not one."""
        self.leave_if_stopped()

    def finish(self, snapshot: Snapshot) -> None:
        """Nothing is kept."""
