"""What stands in for a provider's answer, step by step, and the curve by which hours are ordered meanwhile.

The order: last good reading while younger than the provider's age limit, forecast from the stored history, the zone's
profile, nothing. Each step leaves one line, taken or not.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from include.config import Zone
from include.errors import LowtideError
from include.moments import format_moment
from include.records import IntensityKind, Reading
from include.scheduler.outlooks.outlook import TypicalHours
from include.scheduler.providers.base import Provider
from include.scheduler.signals.feeds import Feed
from include.scheduler.signals.memory import Memory
from include.scheduler.signals.profile import profile_readings

SHAPE_HORIZON = timedelta(hours=48)
LEAST_SHAPE = timedelta(hours=24)
"""A history that knows less of the hours to come than this does not order them: the profile knows them all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StandIn:
    """What stands in for an answer: a reading or none, and a line for each step."""

    reading: Reading | None
    steps: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HoursToCome:
    """Two curves of the hours to come; ``history`` is empty without a history, ``trouble`` is why."""

    history: tuple[Reading, ...]
    profile: tuple[Reading, ...]
    trouble: str = "none stored for this signal"

    def shape(self, now: datetime) -> tuple[Reading, ...]:
        """Return the one curve that orders the hours; the two are never mixed, their grams may differ in meaning."""
        known = sum((min(r.end, now + SHAPE_HORIZON) - max(r.start, now) for r in self.history), timedelta(0))
        starts_now = any(reading.covers(now) for reading in self.history)
        return self.history if starts_now and known >= LEAST_SHAPE else self.profile


def hours_to_come(zone: Zone, history: TypicalHours | None, now: datetime) -> HoursToCome:
    """Return what is usual for the next two days; reads the history's files, so it may block."""
    profile = profile_readings(zone, now, now + SHAPE_HORIZON)
    if history is None:
        return HoursToCome(history=(), profile=profile)
    try:
        return HoursToCome(history=history.typical(now, now + SHAPE_HORIZON), profile=profile)
    except LowtideError as error:
        return HoursToCome(history=(), profile=profile, trouble=f"cannot be used ({error})")


def stand_in(feed: Feed, memory: Memory, hours: HoursToCome, now: datetime) -> StandIn:
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
