"""The history of one signal: what was known when, and what is known now.

One file holds a key's observations of one month and stage, ``2026-03.actual.csv.gz`` or ``2026-03.forecast.csv.gz``:
forecasts are many times as many, and a past that is known needs none of them. A writer holds the folder's lock and
replaces a file in one step, so no writer loses another's values and no reader sees half a file.
"""

import csv
import gzip
import io
import json
import logging
import zlib
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import cache
from itertools import pairwise
from math import inf
from operator import lt
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import quote, unquote

from lowtide.config.zones import find_zone
from lowtide.errors import ArtifactError, InvalidAnswer
from lowtide.grid.series import foremost, gaps
from lowtide.io import write_atomically
from lowtide.records import EmissionFactorType, IntensityKind, Reading, SignalType
from lowtide.timeutil import as_utc, format_time, parse_time

_log = logging.getLogger(__name__)

ACTUAL, FORECAST = "actual", "forecast"
STAGE_OF_KIND = {IntensityKind.MEASURED: ACTUAL, IntensityKind.ESTIMATED: ACTUAL, IntensityKind.FORECAST: FORECAST}
"""Kinds that are knowledge of the grid; cached, modelled and replayed readings are fallbacks and are not kept."""
LONGEST_INTERVAL = timedelta(days=1)
"""A value over a longer interval is too coarse for an hour; it is refused."""

Interval = tuple[datetime, datetime]

_PUBLIC = "public"
_COLUMNS = ("start", "end", "carbon_intensity_gco2eq_per_kwh", "kind", "source", "learnt_at")
_SUFFIX = ".csv.gz"
_DAMAGED = ".damaged"
_LOCK_TIMEOUT_S = 60.0
_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryKey:
    """Zone, source, connection (None: the source's public address), signal type and emission factor type.

    Values of two keys are never mixed, so each key has a folder.
    """

    zone: str
    source: str
    connection: str | None = None
    signal_type: SignalType
    emission_factor_type: EmissionFactorType

    def folder(self, artifacts_root: Path) -> Path:
        """Return the store's folder: history/<zone>/<source>/<connection or public>/<signal>-<factor>."""
        connection = _PUBLIC if self.connection is None else _component(self.connection)
        meaning = f"{self.signal_type.value}-{self.emission_factor_type.value}"
        return artifacts_root / "history" / _component(self.zone) / _component(self.source) / connection / meaning

    def admits(self, reading: Reading) -> bool:
        """Whether a reading is of this zone and meaning, and the grid's own: no fallback (cached, modelled, replayed)."""
        own = (self.zone, self.signal_type, self.emission_factor_type)
        meaning = (reading.zone, reading.signal_type, reading.emission_factor_type)
        return meaning == own and reading.kind in STAGE_OF_KIND

    def as_json(self) -> dict[str, Any]:
        """Return a JSON-able mapping, which is the first line of every file of the store."""
        return asdict(self)

    @classmethod
    def from_folder(cls, folder: Path) -> Self | None:
        """Return the key of a store's folder; None where the folder is no store's."""
        zone, source, connection, meaning = folder.parts[-4:]
        signal_type, _, factor_type = meaning.partition("-")
        try:
            return cls(
                zone=unquote(zone),
                source=unquote(source),
                connection=None if connection == _PUBLIC else unquote(connection),
                signal_type=SignalType(signal_type),
                emission_factor_type=EmissionFactorType(factor_type),
            )
        except ValueError:
            return None


class Observation(NamedTuple):
    """An interval's intensity as it was learnt at a time."""

    start: datetime
    end: datetime
    gco2eq_per_kwh: float
    kind: IntensityKind
    source: str
    learnt_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """What is known of ``[start, end)``. A gap is where no actual value is known, with or without a forecast."""

    start: datetime
    end: datetime
    intervals: int
    forecast_only: timedelta
    gaps: tuple[Interval, ...]
    unreadable_files: tuple[str, ...] = ()

    @property
    def actual_percent(self) -> float:
        """The part of the span with an actual value, in percent; 100 for an empty span."""
        length, unknown = self.end - self.start, sum((end - start for start, end in self.gaps), timedelta(0))
        return 100.0 * ((length - unknown) / length) if length else 100.0

    def as_json(self) -> dict[str, Any]:
        """Return a JSON-able mapping."""
        return {
            "start": format_time(self.start),
            "end": format_time(self.end),
            "intervals": self.intervals,
            "actual_percent": round(self.actual_percent, 3),
            "forecast_only_hours": self.forecast_only / _HOUR,
            "gaps": [{"start": format_time(start), "end": format_time(end)} for start, end in self.gaps],
            "unreadable_files": list(self.unreadable_files),
        }


