"""Row boundaries in policy time (virtual under replay) that run forwards whatever the clock on the wall does."""

import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple

from include.moments import as_utc, format_moment

_SMALLEST = timedelta(microseconds=1)
_CALIBRATION_S = 0.02
_TOLERANCE_S = 0.1
"""Real seconds by which the clock may deviate between two looks before it counts as stepped."""
_SLEEP_S = 1.0
"""Real seconds that a machine must have been suspended between two looks to count."""


def steady_s() -> float:
    """Seconds that never step; where the system can, they go on while it is suspended, as the grid does."""
    boot_time = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot_time is None else time.clock_gettime(boot_time)


class _Look(NamedTuple):
    steady_s: float
    now: datetime
    doubt_s: float
    awake_s: float


class PolicyClock:
    """``now()`` with its steps taken out: anchored at the first look, every later moment is strictly later.

    ``start`` is the anchor. Under replay policy time runs ``speed`` times as fast as real time. The speed is not a
    parameter: it is learnt from ``now`` itself, so that the one anchor of the run stays the only place that knows it.

    :param not_before: the end of the ledger so far; a clock set back between two attempts must not make rows overlap.
    """

    def __init__(
        self, now: Callable[[], datetime], *, steady: Callable[[], float] = steady_s, not_before: datetime | None = None
    ) -> None:
        self._now, self._steady = now, steady
        self._lock = threading.Lock()
        self._asleep = timedelta(0)
        self.problems: list[str] = []
        self._first = self._last = self._look()
        self._offset = timedelta(0)
        if not_before is not None and self._first.now < not_before:
            self._offset = not_before - self._first.now
            self._note(-self._offset, "since the ledger's last row")
        self.start = self._latest = self._first.now + self._offset
        self._travelled = timedelta(0)
        self._calibrate()

    def moment(self) -> datetime:
        """Return the policy moment, strictly later than any before; may be called from any thread."""
        with self._lock:
            look = self._look()
            went = look.now - self._last.now
            expected = self._speed * (look.steady_s - self._last.steady_s)
            step = went - timedelta(seconds=expected)
            if abs(step.total_seconds()) > self._tolerance(look):
                self._offset -= step
                self._note(step, f"at {format_moment(look.now)}")
                went = timedelta(seconds=expected)
            self._note_sleep(look, went)
            self._travelled += went
            self._last = look
            self._latest = max(look.now + self._offset, self._latest + _SMALLEST)
            self._learn_speed()
            return self._latest

    def take_sleep(self) -> timedelta:
        """Return the policy time for which the machine was suspended since the last call; nothing was used in it."""
        with self._lock:
            asleep, self._asleep = self._asleep, timedelta(0)
            return asleep

    def _note_sleep(self, look: _Look, went: timedelta) -> None:
        awake_s = look.awake_s - self._last.awake_s
        asleep_s = (look.steady_s - self._last.steady_s) - awake_s
        if asleep_s > _SLEEP_S:
            # what was not awake: the speed is known to a ten-thousandth, which over a night would be seconds
            self._asleep += max(timedelta(0), went - timedelta(seconds=self._speed * awake_s))
            self.problems.append(
                f"the machine was suspended for {asleep_s:.1f} s before {format_moment(look.now)};"
                " that time is in the ledger without energy"
            )

    def _calibrate(self) -> None:
        time.sleep(_CALIBRATION_S)
        self._last = self._look()
        self._travelled = self._last.now - self._first.now
        self._speed = 1.0
        self._learn_speed()

    def _learn_speed(self) -> None:
        lasted_s = self._last.steady_s - self._first.steady_s
        if lasted_s > 0 and self._travelled > timedelta(0):
            self._speed = self._travelled.total_seconds() / lasted_s

    def _tolerance(self, look: _Look) -> float:
        lasted_s = max(self._last.steady_s - self._first.steady_s, _CALIBRATION_S)
        known_within = (self._first.doubt_s + self._last.doubt_s) / lasted_s
        return self._speed * (_TOLERANCE_S + 2 * known_within * (look.steady_s - self._last.steady_s))

    def _look(self) -> _Look:
        # another process may get the processor between the two clocks: the closest pair of a few counts
        looks = []
        for _ in range(5):
            before_s = self._steady()
            now = as_utc(self._now())
            doubt_s = self._steady() - before_s
            looks.append(_Look(before_s + doubt_s / 2, now, doubt_s, time.monotonic()))
            if doubt_s < 1e-4:
                break
        return min(looks, key=lambda look: look.doubt_s)

    def _note(self, step: timedelta, when: str) -> None:
        self.problems.append(
            f"the clock was set {'back' if (step < timedelta(0)) else 'forward'} by {abs(step.total_seconds()):.1f} s {when};"
            " rows go on in the time of the run's start"
        )
