"""The client of one zone's intensity: what holds now with every fallback on record, and what held over any span.

The fallback's order: provider, last good reading within its age limit, forecast from the stored history, the zone's
profile, nothing. Each step leaves one line, taken or not.
"""

import logging
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Self

from lowtide.config.zones import Zone
from lowtide.errors import InvalidAnswer, ProviderUnavailable, SignalError
from lowtide.grid.http import LONGEST_HOLD_S, RateLimitHold, Request, Transport
from lowtide.grid.outlook import READING, DataNeeds, ForecastCombiner, Outlook
from lowtide.grid.providers.base import HttpProvider
from lowtide.grid.providers.offline import LocalProvider, ProfileProvider, country_mean_reading, profile_readings
from lowtide.grid.series import Source, cover, gaps
from lowtide.records import Forecast, IntensityKind, Meaning, Reading
from lowtide.timeutil import as_utc, format_time

_log = logging.getLogger(__name__)

SHAPE_HORIZON = timedelta(hours=48)
_NO_FORECAST_STATUSES = frozenset({401, 402, 403})
"""Statuses with which a provider says that this account has no forecasts."""
_READINGS_KEPT = 3_000
"""Two months of half-hours, so that a wait of weeks does not grow without bound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The reading that holds now, others that came with it, and the forecast if it was wanted."""

    reading: Reading
    others: tuple[Reading, ...] = ()
    forecast: Forecast | None = None
    notes: tuple[str, ...] = ()
    """What went wrong beside the reading, a line each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderClient:
    """Requests an HTTP provider's answers, and keeps to the rate limit that it asks for."""

    provider: HttpProvider
    transport: Transport
    zone: Zone
    rate_limit: RateLimitHold = field(default_factory=RateLimitHold)
    forecast_hold: RateLimitHold = field(default_factory=RateLimitHold)

    def current(self, now: datetime, *, with_forecast: bool = False) -> Answer:
        """Return the reading that holds now, and all that came with it.

        An answer one interval off is taken, since providers turn to the next half-hour a little late, and clocks differ;
        further off it is stale or from the future. A forecast that cannot be had is a note, not a failure.

        :raises SignalError: no answer, or one that cannot be used.
        """
        request = self.provider.current_request(self.zone, now)
        body = self._get(request)
        readings = self.provider.parse(body, self.zone)
        answer = Answer(reading=self._holding(readings, now), others=readings)
        return self._with_forecast(answer, now, request, body) if with_forecast else answer

    def span(self, start: datetime, end: datetime) -> tuple[Reading, ...]:
        """Return what there is of ``[start, end)``, not clipped, in as few requests as the provider's limit allows.

        :raises SignalError: no answer, or one that cannot be used.
        """
        found: list[Reading] = []
        self._learn_access()
        while start < end:
            stop = min(end, start + self.provider.max_range)
            found.extend(self.provider.parse(self._get(self.provider.range_request(self.zone, start, stop)), self.zone))
            start = stop
        return tuple(found)

    def _learn_access(self) -> None:
        """Ask once what the key may use; until that is answered, the provider asks for what every key may have."""
        request = self.provider.access_request()
        if request is None:
            return
        try:
            self.provider.grant(self._get(request), self.zone)
        except SignalError as error:
            _log.info("%s does not say what this key may use: %s", self.provider.name, error)

    def _get(self, request: Request) -> bytes:
        left_s = self.rate_limit.remaining_s()
        if left_s > 0:
            sentence = f"{self.provider.name}: rate limited, next request allowed in {left_s:.0f} s"
            raise ProviderUnavailable(sentence, retry_after_s=left_s)
        try:
            return self.transport.get(request)
        except ProviderUnavailable as error:
            self.rate_limit.hold(error.retry_after_s or 0.0)
            raise

    def _holding(self, readings: tuple[Reading, ...], now: datetime) -> Reading:
        nearest = min(readings, key=lambda reading: _distance(reading, now))
        if _distance(nearest, now) > self.provider.resolution:
            age = "stale" if nearest.end <= now else "dated in the future"
            raise InvalidAnswer(
                f"{self.provider.name} answered for {format_time(nearest.start)} at {format_time(now)}, which is"
                f" {age}; check this machine's clock if it persists"
            )
        return nearest

    def _with_forecast(self, answer: Answer, now: datetime, current: Request, body: bytes) -> Answer:
        self._learn_access()
        request = self.provider.forecast_request(self.zone, now)
        if request is None:
            return answer
        if self.forecast_hold.remaining_s() > 0:
            note = f"{self.provider.name} forecast: refused within the last hour, so it was not asked for"
            return replace(answer, notes=(note,))
        try:
            answered = body if request == current else self._get(request)
            return replace(answer, forecast=self.provider.parse_forecast(answered, self.zone, now))
        except SignalError as error:
            if isinstance(error, ProviderUnavailable) and error.status in _NO_FORECAST_STATUSES:
                self.forecast_hold.hold(LONGEST_HOLD_S)  # a plan without forecasts will not have them in five minutes
            return replace(answer, notes=(f"{self.provider.name} forecast: {error}",))


