"""Providers without a network: a replayed trace file, and a zone's typical hours from its profile.

A profile is modelled: it gives a typical daily profile, not the intensity of a specific day. A trace file is a CSV, plain or
gzip, with ``timestamp`` (start of interval, UTC) and ``carbon_intensity_gco2eq_per_kwh``.
"""

import csv
import gzip
import io
import json
import math
import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import ClassVar, Literal

from lowtide.config.loader import PROJECT_ROOT
from lowtide.config.schema import GridConfig
from lowtide.config.zones import Zone, find_zone
from lowtide.errors import ArtifactError, ConfigurationError
from lowtide.grid.series import whole_hours
from lowtide.records import EmissionFactorType, IntensityKind, Reading, SignalType
from lowtide.timeutil import format_time

TIMESTAMP = "timestamp"
INTENSITY = "carbon_intensity_gco2eq_per_kwh"
_GZIP_MAGIC = b"\x1f\x8b"
_PROFILES = Path(__file__).with_name("profiles.json")
_HOUR = timedelta(hours=1)
_SATURDAY = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Multipliers of the mean by month (0 = January) and local clock hour."""

    source: str
    mean_gco2eq_per_kwh: float
    weekday: list[list[float]]
    weekend: list[list[float]]

    def intensity_gco2eq_per_kwh(self, local: datetime) -> float:
        """Return the typical lifecycle intensity of a local clock hour, in g/kWh."""
        curves = self.weekend if local.weekday() >= _SATURDAY else self.weekday
        return self.mean_gco2eq_per_kwh * curves[local.month - 1][local.hour]


@lru_cache(maxsize=1)
def profiles() -> dict[str, Profile]:
    """Return the profiles by zone key."""
    data = json.loads(_PROFILES.read_text(encoding="utf-8"))
    return {key: Profile(source=f"profile:{data['fit_year']}", **row) for key, row in data["zones"].items()}


def profile_readings(zone: Zone, start: datetime, end: datetime) -> tuple[Reading, ...]:
    """Return the modelled whole hours that overlap ``[start, end)``, by the zone's clock; empty for a zone without a profile."""
    profile = profiles().get(zone.key)
    if profile is None:
        return ()
    return tuple(
        _reading(zone, hour, _HOUR, profile.intensity_gco2eq_per_kwh(hour.astimezone(zone.timezone)), profile.source)
        for hour in whole_hours(start, end)
    )


def country_mean_reading(zone: Zone, start: datetime, end: datetime) -> Reading:
    """Return the country's yearly lifecycle mean over the whole hours that overlap ``[start, end)``, for want of a better one."""
    hours = whole_hours(start, end)
    return _reading(zone, hours[0], len(hours) * _HOUR, zone.country_mean_gco2eq_per_kwh, "country_mean")


