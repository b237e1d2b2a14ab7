"""Where the grid's actual figures come from: the stored history first, the provider for what it lacks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from include.errors import SignalError
from include.records import IntensityKind, Reading
from include.scheduler import GridSignal
from include.scheduler.curves.coverage import cover
from include.scheduler.history import HistoryStore
from include.scheduler.signals.feeds import LiveFeed

ACTUAL = (IntensityKind.MEASURED, IntensityKind.ESTIMATED)
Actuals = Callable[[datetime, datetime], Sequence[Reading]]


@dataclass(slots=True, kw_only=True)
class ActualFigures:
    """Actual readings of any span, in time order without overlap; ``notes`` says what could not be asked.

    :param now: what has not ended by then is left out: the figure of an interval that still runs is a part of it.
    :param history: None to do without one.
    :param signal: None to ask nobody.
    """

    now: datetime
    history: HistoryStore | None = None
    signal: GridSignal | None = None
    notes: list[str] = field(default_factory=list)

    def __call__(self, start: datetime, end: datetime) -> tuple[Reading, ...]:
        """Return what is known of ``[start, end)`` now."""
        kept = self.history.known_now(start, end) if self.history else ()
        known = cover(start, end, [lambda *_: self._over(kept)])
        if self.signal is None or _covers(known, start, end):
            return known
        return cover(start, end, [lambda *_: known, lambda *_: self._over(self._asked(start, end))])

    def _over(self, readings: Sequence[Reading]) -> list[Reading]:
        # before they are clipped to the span: an end that was clipped would look like one that has passed
        return [reading for reading in readings if reading.kind in ACTUAL and reading.end <= self.now]

    def _asked(self, start: datetime, end: datetime) -> Sequence[Reading]:
        if self.signal is None or not isinstance(self.signal.feed, LiveFeed):
            return ()  # a profile or a replay knows no actual figures
        try:
            return self.signal.feed.span(start, end)
        except SignalError as error:
            self.notes.append(f"{self.signal.provider_name} gave no actual figures: {error}")
            return ()


def _covers(readings: Sequence[Reading], start: datetime, end: datetime) -> bool:
    covered = sum(((r.end - r.start).total_seconds() for r in readings), 0.0)
    return covered >= (end - start).total_seconds()
