"""Policy time: the time that decisions, deadlines and the ledger use. Under replay it is virtual."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from lowtide.records import ReplayAnchor
from lowtide.timeutil import utc_now


class Clock(Protocol):
    """Tells policy time, and how long it really takes until a moment of it."""

    def now(self) -> datetime:
        """Return the present moment in policy time, aware, UTC."""
        ...

    def seconds_until(self, moment: datetime) -> float:
        """Return the real seconds until a moment of policy time; 0.0 once it has passed."""
        ...


@dataclass(frozen=True, slots=True)
class SystemClock:
    """Policy time is the time on the wall."""

    def now(self) -> datetime:
        """Return the present moment."""
        return utc_now()

    def seconds_until(self, moment: datetime) -> float:
        """Return the seconds until a moment; never negative."""
        return max(0.0, (moment - utc_now()).total_seconds())


@dataclass(frozen=True, slots=True)
class ReplayClock:
    """Policy time is virtual: anchored at one real moment, running ``anchor.speed`` times as fast."""

    anchor: ReplayAnchor

    def now(self) -> datetime:
        """Return the virtual moment of the present."""
        return self.anchor.virtual(utc_now())

    def seconds_until(self, moment: datetime) -> float:
        """Return the real seconds until a virtual moment; never negative."""
        return max(0.0, self.anchor.real_duration(moment - self.now()).total_seconds())


def clock_for(anchor: ReplayAnchor | None) -> Clock:
    """Return the clock that goes with an anchor; None means real time."""
    return SystemClock() if anchor is None else ReplayClock(anchor)
