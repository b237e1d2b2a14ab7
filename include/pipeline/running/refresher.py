"""Keeps the signal's last reading young while a training runs, without the training waiting for a request."""

import logging
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from include.errors import LowtideError
from include.scheduler import Clock, GridSignal

_log = logging.getLogger(__name__)

_SHORTEST_INTERVAL_S = 1.0
"""A fast replay must not spend the measured machine's time on looking."""


class SignalRefresher:
    """A thread that looks at the grid every ``interval_s`` real seconds; booking then uses what it saw.

    :param look: a look at the same signal that somebody wants anyway; made in place of this one's own while it runs.
    """

    def __init__(
        self, signal: GridSignal, clock: Clock, *, interval_s: float, look: Callable[[], None] | None = None
    ) -> None:
        self._signal = signal
        self._clock = clock
        self._look_instead = look
        self._interval_s = max(_SHORTEST_INTERVAL_S, interval_s)
        self._told: tuple[str, ...] = ()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lowtide-signal", daemon=True)

    def __enter__(self) -> Self:
        try:
            self._look()  # before the training: the first row is booked at a reading, not at a guess
        except LowtideError as error:  # booking goes on with the profile, marked as such
            _log.warning("grid signal: %s", error)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(timeout=1.0)  # a request in flight may outlive the training; it harms nobody

    def _run(self) -> None:
        look = self._look_instead or self._look
        while not self._ended.wait(self._interval_s):
            try:
                look()
            except LowtideError as error:  # a replay that left its trace, a full disk: the training goes on
                _log.warning("grid signal: %s", error)

    def _look(self) -> None:
        outlook = self._signal.outlook(self._clock.now())
        if outlook.steps != self._told:  # a fast replay looks every few seconds: say only what is new
            self._told = outlook.steps
            for step in outlook.steps:  # a fallback is also told at a terminal, which shows warnings alone
                _log.log(logging.WARNING if outlook.failed_looks else logging.INFO, "grid signal: %s", step)
