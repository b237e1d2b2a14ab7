"""How often a long run tells a log how it goes: often at first, when somebody watches, and seldom through the night."""

import time
from collections.abc import Callable

_PACES_S = ((120.0, 15.0), (3600.0, 60.0), (float("inf"), 300.0))
"""Until a run is so many seconds old, a line every so many seconds: some 180 lines in ten hours."""


class LogPace:
    """Says when the next line is due; the first is at once."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began_s = clock()
        self._next_s = self._began_s

    def is_due(self) -> bool:
        """Whether a line is due now; if so, the next one is some time away."""
        now_s = self._clock()
        if now_s < self._next_s:
            return False
        self._next_s = now_s + next(every_s for until_s, every_s in _PACES_S if now_s - self._began_s < until_s)
        return True
