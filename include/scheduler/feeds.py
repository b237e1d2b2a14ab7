"""One way to look, whether the provider is asked over the network or lies at hand."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from include.config import Zone
from include.errors import InvalidAnswer, SignalError
from include.moments import format_moment
from include.records import Reading
from include.scheduler.providers.base import HttpProvider, LocalProvider, Provider
from include.scheduler.transport import Transport


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

    def current(self, now: datetime) -> tuple[Reading, tuple[Reading, ...]]:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveFeed:
    """Asks an HTTP provider through the transport."""

    provider: HttpProvider
    transport: Transport
    zone: Zone
    can_recover: bool = True

    @property
    def max_age(self) -> timedelta:
        """The provider's own age limit."""
        return self.provider.max_age

    def current(self, now: datetime) -> tuple[Reading, tuple[Reading, ...]]:
        """Ask what holds now; an answer one interval off is taken, further off it is stale or from the future.

        One interval of tolerance: providers turn to the next half-hour a little late, and clocks differ.
        """
        provider = self.provider
        readings = provider.parse(self.transport.get(provider.current_request(self.zone, now)), self.zone)
        nearest = min(readings, key=lambda reading: _distance(reading, now))
        if _distance(nearest, now) > provider.resolution:
            age = "stale" if nearest.end <= now else "dated in the future"
            raise InvalidAnswer(
                f"{provider.name} answered for {format_moment(nearest.start)} at {format_moment(now)}, which is {age};"
                " check this machine's clock if it persists"
            )
        return nearest, readings

    def span(self, start: datetime, end: datetime) -> tuple[Reading, ...]:
        """Ask for the span, in as few requests as the provider's limit allows; normally one."""
        found: list[Reading] = []
        while start < end:
            stop = min(end, start + self.provider.max_range)
            body = self.transport.get(self.provider.range_request(self.zone, start, stop))
            found.extend(self.provider.parse(body, self.zone))
            start = stop
        return tuple(found)

    def at_hand(self, start: datetime, end: datetime) -> tuple[Reading, ...]:
        """Return nothing: all of it is on the other side of the network."""
        del start, end
        return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalFeed:
    """Reads a provider that lies at hand: a trace or a profile."""

    provider: LocalProvider
    max_age: timedelta = timedelta(0)

    @property
    def can_recover(self) -> bool:
        """As the provider says: a trace's gap ends, a missing profile does not."""
        return self.provider.can_recover

    def current(self, now: datetime) -> tuple[Reading, tuple[Reading, ...]]:
        """Return the reading that covers now.

        :raises ConfigurationError: a replay that has left its trace.
        """
        readings = self.span(now, now + timedelta(microseconds=1))
        reading = next((r for r in readings if r.covers(now)), None)
        if reading is None:
            raise SignalError(self.provider.explain_gap(now))
        return reading, ()

    def span(self, start: datetime, end: datetime) -> tuple[Reading, ...]:
        """Return what the provider has."""
        return self.provider.readings(start, end)

    at_hand = span


def _distance(reading: Reading, moment: datetime) -> timedelta:
    """Return how far a moment lies outside a reading's interval."""
    if reading.covers(moment):
        return timedelta(0)
    return reading.start - moment if moment < reading.start else moment - reading.end
