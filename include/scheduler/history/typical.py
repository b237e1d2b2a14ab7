"""A forecast from the history alone: for each clock hour of the zone, the mean of that hour over the last two weeks."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from include.moments import as_utc
from include.records import IntensityKind, Reading
from include.scheduler.history.key import HistoryKey

DAYS = 14
LOOK_BACK = timedelta(days=DAYS)
MINIMUM_DAYS = 3
"""An hour that was seen on fewer days is left out: a single windy night is no habit of the grid."""
SOURCE = f"history:{DAYS}d"
_HOUR = timedelta(hours=1)


def hourly_means(past: Iterable[Reading], timezone: ZoneInfo) -> dict[int, float]:
    """Return the mean intensity in g/kWh by clock hour, weighted by time.

    Hours are counted in UTC and named by the zone's clock at their start, so on the day the clocks go back an hour's name
    counts twice, and on the day they go forward one is missing.
    """
    sums: dict[int, list[float]] = {}
    days: dict[int, set[object]] = {}
    for reading in past:
        start = reading.start
        while start < reading.end:
            stop = min(reading.end, _hour_of(start) + _HOUR)
            local = _hour_of(start).astimezone(timezone)
            weight_s = (stop - start).total_seconds()
            total = sums.setdefault(local.hour, [0.0, 0.0])
            total[0] += weight_s * reading.carbon_intensity_gco2eq_per_kwh
            total[1] += weight_s
            days.setdefault(local.hour, set()).add(local.date())
            start = stop
    return {hour: grams / weight for hour, (grams, weight) in sums.items() if len(days[hour]) >= MINIMUM_DAYS}


def typical_readings(
    past: Iterable[Reading], key: HistoryKey, timezone: ZoneInfo, start: datetime, end: datetime
) -> tuple[Reading, ...]:
    """Return the whole hours that overlap ``[start, end)`` at the means of the past; hours without a mean are left out."""
    means = hourly_means(past, timezone)
    hours: list[Reading] = []
    hour = _hour_of(as_utc(start))
    while hour < end:
        mean = means.get(hour.astimezone(timezone).hour)
        if mean is not None:
            hours.append(_forecast_hour(key, hour, mean))
        hour += _HOUR
    return tuple(hours)


def _forecast_hour(key: HistoryKey, hour: datetime, mean: float) -> Reading:
    return Reading(
        zone=key.zone,
        start=hour,
        end=hour + _HOUR,
        carbon_intensity_gco2eq_per_kwh=mean,
        source=SOURCE,
        kind=IntensityKind.FORECAST,
        signal_type=key.signal_type,
        emission_factor_type=key.emission_factor_type,
    )


def _hour_of(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)