class HistoryStore:
    """One signal's values in one folder. Any number of processes, also on other machines, may add and read at once.

    :raises ConfigurationError: the key's zone is not in the zone table.
    """

    def __init__(self, artifacts_root: Path, key: HistoryKey) -> None:
        self.folder = key.folder(artifacts_root)
        self.key = key
        self.timezone = find_zone(key.zone).timezone
        self._read: dict[str, tuple[tuple[int, ...], tuple[Observation, ...]]] = {}
        self._unreadable: dict[str, str] = {}

    @property
    def unreadable_files(self) -> dict[str, str]:
        """Damaged or foreign files that were skipped so far, by name, with the reason."""
        damaged = "its values were lost; import them again, then delete the file"
        return self._unreadable | dict.fromkeys((p.name for p in self.folder.glob("*" + _DAMAGED)), damaged)

    def add(self, readings: Iterable[Reading], known_at: datetime) -> int:
        """Store what was learnt at a time and return how many values were news; a repeated answer is no news.

        A repeat is not stored. Where another value is added after it that was learnt before it, that value counts as the
        newer one until the provider is asked again.

        :raises InvalidAnswer: a reading of another zone or meaning, a fallback (cached, modelled, replayed), or one over
            more than a day.
        :raises ArtifactError: full disk or no permission; what was stored before stays whole.
        """
        found: dict[str, list[Observation]] = {}
        for observation in [self._checked(reading, as_utc(known_at)) for reading in readings]:
            name = _file_name(_month(observation.start), STAGE_OF_KIND[observation.kind])
            found.setdefault(name, []).append(observation)
        if not found:
            return 0
        with self._locked():
            return sum(self._append(name, observations) for name, observations in found.items())

    def record(self, readings: Iterable[Reading], known_at: datetime) -> int:
        """Store what of an answer is knowledge of the grid, and return how many values were news.

        Fallbacks and readings of another meaning are passed over. So is an actual value of an interval that is not over:
        what is known of it then is a part of it, and would pass for a revision.

        :raises ArtifactError: the store cannot be written.
        """
        own = (reading for reading in readings if self.key.admits(reading))
        return self.add((r for r in own if r.kind is IntensityKind.FORECAST or r.end <= known_at), known_at)

    def known(self, start: datetime, end: datetime, as_of: datetime | None = None) -> tuple[Reading, ...]:
        """Return the readings that overlap ``[start, end)``, in time order, as ``best`` chooses.

        :param as_of: what was learnt later is left aside; None: nothing is.
        """
        start, end = as_utc(start), as_utc(end)
        actual = self._overlapping(ACTUAL, _months(start, end), start, end)
        chosen = best(actual, (), as_of)
        missing = gaps((o[:2] for o in chosen), start, end)
        if missing:
            months = {month for gap in missing for month in _months(*gap)}
            forecast = self._overlapping(FORECAST, months, start, end)
            chosen = best(actual, forecast, as_of) if forecast else chosen
        return self._as_readings(chosen)

    def coverage(self, start: datetime, end: datetime) -> Coverage:
        """Return how much of ``[start, end)`` is known, and the gaps."""
        start, end = as_utc(start), as_utc(end)
        readings = self.known(start, end)
        unknown = gaps(((r.start, r.end) for r in readings if r.kind is not IntensityKind.FORECAST), start, end)
        forecast = [min(r.end, end) - max(r.start, start) for r in readings if r.kind is IntensityKind.FORECAST]
        return Coverage(
            start=start,
            end=end,
            intervals=len(readings),
            forecast_only=sum(forecast, timedelta(0)),
            gaps=tuple(unknown),
            unreadable_files=tuple(sorted(self.unreadable_files)),
        )

    def span(self) -> Interval | None:
        """Return start and end of all that is known, forecasts included; None for an empty store."""
        names = sorted(self.files())
        ends = [name for name in names if names and name[:7] in (names[0][:7], names[-1][:7])]
        known = [observation for name in ends for observation in self._file(name)]
        if not known:  # also where the first and last month cannot be read
            return None
        return min(o.start for o in known), max(o.end for o in known)

    def files(self) -> dict[str, tuple[int, ...]]:
        """Return the files' names and versions, which change whenever something is stored.

        :raises ArtifactError: the folder exists but cannot be listed.
        """
        try:
            return {path.name: _version(path) for path in self.folder.iterdir() if path.name.endswith(_SUFFIX)}
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise ArtifactError(
                f"cannot list {self.folder} ({error.strerror}); the artifact root must be a folder that can be read"
            ) from None

    def _checked(self, reading: Reading, known_at: datetime) -> Observation:
        if not self.key.admits(reading):
            raise InvalidAnswer(
                f"a {reading.kind.value} reading of zone {reading.zone} ({reading.signal_type.value},"
                f" {reading.emission_factor_type.value} factors) does not belong into {self.folder}"
            )
        if reading.end - reading.start > LONGEST_INTERVAL:
            raise InvalidAnswer(
                f"{reading.source} gave an interval of {reading.end - reading.start}; a day is the longest"
            )
        start, end = as_utc(reading.start), as_utc(reading.end)
        return Observation(start, end, reading.carbon_intensity_gco2eq_per_kwh, reading.kind, reading.source, known_at)

    def _overlapping(self, stage: str, months: Iterable[str], start: datetime, end: datetime) -> list[Observation]:
        names = [_file_name(month, stage) for month in sorted(months)]
        return [o for name in names for o in self._file(name) if o[0] < end and start < o[1]]

    def _as_readings(self, observations: Iterable[Observation]) -> tuple[Reading, ...]:
        zone, signal_type, factor_type = self.key.zone, self.key.signal_type, self.key.emission_factor_type
        return tuple(
            Reading(
                zone=zone,
                start=start,
                end=end,
                carbon_intensity_gco2eq_per_kwh=value,
                source=source,
                kind=kind,
                signal_type=signal_type,
                emission_factor_type=factor_type,
            )
            for start, end, value, kind, source, _ in observations
        )

    def _file(self, name: str) -> tuple[Observation, ...]:
        """Return a file's observations, from memory while the file is the same; none for one that is damaged.

        :raises ArtifactError: a file that may not be read.
        """
        path = self.folder / name
        try:
            version = _version(path)
            if name in self._read and self._read[name][0] == version:
                return self._read[name][1]
            observations = _decode(path.read_bytes(), self.key)
        except (FileNotFoundError, NotADirectoryError):
            return ()
        except OSError as error:
            raise ArtifactError(f"cannot read {path} ({error.strerror}); fix its permissions") from None
        except ValueError as error:
            if name not in self._unreadable:
                _log.warning("history file %s is skipped: %s", path, error)
            self._unreadable[name] = str(error)
            return ()
        self._unreadable.pop(name, None)
        self._read[name] = version, observations
        return observations

    def _append(self, name: str, observations: Collection[Observation]) -> int:
        known, path = self._file(name), self.folder / name
        fresh = news(observations, known)
        if not fresh:
            return 0
        if name in self._unreadable:
            path.replace(path.with_name(name + _DAMAGED))
            del self._unreadable[name]
        write_atomically(path, _encode(self.key, sorted({*known, *fresh})))
        return len(fresh)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the folder's lock; a temporary file that is there then belongs to a writer that died.

        :raises ArtifactError: no permission, or another process has held the lock for a minute.
        """
        from filelock import FileLock, Timeout  # here: a reader needs no lock, and no asyncio with it

        lock = FileLock(self.folder / ".lock", timeout=_LOCK_TIMEOUT_S, mode=0o666)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except Timeout:
            raise ArtifactError(
                f"another process has been writing to {self.folder} for {_LOCK_TIMEOUT_S:.0f} s; end it, or try later"
            ) from None
        except OSError as error:
            raise ArtifactError(
                f"cannot write {self.folder} ({error.strerror}); the artifact root must be a folder that this worker can write"
            ) from None
        try:
            for leftover in self.folder.glob(".*.tmp"):
                leftover.unlink(missing_ok=True)
            yield
        finally:
            lock.release()


def stores_of_zone(artifacts_root: Path, zone: str) -> list[HistoryStore]:
    """Return the zone's stores that exist, by path."""
    keys = map(HistoryKey.from_folder, sorted((artifacts_root / "history").glob(f"{_component(zone)}/*/*/*")))
    return [HistoryStore(artifacts_root, key) for key in keys if key is not None]


