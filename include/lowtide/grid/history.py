"""The history of one signal: what was known when, and what is known now."""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice, pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from lowtide.config.zones import find_zone
from lowtide.errors import InvalidAnswer
from lowtide.grid.history_files import (
    ACTUAL,
    FORECAST,
    STAGE_OF_KIND,
    Compaction,
    HistoryKey,
    Part,
    PartFolder,
    PartName,
    Value,
    compact,
    from_us,
    history_root,
    month_of,
    readings_of,
    to_us,
    value_of,
)
from lowtide.records import IntensityKind, Reading
from lowtide.timeutil import as_utc, format_moment

# What a set of values says, whatever their order: the newest value of each interval, the actual one before a forecast.


Interval = tuple[int, int]


def newest(values: Iterable[Value], *, known_by_us: int | None = None) -> dict[Interval, Value]:
    """Return the newest value of each interval, as of a moment or of all that is known."""
    found: dict[Interval, Value] = {}
    for value in values:
        if known_by_us is not None and value[5] > known_by_us:
            continue
        interval = value[:2]  # by index: properties would make a year of half-hours take twice as long
        rival = found.get(interval)
        if rival is None or value[5] > rival[5] or (value[5] == rival[5] and value.recency > rival.recency):
            found[interval] = value
    return found


def best(actual: Iterable[Value], forecast: Iterable[Value], *, known_by_us: int | None = None) -> list[Value]:
    """Return one value an instant at most, in time order: an actual one where there is one, else the newest forecast."""
    found = newest(forecast, known_by_us=known_by_us) | newest(actual, known_by_us=known_by_us)
    chosen = sorted(found.values())
    if any(later.start_us < earlier.end_us for earlier, later in pairwise(chosen)):
        return _without_overlap(chosen)
    return chosen


def news(values: Iterable[Value], known: Iterable[Value]) -> list[Value]:
    """Return the values that change what is known at their moment; a repeated answer is no news."""
    history: dict[tuple[Interval, str], list[Value]] = {}
    for value in known:
        history.setdefault((value.interval, value.stage), []).append(value)
    fresh = []
    for value in sorted(set(values), key=lambda value: value.recency):
        line = history.setdefault((value.interval, value.stage), [])
        before = max((v for v in line if v.known_at_us <= value.known_at_us), key=lambda v: v.recency, default=None)
        if value not in line and (before is None or before[:5] != value[:5]):
            fresh.append(value)
            line.append(value)
    return fresh


def _without_overlap(values: list[Value]) -> list[Value]:
    """Cut what overlaps: an actual value before a forecast, a finer one before a coarser, a newer one before an older."""
    rank = {ACTUAL: 0, FORECAST: 1}
    taken: list[Value] = []
    for value in sorted(values, key=lambda v: (rank[v.stage], v.end_us - v.start_us, -v.known_at_us, v)):
        for start, end in _free(taken, value.interval):
            insort(taken, value._replace(start_us=start, end_us=end))
    return taken


def _free(taken: list[Value], interval: Interval) -> list[Interval]:
    """Return what values without overlap, in time order, leave free of an interval."""
    start, end = interval
    free: list[Interval] = []
    for value in islice(taken, max(0, bisect_left(taken, (start,)) - 1), None):
        if value.start_us >= end:
            break
        if value.start_us > start:
            free.append((start, value.start_us))
        start = max(start, value.end_us)
    return [*free, (start, end)] if start < end else free


# How much of a span the history knows, and where it has holes.


Span = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """What is known of ``[start, end)``. A gap is where no actual value is known, be there a forecast or not."""

    start: datetime
    end: datetime
    intervals: int
    actual: timedelta
    forecast_only: timedelta
    gaps: tuple[Span, ...]
    unreadable_parts: tuple[str, ...] = ()

    @property
    def actual_percent(self) -> float:
        """The part of the span with an actual value, in percent; 100 for an empty span."""
        length = self.end - self.start
        return 100.0 * (self.actual / length) if length else 100.0

    def as_json(self) -> dict[str, Any]:
        """Return a JSON-able mapping."""
        return {
            "start": format_moment(self.start),
            "end": format_moment(self.end),
            "intervals": self.intervals,
            "actual_percent": round(self.actual_percent, 3),
            "forecast_only_hours": self.forecast_only / timedelta(hours=1),
            "gaps": [{"start": format_moment(start), "end": format_moment(end)} for start, end in self.gaps],
            "unreadable_parts": list(self.unreadable_parts),
        }


