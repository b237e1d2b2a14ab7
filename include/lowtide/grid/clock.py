"""Policy time: the time that decisions, deadlines and the ledger use. Under replay it is virtual."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from lowtide.records import ReplayAnchor
from lowtide.timeutil import utc_now


class Clock(Protocol):
    """Policy time, and the real time until a policy time."""

    def now(self) -> datetime:
        """Return the present policy time, aware, UTC."""
        ...

    def seconds_until(self, time: datetime) -> float:
        """Return the real seconds until a policy time; 0.0 once it has passed."""
        ...


@dataclass(frozen=True, slots=True)
class SystemClock:
    """Policy time is real time."""

    def now(self) -> datetime:
        """Return the present time."""
        return utc_now()

    def seconds_until(self, time: datetime) -> float:
        """Return the seconds until a time; never negative."""
        return max(0.0, (time - utc_now()).total_seconds())


@dataclass(frozen=True, slots=True)
class ReplayClock:
    """Policy time is virtual: anchored at one real time, running ``anchor.speed`` times as fast."""

    anchor: ReplayAnchor

    def now(self) -> datetime:
        """Return the present virtual time."""
        return self.anchor.virtual(utc_now())

    def seconds_until(self, time: datetime) -> float:
        """Return the real seconds until a virtual time; never negative."""
        return max(0.0, self.anchor.real_duration(time - self.now()).total_seconds())


def clock_for(anchor: ReplayAnchor | None) -> Clock:
    """Return the clock that goes with an anchor; None means real time."""
    return SystemClock() if anchor is None else ReplayClock(anchor)