def _reading(
    zone: Zone,
    start: datetime,
    length: timedelta,
    intensity_gco2eq_per_kwh: float,
    source: str,
    kind: IntensityKind = IntensityKind.MODELLED,
) -> Reading:
    """Return a reading with the meaning that all of this file has: average, lifecycle factors."""
    return Reading(
        zone=zone.key,
        start=start,
        end=start + length,
        carbon_intensity_gco2eq_per_kwh=intensity_gco2eq_per_kwh,
        source=source,
        kind=kind,
        signal_type=SignalType.AVERAGE,
        emission_factor_type=EmissionFactorType.LIFECYCLE,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """Intensities in g/kWh at the starts of intervals of one length, in time order; there may be gaps."""

    name: str
    starts: Sequence[datetime]
    values: Sequence[float]
    resolution: timedelta

    @property
    def end(self) -> datetime:
        """The end of the last interval."""
        return self.starts[-1] + self.resolution


def read_trace(path: Path, *, named_in: str = "grid.replay.trace") -> Trace:
    """Read a trace; its resolution is the shortest step between two rows.

    :param named_in: where the user named the file; an error says to check it.
    :raises ArtifactError: missing, unreadable, no such columns, fewer than two rows, or a line that is no reading.
    """
    text = read_table(path, f"trace file; check {named_in}")
    rows = _rows(csv.DictReader(io.StringIO(text, newline="")), path)
    starts = [start for start, _ in rows]
    resolution = shortest_step(path, starts)
    return Trace(name=path.name, starts=starts, values=[value for _, value in rows], resolution=resolution)


def read_table(path: Path, what: str) -> str:
    """Return the text of a CSV file, plain or gzip.

    :param what: what is missing if there is no such file, and where to look.
    :raises ArtifactError: missing, unreadable or not UTF-8.
    """
    try:
        content = path.read_bytes()
        return (gzip.decompress(content) if content.startswith(_GZIP_MAGIC) else content).decode("utf-8-sig")
    except FileNotFoundError:
        raise ArtifactError(f"{path}: there is no such {what}") from None
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise ArtifactError(f"{path}: cannot be read ({error}); give a CSV file in UTF-8, plain or gzip") from None


def shortest_step(path: Path, starts: Sequence[datetime]) -> timedelta:
    """Return the shortest step between the starts of a file's intervals, which are in time order.

    :raises ArtifactError: fewer than two, or one of them twice.
    """
    steps = [later - earlier for earlier, later in pairwise(starts)]
    if not steps:
        raise ArtifactError(f"{path}: at least two rows are needed, this file has {len(starts)}; check the file")
    if min(steps) == timedelta(0):
        twice = starts[steps.index(timedelta(0))]
        raise ArtifactError(f"{path}: {twice.isoformat()} occurs twice; remove one of the two rows")
    return min(steps)


def utc_time(text: str) -> datetime:
    """Read a timestamp of a UTC column: one without an offset is UTC.

    :raises ValueError: not ISO-8601.
    """
    time = datetime.fromisoformat(text)
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _rows(reader: "csv.DictReader[str]", path: Path) -> list[tuple[datetime, float]]:
    try:
        missing = {TIMESTAMP, INTENSITY} - set(reader.fieldnames or ())
        if missing:
            raise ArtifactError(
                f"{path}: the column {sorted(missing)[0]!r} is missing; name the columns in the first line"
            )
        return sorted(_parsed(reader, path))
    except csv.Error as error:
        raise ArtifactError(f"{path}, line {reader.line_num}: is not CSV ({error}); check the file") from None


def _parsed(reader: "csv.DictReader[str]", path: Path) -> Iterable[tuple[datetime, float]]:
    for row in reader:
        try:
            start, value = utc_time(row[TIMESTAMP]), float(row[INTENSITY])
        except (TypeError, ValueError):
            start, value = None, math.nan
        if start is None or not math.isfinite(value) or value < 0:
            raise ArtifactError(
                f"{path}, line {reader.line_num}: {row[TIMESTAMP]!r}, {row[INTENSITY]!r} is not a timestamp in ISO-8601"
                " and an intensity of at least 0 g/kWh; fix or remove the line"
            )
        yield start, value


class _Local:
    """What the providers without a network have in common."""

    signal_type: ClassVar[SignalType] = SignalType.AVERAGE
    emission_factor_type: ClassVar[EmissionFactorType] = EmissionFactorType.LIFECYCLE
    max_age: ClassVar[timedelta] = timedelta(0)


@dataclass(frozen=True, kw_only=True)
class TraceReplay(_Local):
    """Replays a trace, taken as average lifecycle intensity (the contract of trace files)."""

    zone: Zone
    trace: Trace
    name: ClassVar[str] = "replay"

    def readings(self, start: datetime, end: datetime) -> tuple[Reading, ...]:
        """Return the trace's intervals that overlap ``[start, end)``; nothing outside it, never wrapped round."""
        trace = self.trace
        first = bisect_right(trace.starts, start - trace.resolution)
        last = bisect_left(trace.starts, end)
        return tuple(self._reading(index) for index in range(first, last))

    def whole(self) -> tuple[Reading, ...]:
        """Return all of the trace."""
        return tuple(self._reading(index) for index in range(len(self.trace.starts)))

    def explain_gap(self, time: datetime) -> str:
        """Return that the trace has a gap there.

        :raises ConfigurationError: the time lies before or after the whole trace.
        """
        trace = self.trace
        if trace.starts[0] <= time < trace.end:
            return f"{trace.name} has a gap at {format_time(time)}"
        raise ConfigurationError(
            f"the replay is at {format_time(time)}, outside the trace {trace.name} ({format_time(trace.starts[0])}"
            f" to {format_time(trace.end)}); change grid.replay.virtual_start, its speed or the trace"
        )

    def _reading(self, index: int) -> Reading:
        trace, source = self.trace, f"replay:{self.trace.name}"
        start, value = trace.starts[index], trace.values[index]
        return _reading(self.zone, start, trace.resolution, value, source, IntensityKind.REPLAYED)


@dataclass(frozen=True, kw_only=True)
class ProfileProvider(_Local):
    """The zone's typical hours: ``profile``, or ``replay`` without a trace. They repeat every year, so there is no outside."""

    zone: Zone
    name: Literal["profile", "replay"]

    def readings(self, start: datetime, end: datetime) -> tuple[Reading, ...]:
        """Return the typical hours that overlap ``[start, end)``; none for a zone without a profile, where a job starts at once."""
        hours = profile_readings(self.zone, start, end)
        if self.name == "profile":
            return hours
        return tuple(replace(hour, kind=IntensityKind.REPLAYED, source="replay:profile") for hour in hours)

    def explain_gap(self, time: datetime) -> str:
        """Return that nothing is known of this zone's hours."""
        del time
        return f"zone {self.zone.key} has no profile, so nothing is known of its hours"


LocalProvider = TraceReplay | ProfileProvider


def open_replay(grid: GridConfig) -> LocalProvider:
    """Return the replay that a configuration asks for; a relative trace path starts at the project's folder.

    :raises ConfigurationError: no replay section, or neither a trace nor a profile of the zone.
    :raises ArtifactError: the trace cannot be used.
    """
    zone = find_zone(grid.zone)
    if grid.replay is None:
        raise ConfigurationError("grid.provider is 'replay' but grid.replay is missing; add grid.replay.virtual_start")
    if grid.replay.trace is not None:
        return TraceReplay(zone=zone, trace=read_trace(PROJECT_ROOT / Path(grid.replay.trace).expanduser()))
    if zone.key not in profiles():
        raise ConfigurationError(
            f"grid.replay.trace is null and zone {zone.key} has no profile; give a trace, or one of the zones"
            f" {', '.join(sorted(profiles()))}"
        )
    return ProfileProvider(zone=zone, name="replay")


def open_typical_hours(grid: GridConfig) -> LocalProvider:
    """Return the zone's typical hours."""
    return ProfileProvider(zone=find_zone(grid.zone), name="profile")