def coverage_of(readings: Sequence[Reading], start: datetime, end: datetime, unreadable: Iterable[str]) -> Coverage:
    """Return the coverage of a span by readings that do not overlap one another, in time order."""
    actual = [reading for reading in readings if reading.kind is not IntensityKind.FORECAST]
    forecast = [reading for reading in readings if reading.kind is IntensityKind.FORECAST]
    return Coverage(
        start=start,
        end=end,
        intervals=len(readings),
        actual=_length(actual, start, end),
        forecast_only=_length(forecast, start, end),
        gaps=gaps_between(actual, start, end),
        unreadable_parts=tuple(sorted(unreadable)),
    )


def gaps_between(readings: Iterable[Reading], start: datetime, end: datetime) -> tuple[Span, ...]:
    """Return what readings in time order leave uncovered of a span."""
    gaps: list[Span] = []
    known_until = start
    for reading in readings:
        if reading.start > known_until:
            gaps.append((known_until, min(reading.start, end)))
        known_until = max(known_until, reading.end)
        if known_until >= end:
            break
    if known_until < end:
        gaps.append((known_until, end))
    return tuple(gaps)


def _length(readings: Iterable[Reading], start: datetime, end: datetime) -> timedelta:
    inside = (min(reading.end, end) - max(reading.start, start) for reading in readings)
    return sum((length for length in inside if length > timedelta(0)), timedelta(0))


# A forecast from the history alone: for each clock hour of the zone, the mean of that hour over the last two weeks.


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


LONGEST_INTERVAL = timedelta(days=1)
"""A value over a longer interval says nothing of an hour; it is refused."""


class HistoryStore:
    """One signal's values under one folder. Any number of processes, also on other machines, may add and read at once.

    Adding never changes a file that is there; readers merge all parts. So nothing that was added can be lost to another
    writer, and what is read does not depend on the order of writers.
    """

    def __init__(self, folder: Path, key: HistoryKey) -> None:
        self.key = key
        self.timezone = find_zone(key.zone).timezone
        self._parts = PartFolder(folder, key)

    @property
    def folder(self) -> Path:
        """Where the parts are."""
        return self._parts.path

    @property
    def unreadable_parts(self) -> dict[str, str]:
        """Damaged or foreign parts that were skipped so far, by name, with the reason."""
        return self._parts.unreadable

    def add(self, readings: Iterable[Reading], known_at: datetime) -> int:
        """Store what was learnt at a moment and return how many values were news; what was known already is no news.

        :raises InvalidAnswer: a reading of another zone or meaning, one that stands in for the grid (cached, modelled,
            replayed), or one over more than a day.
        :raises ArtifactError: full disk or no permission; what was stored before stays whole.
        """
        values = [self._checked(reading, as_utc(known_at)) for reading in readings]
        if not values:
            return 0
        start, end = min(value.start_us for value in values), max(value.end_us for value in values)
        touched = {(value.month, value.stage) for value in values}
        known = self._values(lambda name: (name.month, name.stage) in touched, start, end)
        fresh = news(values, known)
        for group in touched:
            part = tuple(value for value in fresh if (value.month, value.stage) == group)
            if part:
                self._parts.publish(Part(part))
        return len(fresh)

    def known_now(self, start: datetime, end: datetime) -> tuple[Reading, ...]:
        """Return the readings that overlap ``[start, end)``, in time order: the newest actual value, else the newest forecast."""
        return self._readings(as_utc(start), as_utc(end), None)

    def known_at(self, start: datetime, end: datetime, moment: datetime) -> tuple[Reading, ...]:
        """Return what was known of ``[start, end)`` at a moment; nothing that was learnt later is among it."""
        return self._readings(as_utc(start), as_utc(end), to_us(as_utc(moment)))

    def coverage(self, start: datetime, end: datetime) -> Coverage:
        """Return how much of ``[start, end)`` is known, and the gaps."""
        start, end = as_utc(start), as_utc(end)
        return coverage_of(self.known_now(start, end), start, end, self.unreadable_parts)

    def span(self) -> tuple[datetime, datetime] | None:
        """Return start and end of all that is known, forecasts included; None for an empty store."""
        months = sorted(name.month for name in self._parts.names())
        values = list(self._all_values(lambda name: name.month in (months[0], months[-1])) if months else ())
        if not values:  # also where the first and last month cannot be read
            return None
        return from_us(min(value.start_us for value in values)), from_us(max(value.end_us for value in values))

    def typical(self, start: datetime, end: datetime, *, known_by: datetime | None = None) -> tuple[Reading, ...]:
        """Return a forecast of ``[start, end)``: the same clock hour's mean over the 14 days before ``start``.

        Whole hours, kind forecast, source ``history:14d``; hours seen on fewer than 3 of the days are left out.

        :param known_by: rest on what was known then, for looking back on a decision; None: on what is known now.
        """
        start, end = as_utc(start), as_utc(end)
        moment_us = None if known_by is None else to_us(as_utc(known_by))
        past = self._readings(start - LOOK_BACK, start, moment_us)
        actual = [r for r in past if r.kind is not IntensityKind.FORECAST and r.end <= start]
        return typical_readings(actual, self.key, self.timezone, start, end)

    def compact(self, *, minimum_parts: int = 8, grace: timedelta = timedelta(minutes=15)) -> Compaction:
        """Merge small parts; ``lowtide.grid.history_files`` says why nothing can be lost.

        :raises ArtifactError: full disk or no permission; the parts are then as they were.
        """
        return compact(self._parts, minimum_parts=minimum_parts, grace=grace)

    def part_names(self) -> frozenset[str]:
        """Return the names of the parts: as long as they are the same, so is all that is known."""
        return frozenset(name.text for name in self._parts.names())

    def parts(self) -> int:
        """Return how many parts there are."""
        return len(self._parts.names())

    def _checked(self, reading: Reading, known_at: datetime) -> Value:
        if not self.key.admits(reading):
            raise InvalidAnswer(
                f"a reading of zone {reading.zone} ({reading.signal_type.value}, {reading.emission_factor_type.value}"
                f" factors) does not belong into {self.folder}"
            )
        if reading.kind not in STAGE_OF_KIND or reading.source == SOURCE:
            raise InvalidAnswer(
                f"a {reading.kind.value} reading from {reading.source} stands in for the grid; it is no history of it"
            )
        if reading.end - reading.start > LONGEST_INTERVAL:
            raise InvalidAnswer(
                f"{reading.source} gave an interval of {reading.end - reading.start}; a day is the longest"
            )
        return value_of(reading, known_at)

    def _readings(self, start: datetime, end: datetime, known_by_us: int | None) -> tuple[Reading, ...]:
        span = to_us(start), to_us(end)
        within = _in_months(start, end)
        actual = list(self._values(lambda name: name.stage == ACTUAL and within(name), *span))
        settled = best(actual, (), known_by_us=known_by_us)
        gaps = _gaps_us(settled, *span)
        if gaps:  # forecasts are many times as many values; a past that is known needs none of them
            months = {month for gap in gaps for month in _months(from_us(gap[0]), from_us(gap[1]))}
            forecast = list(self._values(lambda name: name.stage == FORECAST and name.month in months, *span))
            settled = best(actual, forecast, known_by_us=known_by_us) if forecast else settled
        return readings_of(settled, self.key)

    def _values(self, wanted: Callable[[PartName], bool], start_us: int, end_us: int) -> Iterator[Value]:
        for part in self._parts.parts(wanted).values():
            yield from [value for value in part.values if value[0] < end_us and start_us < value[1]]

    def _all_values(self, wanted: Callable[[PartName], bool]) -> Iterator[Value]:
        for part in self._parts.parts(wanted).values():
            yield from part.values


