"""Fills a store from a provider: what is coming, what may have been revised, and the gaps of the last days."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from include.config import Zone
from include.errors import SignalError
from include.moments import format_moment
from include.records import Reading
from include.scheduler.history.key import HistoryKey
from include.scheduler.history.recorder import Recorder
from include.scheduler.history.spans import Span
from include.scheduler.history.store import HistoryStore
from include.scheduler.providers.base import HttpProvider

REVISED_FOR = timedelta(hours=48)
"""Asked for again each time: NESO revises an actual value a day after its half-hour and later."""
HORIZON = timedelta(hours=48)
"""Asked for ahead, so that what was forecast is known when accounts are settled."""


class RangeSource(Protocol):
    """An HTTP provider in working order; a live feed is one."""

    @property
    def provider(self) -> HttpProvider:
        """What is asked."""
        ...

    def span(self, start: datetime, end: datetime) -> tuple[Reading, ...]:
        """Return what there is of ``[start, end)``, not clipped.

        :raises SignalError: no answer, or none to be trusted.
        """
        ...


@dataclass(slots=True, kw_only=True)
class Filling:
    """What was asked for and what came of it."""

    asked: list[Span] = field(default_factory=list)
    news: int = 0
    failures: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return a JSON-able mapping."""
        asked = [{"start": format_moment(start), "end": format_moment(end)} for start, end in self.asked]
        return {"asked": asked, "news": self.news, "failures": self.failures}


def provider_key(provider: HttpProvider, zone: Zone, connection: str | None) -> HistoryKey:
    """Return the key under which a provider's readings of a zone, or of a region of it, are kept."""
    return HistoryKey(
        zone=zone.key,
        source=f"{provider.name}-{provider.region}" if provider.region else provider.name,
        connection=connection,
        signal_type=provider.signal_type,
        emission_factor_type=provider.emission_factor_type,
    )


def fill(
    store: HistoryStore, source: RangeSource, recorder: Recorder, *, days: int, clock: Callable[[], datetime]
) -> Filling:
    """Ask for what the store lacks and keep each answer at once; an answer that fails is told and leaves a visible gap.

    :param days: how far back gaps are asked for again.
    :raises SignalError: the first answer failed and so did every other one.
    :raises ArtifactError: the store cannot be written.
    """
    done = Filling()
    first_failure: SignalError | None = None
    for start, end in spans_to_ask(store, clock(), timedelta(days=days), source.provider.max_range):
        done.asked.append((start, end))
        try:
            readings = source.span(start, end)
        except SignalError as error:
            first_failure = first_failure or error
            done.failures.append(f"{format_moment(start)} to {format_moment(end)}: {error}")
            continue
        done.news += recorder.record(readings, clock())
    if first_failure is not None and len(done.failures) == len(done.asked):
        raise first_failure
    return done


def spans_to_ask(store: HistoryStore, now: datetime, look_back: timedelta, longest: timedelta) -> list[Span]:
    """Return the spans to ask for, oldest first, none longer than the provider takes.

    Gaps that fit into one request share it; the last days and the hours to come are always asked for.
    """
    now = now.replace(minute=0, second=0, microsecond=0)
    always = max(now - look_back, now - REVISED_FOR)
    gaps = store.coverage(now - look_back, always).gaps
    asked: list[Span] = []
    for start, end in [*gaps, (always, now + HORIZON)]:
        if asked and end - asked[-1][0] <= longest:
            asked[-1] = (asked[-1][0], end)
        else:
            asked += _pieces(start, end, longest)
    return asked


def _pieces(start: datetime, end: datetime, longest: timedelta) -> list[Span]:
    pieces = []
    while start < end:
        stop = min(end, start + longest)
        pieces.append((start, stop))
        start = stop
    return pieces
