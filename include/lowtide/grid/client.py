"""One way to look, whether the provider is asked over the network or lies at hand."""

import logging
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol, Self

from lowtide.config.zones import Zone
from lowtide.errors import InvalidAnswer, LowtideError, ProviderUnavailable, SignalError
from lowtide.grid.http import LONGEST_HOLD_S, RateLimitHold, Request, Session
from lowtide.grid.outlook import READING, DataNeeds, ForecastCombiner, Outlook, TypicalHours
from lowtide.grid.providers.base import HttpProvider, LocalProvider, Provider
from lowtide.grid.providers.offline import country_mean_reading, profile_readings
from lowtide.grid.series import Source, cover, gaps
from lowtide.records import EmissionFactorType, Forecast, IntensityKind, Reading, SignalType
from lowtide.timeutil import as_utc, format_moment

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
        """Return how long the provider's rate limit still holds, in s."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveFeed:
    """Asks an HTTP provider through a transport, or through one that logs in; leaves it alone as long as it asks to be."""

    provider: HttpProvider
    transport: Session
    zone: Zone
    can_recover: bool = True
    rate_limit: RateLimitHold = field(default_factory=RateLimitHold)
    forecast_hold: RateLimitHold = field(default_factory=RateLimitHold)
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
        return self.rate_limit.remaining_s()

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
        self.rate_limit.check(self.provider.name)
        try:
            return self.transport.get(request)
        except ProviderUnavailable as error:
            self.rate_limit.note(error)
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
        if self.forecast_hold.remaining_s() > 0:
            told = f"{self.provider.name} forecast: refused within the last hour, so it was not asked for"
            return replace(answer, notes=(told,))
        try:
            answered = body if request == asked else self._get(request)
            return replace(answer, forecast=self.provider.parse_forecast(answered, self.zone, now))
        except SignalError as error:
            if isinstance(error, ProviderUnavailable) and error.status in _NOT_OURS:
                self.forecast_hold.hold(LONGEST_HOLD_S)  # a plan without forecasts will not have them in five minutes
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


# What a process has learned of the grid so far; safe to read from one thread while another adds.


_KEPT = 3_000
"""Readings kept: two months of half-hours, so that a wait of weeks does not grow without bound."""


class Memory:
    """Readings by their interval's start, the last good one, and the failures since."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_start: dict[datetime, Reading] = {}
        self._last_good: Reading | None = None
        self._failed_looks = 0

    def remember(self, readings: Iterable[Reading], last_good: Reading | None = None) -> None:
        """Keep readings, the newest answer for an interval; ``last_good`` also ends a row of failures."""
        with self._lock:
            self._by_start.update((reading.start, reading) for reading in readings)
            for start in sorted(self._by_start)[:-_KEPT]:
                del self._by_start[start]
            if last_good is not None:
                self._last_good = last_good
                self._failed_looks = 0

    def count_failure(self) -> int:
        """Return the failures in a row, this one included."""
        with self._lock:
            self._failed_looks += 1
            return self._failed_looks

    def last_good(self) -> Reading | None:
        """Return the last reading that a look brought, as it came."""
        with self._lock:
            return self._last_good

    def known(self, start: datetime, end: datetime) -> tuple[Reading, ...]:
        """Return the readings that overlap ``[start, end)``, with the kinds they came with."""
        with self._lock:
            readings = tuple(self._by_start.values())
        return tuple(reading for reading in readings if reading.start < end and start < reading.end)

    def prolonged(self, max_age: timedelta) -> tuple[Reading, ...]:
        """Return the last good reading as ``cached`` over the time after its interval for which it may stand in."""
        good = self.last_good()
        if good is None or max_age <= timedelta(0):
            return ()
        return (replace(good, start=good.end, end=good.end + max_age, kind=IntensityKind.CACHED),)


# What stands in for a provider's answer, step by step, and the curve by which hours are ordered meanwhile.
#
# The order: last good reading while younger than the provider's age limit, forecast from the stored history, the zone's
# profile, nothing. Each step leaves one line, taken or not.


