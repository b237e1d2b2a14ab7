"""Keeps what a look at the grid brought; ``grid_history`` uses it, and waits and trainings may."""

from collections.abc import Iterable
from datetime import datetime
from typing import Protocol

from include.records import IntensityKind, Reading
from include.scheduler.history.store import HistoryStore
from include.scheduler.history.typical import SOURCE
from include.scheduler.history.values import STAGE_OF_KIND


class Recorder(Protocol):
    """Takes what was just learnt."""

    def record(self, readings: Iterable[Reading], known_at: datetime) -> int:
        """Keep readings and return how many were news."""
        ...


class HistoryRecorder:
    """Adds to a store what is knowledge of the grid, and leaves aside what only stands in for it."""

    def __init__(self, store: HistoryStore) -> None:
        self.store = store

    def record(self, readings: Iterable[Reading], known_at: datetime) -> int:
        """Keep the readings that an outlook or an answer holds; cached, modelled and other meanings' ones are passed over.

        So is an actual of an interval that is not over: what is known of it then is a part of it, and would pass for a revision.

        :raises ArtifactError: the store cannot be written.
        """
        kept = [r for r in readings if r.kind in STAGE_OF_KIND and r.source != SOURCE and self.store.key.admits(r)]
        over = [r for r in kept if r.kind is IntensityKind.FORECAST or r.end <= known_at]
        return self.store.add(over, known_at)
