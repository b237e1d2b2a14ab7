"""One way to look, whether the provider is asked over the network or lies at hand."""

import logging
import threading
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol

from include.config import Zone
from include.errors import InvalidAnswer, ProviderUnavailable, SignalError
from include.moments import format_moment
from include.records import Forecast, Reading
from include.scheduler.network.login import Line
from include.scheduler.network.patience import LONGEST_HOLD_S, Patience
from include.scheduler.providers.base import HttpProvider, LocalProvider, Provider, Request

_log = logging.getLogger(__name__)
_NOT_OURS = frozenset({401, 402, 403})
"""Statuses with which a provider says that this account has no forecasts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one look brought: the reading that holds now, others that came with it, and the forecast if it was wanted."""

    reading: Reading
    others: tuple[Reading, ...] = ()
    forecast: Forecast | None = None
    notes: tuple[str, ...] = ()
    """What went wrong beside the reading, a line each."""


class Feed(Protocol):
    """A provider in working order."""

    @property
    def provider(self) -> Provider:
        """What the signal is."""
        ...

    @property
    def max_age(self) -> timedelta:
        """How long after its interval a last good reading may stand in."""
        ...

    @property
    def can_recover(self) -> bool:
        """Whether another look may succeed after one that failed."""
        ...

    def current(self, now: datetime, *, with_forecast: bool = False) -> Answer:
        """Return the reading that holds now, and all that came with it.

        :raises SignalError: no answer, or none to be trusted.
        """
        ...

    def span(self, start: datetime, end: datetime) -> tuple[Reading, ...]:
        """Return what there is of ``[start, end)``, not clipped.

        :raises SignalError: no answer, or none to be trusted.
        """
        ...

    def at_hand(self, start: datetime, end: datetime) -> tuple[Reading, ...]:
        """Return what is known of ``[start, end)`` without waiting for anything."""
        ...

    def held_s(self) -> float:
        """Return for how many seconds more the provider asked to be left alone."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveFeed:
    """Asks an HTTP provider through a transport, or through one that logs in; leaves it alone as long as it asks to be."""

    provider: HttpProvider
    transport: Line
    zone: Zone
    can_recover: bool = True
    patience: Patience = field(default_factory=Patience)
    forecast_patience: Patience = field(default_factory=Patience)
    _access_known: threading.Event = field(default_factory=threading.Event, repr=False, compare=False)

    @property
    def max_age(self) -> timedelta:
        """The provider's own age limit."""
        return self.provider.max_age

    def current(self, now: datetime, *, with_forecast: bool = False) -> Answer:
        """Ask what holds now; an answer one interval off is taken, further off it is stale or from the future.

        One interval of tolerance: providers turn to the next half-hour a little late, and clocks differ. A forecast that
        cannot be had is a note, not a failure: the reading stands without it.
        """
        request = self.provider.current_request(self.zone, now)
        body = self._get(request)
        readings = self.provider.parse(body, self.zone)
        answer = Answer(reading=self._holding(readings, now), others=readings)
        return self._with_forecast(answer, now, request, body) if with_forecast else answer

    def span(self, start: datetime, end: datetime) -> tuple[Reading, ...]:
        """Ask for the span, in as few requests as the provider's limit allows; normally one."""
        found: list[Reading] = []
        self._learn_access()
        while start < end:
            stop = min(end, start + self.provider.max_range)
            found.extend(self.provider.parse(self._get(self.provider.range_request(self.zone, start, stop)), self.zone))
            start = stop
        return tuple(found)

    def at_hand(self, start: datetime, end: datetime) -> tuple[Reading, ...]:
        """Return nothing: all of it is on the other side of the network."""
        del start, end
        return ()

    def held_s(self) -> float:
        """Return what is left of a Retry-After."""
        return self.patience.remaining_s()

    def _learn_access(self) -> None:
        """Ask once what the key may use; until that is answered, the provider asks for what every key may have."""
        request = self.provider.access_request()
        if request is None or self._access_known.is_set():
            return
        try:
            self.provider.grant(self._get(request), self.zone)
        except SignalError as error:
            _log.info("%s does not say what this key may use: %s", self.provider.name, error)
            return
        self._access_known.set()

    def _get(self, request: Request) -> bytes:
        self.patience.check(self.provider.name)
        try:
            return self.transport.get(request)
        except ProviderUnavailable as error:
            self.patience.note(error)
            raise

    def _holding(self, readings: tuple[Reading, ...], now: datetime) -> Reading:
        nearest = min(readings, key=lambda reading: _distance(reading, now))
        if _distance(nearest, now) > self.provider.resolution:
            age = "stale" if nearest.end <= now else "dated in the future"
            raise InvalidAnswer(
                f"{self.provider.name} answered for {format_moment(nearest.start)} at {format_moment(now)}, which is"
                f" {age}; check this machine's clock if it persists"
            )
        return nearest

    def _with_forecast(self, answer: Answer, now: datetime, asked: Request, body: bytes) -> Answer:
        self._learn_access()
        request = self.provider.forecast_request(self.zone, now)
        if request is None:
            return answer
        if self.forecast_patience.remaining_s() > 0:
            told = f"{self.provider.name} forecast: refused within the last hour, so it was not asked for"
            return replace(answer, notes=(told,))
        try:
            answered = body if request == asked else self._get(request)
            return replace(answer, forecast=self.provider.parse_forecast(answered, self.zone, now))
        except SignalError as error:
            if isinstance(error, ProviderUnavailable) and error.status in _NOT_OURS:
                self.forecast_patience.hold(
                    LONGEST_HOLD_S
                )  # a plan without forecasts will not have them in five minutes
            return replace(answer, notes=(f"{self.provider.name} forecast: {error}",))


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalFeed:
    """Reads a provider that lies at hand: a trace or a profile."""

    provider: LocalProvider
    max_age: timedelta = timedelta(0)

    @property
    def can_recover(self) -> bool:
        """As the provider says: a trace's gap ends, a missing profile does not."""
        return self.provider.can_recover

    def current(self, now: datetime, *, with_forecast: bool = False) -> Answer:
        """Return the reading that covers now; there is no forecast to wait for.

        :raises ConfigurationError: a replay that has left its trace.
        """
        del with_forecast
        readings = self.span(now, now + timedelta(microseconds=1))
        reading = next((r for r in readings if r.covers(now)), None)
        if reading is None:
            raise SignalError(self.provider.explain_gap(now))
        return Answer(reading=reading)

    def span(self, start: datetime, end: datetime) -> tuple[Reading, ...]:
        """Return what the provider has."""
        return self.provider.readings(start, end)

    at_hand = span

    def held_s(self) -> float:
        """Return 0: what lies at hand may always be read."""
        return 0.0


def _distance(reading: Reading, moment: datetime) -> timedelta:
    """Return how far a moment lies outside a reading's interval."""
    if reading.covers(moment):
        return timedelta(0)
    return reading.start - moment if moment < reading.start else moment - reading.end