SHAPE_HORIZON = timedelta(hours=48)
LEAST_SHAPE = timedelta(hours=24)
"""A history that knows less of the hours to come than this does not order them: the profile knows them all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StandIn:
    """What stands in for an answer: a reading or none, and a line for each step."""

    reading: Reading | None
    steps: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TypicalDay:
    """Two curves of the hours to come; ``history`` is empty without a history, ``trouble`` is why."""

    history: tuple[Reading, ...]
    profile: tuple[Reading, ...]
    trouble: str = "none stored for this signal"

    def shape(self, now: datetime) -> tuple[Reading, ...]:
        """Return the one curve that orders the hours; the two are never mixed, their grams may differ in meaning."""
        known = sum((min(r.end, now + SHAPE_HORIZON) - max(r.start, now) for r in self.history), timedelta(0))
        starts_now = any(reading.covers(now) for reading in self.history)
        return self.history if starts_now and known >= LEAST_SHAPE else self.profile


def typical_day(zone: Zone, history: TypicalHours | None, now: datetime) -> TypicalDay:
    """Return what is usual for the next two days; reads the history's files, so it may block."""
    profile = profile_readings(zone, now, now + SHAPE_HORIZON)
    if history is None:
        return TypicalDay(history=(), profile=profile)
    try:
        return TypicalDay(history=history.typical(now, now + SHAPE_HORIZON), profile=profile)
    except LowtideError as error:
        return TypicalDay(history=(), profile=profile, trouble=f"cannot be used ({error})")


def stand_in(feed: Feed, memory: Memory, hours: TypicalDay, now: datetime) -> StandIn:
    """Return the first of the steps that has a reading for now."""
    reading, told = _last_good(feed, memory, now)
    steps = [told]
    if reading is None:
        reading = _covering(hours.history, now)
        steps.append(
            f"history: {hours.trouble if not hours.history else _told(feed, reading, 'nothing for this hour')}"
        )
    if reading is None:
        reading = _covering(hours.profile, now)
        steps.append(f"profile: {_told(feed, reading, 'none for this zone')}")
    return StandIn(reading=reading, steps=tuple(steps))


def comparable(feed: Feed, reading: Reading) -> bool:
    """Whether a reading's grams mean what the provider's mean."""
    mine = (feed.provider.signal_type, feed.provider.emission_factor_type)
    return (reading.signal_type, reading.emission_factor_type) == mine


def figure(reading: Reading) -> str:
    """Write a reading for a step."""
    value = reading.carbon_intensity_gco2eq_per_kwh
    return f"{value:.0f} g/kWh ({reading.kind.value}) from {format_moment(reading.start)}"


def _covering(readings: tuple[Reading, ...], now: datetime) -> Reading | None:
    return next((reading for reading in readings if reading.covers(now)), None)


def _told(feed: Feed, reading: Reading | None, nothing: str) -> str:
    if reading is None:
        return nothing
    if comparable(feed, reading):
        return figure(reading)
    theirs, ours = _meaning(reading), _meaning(feed.provider)
    return f"{figure(reading)}, {theirs} signal: orders hours, is not compared with the {ours} one"


def _meaning(what: Reading | Provider) -> str:
    return f"{what.signal_type.value} {what.emission_factor_type.value}"


def _last_good(feed: Feed, memory: Memory, now: datetime) -> tuple[Reading | None, str]:
    good = memory.last_good()
    if good is None:
        return None, "last good reading: none"
    age = max(timedelta(0), now - good.end)
    told = f"last good reading, interval ended {age.total_seconds() / 60:.0f} min ago"
    if age > feed.max_age:
        return None, f"{told}: older than the limit of {feed.max_age.total_seconds() / 60:.0f} min"
    cached = replace(good, kind=IntensityKind.CACHED)
    return cached, f"{told}: {figure(cached)}"


# The grid's signal of one zone: what holds now with every fallback on record, and what held over any span.


def _start(reading: Reading) -> datetime:
    return reading.start