@dataclass(frozen=True, slots=True, kw_only=True)
class FileClient:
    """Reads a provider without a network: a trace or a profile."""

    provider: LocalProvider
    rate_limit: RateLimitHold = field(default_factory=RateLimitHold)

    def current(self, now: datetime, *, with_forecast: bool = False) -> Answer:
        """Return the reading that covers now; there is no forecast to wait for.

        :raises SignalError: the file has nothing for now.
        :raises ConfigurationError: a replay that has left its trace.
        """
        del with_forecast
        reading = _covering(self.span(now, now + timedelta(microseconds=1)), now)
        if reading is None:
            raise SignalError(self.provider.explain_gap(now))
        return Answer(reading=reading)

    def span(self, start: datetime, end: datetime) -> tuple[Reading, ...]:
        """Return what the provider has of ``[start, end)``, not clipped."""
        return self.provider.readings(start, end)


class ReadingCache:
    """Readings by their interval's start, the last good one as it came, and the failures since. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_start: dict[datetime, Reading] = {}
        self.last_good: Reading | None = None
        self.failures = 0

    def add(self, readings: Iterable[Reading]) -> None:
        """Keep readings, the newest answer for an interval."""
        with self._lock:
            self._by_start.update((reading.start, reading) for reading in readings)
            for start in sorted(self._by_start)[:-_READINGS_KEPT]:
                del self._by_start[start]

    def known(self, start: datetime, end: datetime) -> tuple[Reading, ...]:
        """Return the readings that overlap ``[start, end)``, with the kinds they came with."""
        with self._lock:
            readings = tuple(self._by_start.values())
        return tuple(reading for reading in readings if reading.start < end and start < reading.end)

    def prolonged(self, max_age: timedelta) -> tuple[Reading, ...]:
        """Return the last good reading as ``cached`` over the time after its interval for which it may be a fallback."""
        good = self.last_good
        if good is None or max_age <= timedelta(0):
            return ()
        return (replace(good, start=good.end, end=good.end + max_age, kind=IntensityKind.CACHED),)


class IntensityClient:
    """One zone's signal. Thread-safe: a recorder may value energy while a refresher checks the grid.

    :param source: the provider's answers, or a file's.
    :param combiner: what this signal's past and its provider's forecast say of the hours to come.
    """

    def __init__(
        self, zone: Zone, source: ProviderClient | FileClient, *, combiner: ForecastCombiner | None = None
    ) -> None:
        self.zone = zone
        self.source = source
        self.provider = provider = source.provider
        self.meaning: Meaning = provider.signal_type, provider.emission_factor_type
        """Average or marginal, lifecycle or direct, as the provider says; fallbacks say their own in each reading."""
        self._combiner = combiner or ForecastCombiner(None)
        self._cache = ReadingCache()

    def outlook(self, now: datetime, wanted: DataNeeds = READING) -> Outlook:
        """Check the grid once: provider, last good reading, history, profile, nothing; each step on record.

        Blocks while the provider is asked. A failure of the network or the provider is part of the outlook, not raised.

        :param wanted: what a policy goes by beside the reading. A forecast is one more request where it is an answer of its
            own.
        :raises ConfigurationError: a replay that has left its trace.
        """
        asked: Answer | SignalError
        try:
            asked = self.source.current(as_utc(now), with_forecast=wanted.forecast)
        except SignalError as error:
            asked = error
        return self.conclude(now, asked, wanted)

    def conclude(self, now: datetime, asked: Answer | SignalError, wanted: DataNeeds = READING) -> Outlook:
        """Return the outlook that an answer, or the lack of one, leaves; no network, but the history's files are read."""
        now = as_utc(now)
        outlook = Outlook(shape=profile_readings(self.zone, now, now + SHAPE_HORIZON))
        if isinstance(asked, SignalError):
            outlook = self._combiner.combined(outlook, now, replace(wanted, prediction=True), self.provider.name)
            return self._fallback(now, outlook, asked)
        self._cache.add((asked.reading, *asked.others))
        self._cache.last_good, self._cache.failures = asked.reading, 0
        steps = (f"{self.provider.name}: {_figure(asked.reading)}", *asked.notes)
        outlook = replace(outlook, reading=asked.reading, forecast=asked.forecast, steps=steps)
        return self._combiner.combined(outlook, now, wanted, self.provider.name)

    def inherit(self, older: Self) -> None:
        """Take over what an older client of the same source has learned; its connection was read again, say."""
        self._cache = older._cache
        self._combiner = older._combiner

    def readings(self, start: datetime, end: datetime) -> tuple[Reading, ...]:
        """Cover ``[start, end)`` with the best that can be had now; asks the provider, so it may block.

        Gaps are filled from earlier answers, the profile and the country's mean; every reading keeps its kind and source.
        """
        start, end = as_utc(start), as_utc(end)
        try:
            found = self.source.span(start, end) if start < end else ()
            self._cache.add(found)
        except SignalError as error:
            # the fallback's kind and source show that it is one, but only the log can say why
            _log.warning("no answer for %s to %s, which are filled: %s", format_time(start), format_time(end), error)
            found = ()
        return cover(start, end, [lambda *_: found, *self._available_sources()])

    def available(self, start: datetime, end: datetime) -> tuple[Reading, ...]:
        """Cover ``[start, end)`` fully, at once, from what is known already: never asks the network."""
        return cover(as_utc(start), as_utc(end), self._available_sources())

    def known(self, start: datetime, end: datetime) -> tuple[Reading, ...]:
        """Return what ``available`` rests on, where it can be as whole readings that reach beyond ``[start, end)``."""
        start, end = as_utc(start), as_utc(end)
        found: list[Reading] = []
        sources = self._available_sources()
        # a profile or a replay: no other source may reach into what it knows
        for source in sources[:1] if isinstance(self.source, FileClient) else sources:
            missing = gaps(((reading.start, reading.end) for reading in found), start, end)
            found += [r for gap in missing for r in source(*gap) if r.start < gap[1] and r.end > gap[0]]
        if gaps(((reading.start, reading.end) for reading in found), start, end):
            return self.available(start, end)
        return tuple(dict.fromkeys(found))

    def _available_sources(self) -> list[Source]:
        local = [self.source.span] if isinstance(self.source, FileClient) else []
        return [
            *local,
            self._cache.known,
            lambda *_: self._cache.prolonged(self.provider.max_age),
            lambda start, end: profile_readings(self.zone, start, end),
            lambda start, end: (country_mean_reading(self.zone, start, end),),
        ]

    def _fallback(self, now: datetime, outlook: Outlook, error: SignalError) -> Outlook:
        """Return the outlook with the reading of the first step that has one for now.

        :param outlook: what the profile and the history say; its steps say why the history says nothing.
        """
        self._cache.failures = failed = self._cache.failures + 1
        reading, step = self._last_good(now)
        steps = [f"{self.provider.name}: {error} (failed check {failed} in a row)", step, *outlook.steps]
        if reading is None:
            reading = self._predicted(outlook)
            if not outlook.steps:
                steps.append(f"history: {_figure(reading) if reading else 'too little is stored of this signal'}")
        if reading is None:
            reading = _covering(outlook.shape, now)
            steps.append(f"profile: {self._compared(reading) if reading else 'none for this zone'}")
        return replace(
            outlook,
            reading=reading,
            failed_checks=failed,
            steps=tuple(steps),
            threshold_comparable=reading is not None and reading.meaning == self.meaning,
            worth_retrying=not isinstance(self.provider, ProfileProvider),  # a missing profile stays missing
        )

    def _predicted(self, outlook: Outlook) -> Reading | None:
        """Return the history's forecast for the interval that holds now."""
        if outlook.prediction is None:
            return None
        curve = outlook.prediction.curve
        start, end = (datetime.fromtimestamp(edge_s, UTC) for edge_s in curve.edges_s[:2])
        return Reading(
            zone=self.zone.key,
            start=start,
            end=end,
            carbon_intensity_gco2eq_per_kwh=curve.values[0],
            source="history",
            kind=IntensityKind.FORECAST,
            signal_type=self.provider.signal_type,
            emission_factor_type=self.provider.emission_factor_type,
        )

    def _last_good(self, now: datetime) -> tuple[Reading | None, str]:
        good = self._cache.last_good
        if good is None:
            return None, "last good reading: none"
        age, max_age = max(timedelta(0), now - good.end), self.provider.max_age
        step = f"last good reading, interval ended {age.total_seconds() / 60:.0f} min ago"
        if age > max_age:
            return None, f"{step}: older than the limit of {max_age.total_seconds() / 60:.0f} min"
        cached = replace(good, kind=IntensityKind.CACHED)
        return cached, f"{step}: {_figure(cached)}"

    def _compared(self, reading: Reading) -> str:
        if reading.meaning == self.meaning:
            return _figure(reading)
        its, own = " ".join(reading.meaning), " ".join(self.meaning)
        return f"{_figure(reading)}, {its} signal: orders hours, is not compared with the {own} one"


def _figure(reading: Reading) -> str:
    value = reading.carbon_intensity_gco2eq_per_kwh
    return f"{value:.0f} g/kWh ({reading.kind.value}) from {format_time(reading.start)}"


def _covering(readings: tuple[Reading, ...], now: datetime) -> Reading | None:
    return next((reading for reading in readings if reading.covers(now)), None)


def _distance(reading: Reading, time: datetime) -> timedelta:
    """Return how far a time lies outside a reading's interval."""
    return max(timedelta(0), reading.start - time, time - reading.end)