# What a set of observations says, whatever their order: the newest of each interval, an actual one before a forecast.


def best(actual: Iterable[Observation], forecast: Iterable[Observation], as_of: datetime | None) -> list[Observation]:
    """Return at most one observation for each instant, in time order.

    An actual value counts before a forecast, a finer one before a coarser, a newer one before an older, measured or
    estimated. A run's join has another order: ``best_known``.
    """
    found = _newest(forecast, as_of) | _newest(actual, as_of)
    chosen = sorted(found.values())
    if any(later.start < earlier.end for earlier, later in pairwise(chosen)):
        pieces = foremost((o.start, o.end, _rank(o), o) for o in chosen)
        return [observation._replace(start=start, end=end) for start, end, observation in pieces]
    return chosen


def news(observations: Collection[Observation], known: Iterable[Observation]) -> list[Observation]:
    """Return the observations that change what is known at their time, of one stage."""
    by_interval: dict[Interval, list[Observation]] = {observation[:2]: [] for observation in observations}
    for observation in known:
        if observation[:2] in by_interval:
            by_interval[observation[:2]].append(observation)
    fresh = []
    for new in sorted(set(observations), key=_recency):
        revisions = by_interval[new[:2]]
        before = max((o for o in revisions if o.learnt_at <= new.learnt_at), key=_recency, default=None)
        if new not in revisions and (before is None or before[:5] != new[:5]):
            fresh.append(new)
            revisions.append(new)
    return fresh


