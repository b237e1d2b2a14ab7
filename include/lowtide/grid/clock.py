"""Policy time: the time that decisions, deadlines and the ledger use. Under replay it is virtual."""

from dataclasses import dataclass
from datetime import datetime

from lowtide.records import ReplayAnchor
from lowtide.timeutil import utc_now


@dataclass(frozen=True, slots=True)
class Clock:
    """Policy time: real time without an anchor, else anchored at one real time and ``anchor.speed`` times as fast."""

    anchor: ReplayAnchor | None = None

    def now(self) -> datetime:
        """Return the present policy time, aware, UTC."""
        return self.anchor.virtual(utc_now()) if self.anchor else utc_now()

    def seconds_until(self, time: datetime) -> float:
        """Return the real seconds until a policy time; 0.0 once it has passed."""
        return max(0.0, (time - self.now()).total_seconds() / (self.anchor.speed if self.anchor else 1.0))