def open_history(artifacts_root: Path, key: HistoryKey) -> HistoryStore:
    """Return the store of a key under the artifact root; it need not exist yet.

    :raises ConfigurationError: the key's zone is not in the zone table.
    """
    return HistoryStore(key.folder(artifacts_root), key)


def stores_of_zone(artifacts_root: Path, zone: str) -> list[HistoryStore]:
    """Return the zone's stores that exist, by path."""
    folders: Sequence[Path] = sorted(history_root(artifacts_root).glob("*/*/*/*"))
    keys = ((folder, HistoryKey.from_folder(folder)) for folder in folders)
    return [HistoryStore(folder, key) for folder, key in keys if key is not None and key.zone == zone]


def _in_months(start: datetime, end: datetime) -> Callable[[PartName], bool]:
    months = _months(start, end)
    return lambda name: name.month in months


def _months(start: datetime, end: datetime) -> set[str]:
    """Return the months of all intervals that may overlap a span; one may have begun a day before it."""
    months = set()
    day = start - LONGEST_INTERVAL
    while day < end:
        months.add(month_of(day))
        day += timedelta(days=28)  # no month is shorter, so none is stepped over
    return months | {month_of(end)}


def _gaps_us(values: Iterable[Value], start_us: int, end_us: int) -> list[tuple[int, int]]:
    """Return what values without overlap, in time order, leave uncovered of a span."""
    gaps = []
    known_until = start_us
    for value in values:
        if value[0] > known_until:
            gaps.append((known_until, value[0]))
        known_until = value[1]
    return [*gaps, (known_until, end_us)] if known_until < end_us else gaps
