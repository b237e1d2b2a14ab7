"""Fills a store from a provider: what is now and to come, what may have been revised, and the gaps of the last days."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from lowtide.config.zones import Zone
from lowtide.errors import ProviderUnavailable, SignalError
from lowtide.grid.client import LiveFeed
from lowtide.grid.history import STAGE_OF_KIND, TYPICAL_SOURCE, HistoryKey, HistoryStore
from lowtide.grid.http import Request
from lowtide.grid.providers.base import HttpProvider
from lowtide.grid.series import Span
from lowtide.records import IntensityKind, Reading
from lowtide.timeutil import format_moment

# Keeps what a look at the grid brought; ``grid_history`` uses it, and waits and trainings may.


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
        kept = [
            r for r in readings if r.kind in STAGE_OF_KIND and r.source != TYPICAL_SOURCE and self.store.key.admits(r)
        ]
        over = [r for r in kept if r.kind is IntensityKind.FORECAST or r.end <= known_at]
        return self.store.add(over, known_at)


REVISED_FOR = timedelta(hours=48)
"""Asked for again each time: NESO revises an actual value a day after its half-hour and later."""
_PATIENCE = 3
"""Requests in a row that may go unanswered before the rest is left for the next time."""


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
    store: HistoryStore, feed: LiveFeed, recorder: Recorder, *, days: int, clock: Callable[[], datetime]
) -> Filling:
    """Ask for what the store lacks and keep each answer at once; an answer that fails is told and leaves a visible gap.

    The forecast comes first, since it can be had only now; then spans, the newest first.

    :param days: how far back gaps are asked for again.
    :raises SignalError: no answer at all.
    :raises ArtifactError: the store cannot be written.
    """
    done = Filling()
    errors = [_ask_now(feed, recorder, done, clock)]
    unanswered = 0
    for span in _distinct(feed, spans_to_ask(store, clock(), timedelta(days=days), feed.provider.max_range)):
        done.asked.append(span)
        errors.append(_ask_span(feed, recorder, done, span, clock))
        unanswered = unanswered + 1 if isinstance(errors[-1], ProviderUnavailable) else 0
        if unanswered == _PATIENCE:
            done.failures.append("the spans before that were not asked for this time")
            break
    if all(errors):
        raise next(error for error in errors if error)
    return done


def spans_to_ask(store: HistoryStore, now: datetime, look_back: timedelta, longest: timedelta) -> list[Span]:
    """Return the spans to ask for, newest first, none longer than the provider takes.

    Gaps that fit into one request share it; the last days are always asked for.
    """
    now = now.replace(second=0, microsecond=0)
    start = (now - look_back).replace(minute=0) + timedelta(hours=1)  # whole hours, and not longer than asked
    always = max(start, (now - REVISED_FOR).replace(minute=0))
    asked: list[Span] = []
    for begin, end in [*store.coverage(start, always).gaps, (always, now)]:
        if asked and end - asked[-1][0] <= longest:
            asked[-1] = (asked[-1][0], end)
        else:
            asked += _pieces(begin, end, longest)
    return asked[::-1]


def _ask_now(feed: LiveFeed, recorder: Recorder, done: Filling, clock: Callable[[], datetime]) -> SignalError | None:
    try:
        answer = feed.current(clock(), with_forecast=True)
    except SignalError as error:
        done.failures.append(f"now: {error}")
        return error
    ahead: tuple[Reading, ...] = answer.forecast.readings if answer.forecast else ()
    done.news += recorder.record((answer.reading, *answer.others, *ahead), clock())
    done.failures += answer.notes
    return None


def _ask_span(
    feed: LiveFeed, recorder: Recorder, done: Filling, span: Span, clock: Callable[[], datetime]
) -> SignalError | None:
    try:
        readings = feed.span(*span)
    except SignalError as error:
        done.failures.append(f"{format_moment(span[0])} to {format_moment(span[1])}: {error}")
        return error
    done.news += recorder.record(readings, clock())
    return None


def _distinct(feed: LiveFeed, spans: list[Span]) -> list[Span]:
    """Leave out spans that come to the same request: a free token of Electricity Maps gets the last day, whatever is asked."""
    by_request: dict[str, Span] = {}
    for span in spans:
        request: Request = feed.provider.range_request(feed.zone, *span)
        by_request.setdefault(f"{request.path} {sorted(request.params.items())}", span)
    return list(by_request.values())


def _pieces(start: datetime, end: datetime, longest: timedelta) -> list[Span]:
    pieces = []
    while start < end:
        stop = min(end, start + longest)
        pieces.append((start, stop))
        start = stop
    return pieces