def _newest(observations: Iterable[Observation], as_of: datetime | None) -> dict[Interval, Observation]:
    found: dict[Interval, Observation] = {}
    for observation in observations:
        if as_of is not None and observation[5] > as_of:
            continue
        interval = observation[:2]  # by index: properties would make a year of half-hours take twice as long
        rival = found.get(interval)
        if rival is None or _recency(observation) > _recency(rival):
            found[interval] = observation
    return found


def _recency(observation: Observation) -> tuple[object, ...]:
    # the rest only makes ties independent of the order of the rows
    is_measured = observation.kind is IntensityKind.MEASURED
    return observation.learnt_at, is_measured, observation.gco2eq_per_kwh, observation.source


def _rank(observation: Observation) -> tuple[float, ...]:
    length_s = (observation.end - observation.start).total_seconds()
    return observation.kind is IntensityKind.FORECAST, length_s, -observation.learnt_at.timestamp()


def _encode(key: HistoryKey, observations: Iterable[Observation]) -> bytes:
    text = io.StringIO()
    text.write(f"# {json.dumps(key.as_json())}\n")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    iso = cache(format_time)
    writer.writerows(
        (iso(start), iso(end), value, kind.value, source, iso(learnt_at))
        for start, end, value, kind, source, learnt_at in observations
    )
    return gzip.compress(text.getvalue().encode(), compresslevel=6, mtime=0)


def _decode(data: bytes, key: HistoryKey) -> tuple[Observation, ...]:
    """Return a file's observations.

    :raises ValueError: the file is damaged or of another store; the message says which.
    """
    try:
        first, _, table = gzip.decompress(data).decode().partition("\n")
        written_for = json.loads(first.removeprefix("#"))
        quoted = '"' in table  # a source with a comma; without one, splitting takes a third of the time
        header, *rows = (
            csv.reader(io.StringIO(table)) if quoted else (line.split(",") for line in table.rstrip("\n").split("\n"))
        )
        observations = _parsed(rows)
    except (OSError, EOFError, zlib.error, csv.Error, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"it is damaged ({error})") from None
    if tuple(header) != _COLUMNS:
        raise ValueError(f"it has other columns than {', '.join(_COLUMNS)}")
    if written_for != key.as_json():
        raise ValueError("it belongs to another zone, source or meaning")
    return observations


def _parsed(rows: Iterable[list[str]]) -> tuple[Observation, ...]:
    # by columns: a year of half-hours takes half as long as by rows
    starts, ends, values, kinds, sources, learnt_at = zip(*rows, strict=True)
    time, kind_of = cache(parse_time), {kind.value: kind for kind in STAGE_OF_KIND}
    intervals = tuple(map(time, starts)), tuple(map(time, ends))
    grams = tuple(map(float, values))
    if not all(map(lt, *intervals)):
        raise ValueError("an interval does not run forwards")
    if not all(0 <= value < inf for value in grams):
        raise ValueError("an intensity is not a number of at least 0")
    columns = (*intervals, grams, map(kind_of.__getitem__, kinds), sources, map(time, learnt_at))
    return tuple(map(Observation._make, zip(*columns, strict=True)))


def _version(path: Path) -> tuple[int, ...]:
    status = path.stat()
    return status.st_ino, status.st_mtime_ns, status.st_size


def _file_name(month: str, stage: str) -> str:
    return f"{month}.{stage}{_SUFFIX}"


def _month(time: datetime) -> str:
    return f"{time.year:04d}-{time.month:02d}"


def _months(start: datetime, end: datetime) -> set[str]:
    """Return the months of all intervals that may overlap a span; one may have begun a day before it."""
    months = {_month(end)}
    day = start - LONGEST_INTERVAL
    while day < end:
        months.add(_month(day))
        day += timedelta(days=28)  # no month is shorter, so none is skipped
    return months


def _component(text: str) -> str:
    """Return a text as one path component; two texts never share one, and none is hidden, ``public`` or a parent."""
    quoted = quote(text, safe="")
    if quoted.startswith(".") or quoted == _PUBLIC:
        return f"%{ord(text[0]):02X}{quoted[1:]}"
    return quoted