class IntensityClient:
    """One zone's signal. Thread-safe: a tracker may book while a refresher looks.

    :param history: what is usual for the hours to come, from stored values of this very signal.
    :param combiner: what this signal's past and its provider's forecast say of the hours to come.
    """

    def __init__(
        self,
        zone: Zone,
        feed: Feed,
        *,
        is_replay: bool = False,
        history: TypicalHours | None = None,
        combiner: ForecastCombiner | None = None,
    ) -> None:
        self.zone = zone
        self.is_replay = is_replay
        self._feed = feed
        self._history = history
        self._combiner = combiner or ForecastCombiner(None)
        self._memory = Memory()

    @property
    def feed(self) -> Feed:
        """The provider in working order; the history is filled from it."""
        return self._feed

    @property
    def signal_type(self) -> SignalType:
        """Average or marginal, as the configured provider says."""
        return self._feed.provider.signal_type

    @property
    def emission_factor_type(self) -> EmissionFactorType:
        """Lifecycle or direct, as the configured provider says; fallbacks say their own in each reading."""
        return self._feed.provider.emission_factor_type

    @property
    def provider_name(self) -> str:
        """The provider that is asked; under ``auto``, the one that was chosen."""
        return self._feed.provider.name

    def outlook(self, now: datetime, wanted: DataNeeds = READING) -> Outlook:
        """Look once: provider, last good reading, history, profile, nothing; each step on record.

        Blocks while the provider is asked. Trouble of the network or the provider is part of the outlook, not raised.

        :param wanted: what a policy goes by beside the reading. A forecast is one more request where it is an answer of its
            own.
        :raises ConfigurationError: a replay that has left its trace.
        """
        return self.conclude(now, self.ask(now, with_forecast=wanted.forecast), wanted)

    def ask(self, now: datetime, *, with_forecast: bool = False) -> Answer | SignalError:
        """Ask the provider and return its answer or what went wrong; blocks. ``conclude`` makes an outlook of it.

        :raises ConfigurationError: a replay that has left its trace.
        """
        try:
            return self._feed.current(as_utc(now), with_forecast=with_forecast)
        except SignalError as error:
            return error

    def conclude(self, now: datetime, asked: Answer | SignalError, wanted: DataNeeds = READING) -> Outlook:
        """Return the outlook that an answer, or the lack of one, leaves; no network, but the history's files are read."""
        now = as_utc(now)
        outlook = self._concluded(now, asked)
        return self._combiner.combined(outlook, now, wanted, self.provider_name)

    def _concluded(self, now: datetime, asked: Answer | SignalError) -> Outlook:
        hours = typical_day(self.zone, self._history, now)
        if isinstance(asked, SignalError):
            return self._fallen_back(now, hours, asked)
        self._memory.remember((asked.reading, *asked.others), last_good=asked.reading)
        steps = (f"{self.provider_name}: {figure(asked.reading)}", *asked.notes)
        return Outlook(reading=asked.reading, shape=hours.shape(now), forecast=asked.forecast, steps=steps)

    def held_s(self) -> float:
        """Return how long the provider's rate limit still holds, in s."""
        return self._feed.held_s()

    def inherit(self, older: Self) -> None:
        """Go on with what an older signal of the same source has learned; its connection was read again, say."""
        self._memory = older._memory
        self._combiner = older._combiner

    def readings(self, start: datetime, end: datetime) -> tuple[Reading, ...]:
        """Cover ``[start, end)`` with the best that can be had now; asks the provider, so it may block.

        Gaps are filled from earlier looks, the profile and the country's mean; every reading keeps its kind and source.
        """
        start, end = as_utc(start), as_utc(end)
        try:
            found = self._feed.span(start, end) if start < end else ()
            self._memory.remember(found)
        except SignalError as error:
            # what stands in for it says so by its kind and source, but only the log can say why
            _log.warning(
                "no answer for %s to %s, which are filled: %s", format_moment(start), format_moment(end), error
            )
            found = ()
        return cover(start, end, [lambda *_: found, *self._sources_at_hand()])

    def booking(self, start: datetime, end: datetime) -> tuple[Reading, ...]:
        """Cover ``[start, end)`` fully, at once, from what is known already: never asks the network."""
        return cover(as_utc(start), as_utc(end), self._sources_at_hand())

    def known(self, start: datetime, end: datetime) -> tuple[Reading, ...]:
        """Return what ``booking`` rests on, where it can be as whole readings that reach beyond ``[start, end)``."""
        start, end = as_utc(start), as_utc(end)
        found: list[Reading] = []
        for source in self._sources_at_hand():
            missing = gaps(((reading.start, reading.end) for reading in sorted(found, key=_start)), start, end)
            found += [r for gap in missing for r in source(*gap) if r.start < gap[1] and r.end > gap[0]]
            if missing and not isinstance(self._feed, LiveFeed):
                break  # a profile or a replay: no other source may reach into what it knows
        if gaps(((reading.start, reading.end) for reading in sorted(found, key=_start)), start, end):
            return self.booking(start, end)
        return tuple(dict.fromkeys(found))

    def _sources_at_hand(self) -> list[Source]:
        return [
            self._feed.at_hand,
            self._memory.known,
            lambda *_: self._memory.prolonged(self._feed.max_age),
            lambda start, end: profile_readings(self.zone, start, end),
            lambda start, end: (country_mean_reading(self.zone, *_whole_hours(start, end)),),
        ]

    def _fallen_back(self, now: datetime, hours: TypicalDay, error: SignalError) -> Outlook:
        failed = self._memory.count_failure()
        instead = stand_in(self._feed, self._memory, hours, now)
        told = f"{self.provider_name}: {error} (failed look {failed} in a row)"
        return Outlook(
            reading=instead.reading,
            shape=hours.shape(now),
            failed_looks=failed,
            steps=(told, *instead.steps),
            threshold_comparable=instead.reading is not None and comparable(self._feed, instead.reading),
            worth_retrying=self._feed.can_recover,
        )


def _whole_hours(start: datetime, end: datetime) -> tuple[datetime, datetime]:
    hour = timedelta(hours=1)
    first, last = (time.replace(minute=0, second=0, microsecond=0) for time in (start, end))
    return first, last if last == end else last + hour
