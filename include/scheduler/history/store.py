"""The history of one signal: what was known when, and what is known now."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from include.config import find_zone
from include.errors import InvalidAnswer
from include.moments import as_utc
from include.records import IntensityKind, Reading
from include.scheduler.history.compaction import Compaction, compact
from include.scheduler.history.folder import PartFolder
from include.scheduler.history.key import HistoryKey, history_root
from include.scheduler.history.merge import best, news, stages
from include.scheduler.history.parts import Part, PartName
from include.scheduler.history.spans import Coverage, coverage_of
from include.scheduler.history.typical import LOOK_BACK, SOURCE, typical_readings
from include.scheduler.history.values import (
    ACTUAL,
    FORECAST,
    STAGE_OF_KIND,
    Value,
    from_us,
    month_of,
    reading_of,
    readings_of,
    to_us,
    value_of,
)

LONGEST_INTERVAL = timedelta(days=1)
"""A value over a longer interval says nothing of an hour; it is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A reading, and when it was learnt."""

    reading: Reading
    known_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Knowledge:
    """What came to be known of one interval, for accounts that are settled later; None where nothing did."""

    start: datetime
    end: datetime
    forecast: Known | None
    """The last forecast from before the interval began, else the first one after."""
    first_actual: Known | None
    actual: Known | None
    """The newest actual value; differs from ``first_actual`` where it was revised."""


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

    def knowledge(self, start: datetime, end: datetime) -> tuple[Knowledge, ...]:
        """Return forecast, first actual and newest actual value of every interval that overlaps ``[start, end)``."""
        start, end = as_utc(start), as_utc(end)
        values = self._values(_in_months(start, end), to_us(start), to_us(end))
        return tuple(
            Knowledge(
                start=from_us(interval[0]),
                end=from_us(interval[1]),
                forecast=self._known(known.forecast),
                first_actual=self._known(known.first_actual),
                actual=self._known(known.actual),
            )
            for interval, known in stages(values)
        )

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
        """Merge small parts; ``include.scheduler.history.compaction`` says why nothing can be lost.

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

    def _known(self, value: Value | None) -> Known | None:
        return value and Known(reading=reading_of(value, self.key), known_at=from_us(value.known_at_us))


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
