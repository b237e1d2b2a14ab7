"""What a process has learned of the grid so far; safe to read from one thread while another adds."""

import threading
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from include.records import IntensityKind, Reading

_KEPT = 3_000
"""Readings kept: two months of half-hours, so that a wait of weeks does not grow without bound."""


class Memory:
    """Readings by their interval's start, the last good one, and the failures since."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_start: dict[datetime, Reading] = {}
        self._last_good: Reading | None = None
        self._failed_looks = 0

    def remember(self, readings: Iterable[Reading], last_good: Reading | None = None) -> None:
        """Keep readings, the newest answer for an interval; ``last_good`` also ends a row of failures."""
        with self._lock:
            self._by_start.update((reading.start, reading) for reading in readings)
            for start in sorted(self._by_start)[:-_KEPT]:
                del self._by_start[start]
            if last_good is not None:
                self._last_good = last_good
                self._failed_looks = 0

    def count_failure(self) -> int:
        """Return the failures in a row, this one included."""
        with self._lock:
            self._failed_looks += 1
            return self._failed_looks

    def last_good(self) -> Reading | None:
        """Return the last reading that a look brought, as it came."""
        with self._lock:
            return self._last_good

    def known(self, start: datetime, end: datetime) -> tuple[Reading, ...]:
        """Return the readings that overlap ``[start, end)``, with the kinds they came with."""
        with self._lock:
            readings = tuple(self._by_start.values())
        return tuple(reading for reading in readings if reading.start < end and start < reading.end)

    def prolonged(self, max_age: timedelta) -> tuple[Reading, ...]:
        """Return the last good reading as ``cached`` over the time after its interval for which it may stand in."""
        good = self.last_good()
        if good is None or max_age <= timedelta(0):
            return ()
        return (replace(good, start=good.end, end=good.end + max_age, kind=IntensityKind.CACHED),)
