"""The grid's signal of one zone: what holds now with every fallback on record, and what held over any span."""

from dataclasses import replace
from datetime import datetime, timedelta

from include.config import Zone
from include.errors import SignalError
from include.moments import as_utc, format_moment
from include.records import EmissionFactorType, IntensityKind, Reading, SignalType
from include.scheduler.coverage import Source, cover
from include.scheduler.feeds import Feed
from include.scheduler.memory import Memory
from include.scheduler.outlook import Outlook
from include.scheduler.profile import country_mean_reading, profile_readings

SHAPE_HORIZON = timedelta(hours=48)


class GridSignal:
    """One zone's signal. Thread-safe: a tracker may book while a refresher looks."""

    def __init__(self, zone: Zone, feed: Feed, *, is_replay: bool = False) -> None:
        self.zone = zone
        self.is_replay = is_replay
        self._feed = feed
        self._memory = Memory()

    @property
    def signal_type(self) -> SignalType:
        """Average or marginal, as the configured provider says."""
        return self._feed.provider.signal_type

    @property
    def emission_factor_type(self) -> EmissionFactorType:
        """Lifecycle or direct, as the configured provider says; fallbacks say their own in each reading."""
        return self._feed.provider.emission_factor_type

    def outlook(self, now: datetime) -> Outlook:
        """Look once: provider, then the last good reading, then the profile, then nothing; each step on record.

        Blocks while the provider is asked. Trouble of the network or the provider is part of the outlook, not raised.

        :raises ConfigurationError: a replay that has left its trace.
        """
        now = as_utc(now)
        shape = profile_readings(self.zone, now, now + SHAPE_HORIZON)
        name = self._feed.provider.name
        try:
            reading, all_readings = self._feed.current(now)
        except SignalError as error:
            failed = self._memory.count_failure()
            return self._fallen_back(now, shape, (f"{name}: {error} (failed look {failed} in a row)",), failed)
        self._memory.remember((reading, *all_readings), last_good=reading)
        return Outlook(reading=reading, shape=shape, steps=(f"{name}: {_figure(reading)}",))

    def readings(self, start: datetime, end: datetime) -> tuple[Reading, ...]:
        """Cover ``[start, end)`` with the best that can be had now; asks the provider, so it may block.

        Gaps are filled from earlier looks, the profile and the country's mean; every reading keeps its kind and source.
        """
        start, end = as_utc(start), as_utc(end)
        try:
            found = self._feed.span(start, end) if start < end else ()
            self._memory.remember(found)
        except SignalError:
            found = ()  # not lost: what stands in for it says so by its kind and source
        return cover(start, end, [lambda *_: found, *self._sources_at_hand()])

    def booking(self, start: datetime, end: datetime) -> tuple[Reading, ...]:
        """Cover ``[start, end)`` fully, at once, from what is known already: never asks the network."""
        return cover(as_utc(start), as_utc(end), self._sources_at_hand())

    def _sources_at_hand(self) -> list[Source]:
        return [
            self._feed.at_hand,
            self._memory.known,
            lambda *_: self._memory.prolonged(self._feed.max_age),
            lambda start, end: profile_readings(self.zone, start, end),
            lambda start, end: (country_mean_reading(self.zone, start, end),),
        ]

    def _fallen_back(self, now: datetime, shape: tuple[Reading, ...], steps: tuple[str, ...], failed: int) -> Outlook:
        cached, step = self._last_good(now)
        reading, steps = cached, (*steps, step)
        if reading is None:
            reading = next((hour for hour in shape if hour.covers(now)), None)
            steps = (*steps, self._profile_step(reading))
        return Outlook(
            reading=reading,
            shape=shape,
            failed_looks=failed,
            steps=steps,
            threshold_comparable=reading is not None and self._comparable(reading),
            worth_retrying=self._feed.can_recover,
        )

    def _last_good(self, now: datetime) -> tuple[Reading | None, str]:
        good = self._memory.last_good()
        if good is None:
            return None, "last good reading: none"
        age = max(timedelta(0), now - good.end)
        limit_min = self._feed.max_age.total_seconds() / 60
        told = f"last good reading, interval ended {age.total_seconds() / 60:.0f} min ago"
        if age > self._feed.max_age:
            return None, f"{told}: older than the limit of {limit_min:.0f} min"
        cached = replace(good, kind=IntensityKind.CACHED)
        return cached, f"{told}: {_figure(cached)}"

    def _profile_step(self, reading: Reading | None) -> str:
        if reading is None:
            return f"profile: none for zone {self.zone.key}"
        told = f"profile: {_figure(reading)}"
        if self._comparable(reading):
            return told
        ours = self.emission_factor_type.value
        return f"{told}, {reading.emission_factor_type.value} factors: orders hours, is not compared with {ours} ones"

    def _comparable(self, reading: Reading) -> bool:
        return (reading.signal_type, reading.emission_factor_type) == (self.signal_type, self.emission_factor_type)


def _figure(reading: Reading) -> str:
    value = reading.carbon_intensity_gco2eq_per_kwh
    return f"{value:.0f} g/kWh ({reading.kind.value}) from {format_moment(reading.start)}"
