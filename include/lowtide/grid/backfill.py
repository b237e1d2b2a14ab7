"""Fills a store from a provider: what is now and to come, what may have been revised, and the gaps of the last days."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from lowtide.config.zones import Zone
from lowtide.errors import ProviderUnavailable, SignalError
from lowtide.grid.client import ProviderClient
from lowtide.grid.history import HistoryKey, HistoryStore
from lowtide.grid.providers.base import HttpProvider
from lowtide.grid.series import Span
from lowtide.records import Reading
from lowtide.timeutil import format_time

REVISED_FOR = timedelta(hours=48)
"""Asked for again each time: NESO revises an actual value a day after its half-hour and later."""
_UNANSWERED_IN_A_ROW = 3
"""After so many unanswered requests the rest is left for the next time."""


@dataclass(slots=True, kw_only=True)
class Filling:
    """What was asked for and what came of it."""

    asked: list[Span] = field(default_factory=list)
    news: int = 0
    failures: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return a JSON-able mapping."""
        asked = [{"start": format_time(start), "end": format_time(end)} for start, end in self.asked]
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


def fill(store: HistoryStore, client: ProviderClient, *, days: int, clock: Callable[[], datetime]) -> Filling:
    """Ask for what the store lacks and keep each answer at once; a failure is reported and leaves a visible gap.

    The forecast comes first, since it can be had only now; then spans, the newest first.

    :param days: how far back gaps are asked for again.
    :raises SignalError: no answer at all.
    :raises ArtifactError: the store cannot be written.
    """
    done = Filling()

    def keep(what: str, ask: Callable[[], Iterable[Reading]]) -> SignalError | None:
        try:
            readings = ask()
        except SignalError as error:
            done.failures.append(f"{what}: {error}")
            return error
        done.news += store.record(readings, clock())
        return None

    def now_and_ahead() -> Iterable[Reading]:
        answer = client.current(clock(), with_forecast=True)
        done.failures += answer.notes
        return (answer.reading, *answer.others, *(answer.forecast.readings if answer.forecast else ()))

    errors = [keep("now", now_and_ahead)]
    unanswered = 0
    for span in _distinct(client, spans_to_ask(store, clock(), timedelta(days=days), client.provider.max_range)):
        done.asked.append(span)
        what = f"{format_time(span[0])} to {format_time(span[1])}"
        errors.append(keep(what, partial(client.span, *span)))
        unanswered = unanswered + 1 if isinstance(errors[-1], ProviderUnavailable) else 0
        if unanswered == _UNANSWERED_IN_A_ROW:
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
            continue
        while begin < end:
            asked.append((begin, min(end, begin + longest)))
            begin += longest  # noqa: PLW2901 the rest of the gap
    return asked[::-1]


def _distinct(client: ProviderClient, spans: list[Span]) -> list[Span]:
    """Leave out spans that come to the same request: a free token of Electricity Maps gets the last day, whatever is asked."""
    by_request: dict[str, Span] = {}
    for span in spans:
        request = client.provider.range_request(client.zone, *span)
        by_request.setdefault(f"{request.path} {sorted(request.params.items())}", span)
    return list(by_request.values())
