"""A grid's typical hours: a modelled stand-in that knows the usual order of the hours, not the level of a day."""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path

from include.config import Zone
from include.moments import as_utc
from include.records import EmissionFactorType, IntensityKind, Reading, SignalType

_PROFILES = Path(__file__).with_name("profiles.json")
_HOUR = timedelta(hours=1)
_SATURDAY = 5

Curves = tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Multipliers of the mean by month (0 = January) and local clock hour."""

    source: str
    mean_gco2eq_per_kwh: float
    weekday: Curves
    weekend: Curves

    def intensity_gco2eq_per_kwh(self, local: datetime) -> float:
        """Return the typical lifecycle intensity of a local clock hour, in g/kWh."""
        curves = self.weekend if local.weekday() >= _SATURDAY else self.weekday
        return self.mean_gco2eq_per_kwh * curves[local.month - 1][local.hour]


@lru_cache(maxsize=1)
def profiles() -> dict[str, Profile]:
    """Return the profiles by zone key."""
    data = json.loads(_PROFILES.read_text(encoding="utf-8"))
    return {
        key: Profile(
            source=f"profile:{data['fit_year']}",
            mean_gco2eq_per_kwh=row["mean_gco2eq_per_kwh"],
            weekday=tuple(tuple(month) for month in row["weekday"]),
            weekend=tuple(tuple(month) for month in row["weekend"]),
        )
        for key, row in data["zones"].items()
    }


def profile_readings(zone: Zone, start: datetime, end: datetime) -> tuple[Reading, ...]:
    """Return the modelled whole hours that overlap ``[start, end)``; empty for a zone without a profile.

    The hours are counted in UTC and looked up by the zone's clock: a day has 23 or 25 of them when the clocks change.
    """
    profile = profiles().get(zone.key)
    if profile is None:
        return ()
    hours: list[Reading] = []
    hour = as_utc(start).replace(minute=0, second=0, microsecond=0)
    while hour < end:
        hours.append(_modelled_hour(zone, profile, hour))
        hour += _HOUR
    return tuple(hours)


def country_mean_reading(zone: Zone, start: datetime, end: datetime) -> Reading:
    """Return the country's yearly lifecycle mean over ``[start, end)``: blind to the hour, for want of anything better."""
    return Reading(
        zone=zone.key,
        start=as_utc(start),
        end=as_utc(end),
        carbon_intensity_gco2eq_per_kwh=zone.country_mean_gco2eq_per_kwh,
        source="country_mean",
        kind=IntensityKind.MODELLED,
        signal_type=SignalType.AVERAGE,
        emission_factor_type=EmissionFactorType.LIFECYCLE,
    )


def _modelled_hour(zone: Zone, profile: Profile, hour: datetime) -> Reading:
    return Reading(
        zone=zone.key,
        start=hour,
        end=hour + _HOUR,
        carbon_intensity_gco2eq_per_kwh=profile.intensity_gco2eq_per_kwh(hour.astimezone(zone.timezone)),
        source=profile.source,
        kind=IntensityKind.MODELLED,
        signal_type=SignalType.AVERAGE,
        emission_factor_type=EmissionFactorType.LIFECYCLE,
    )
