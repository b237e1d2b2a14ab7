"""Replays a grid: a trace file, or without one the zone's typical hours from its profile."""

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

from lowtide.config.loader import PROJECT_ROOT
from lowtide.config.schema import GridConfig
from lowtide.config.zones import Zone, find_zone
from lowtide.errors import ArtifactError, ConfigurationError
from lowtide.grid.providers.base import LocalProvider
from lowtide.records import EmissionFactorType, IntensityKind, Reading, SignalType
from lowtide.timeutil import as_utc, format_moment

# A grid's typical hours: a modelled stand-in that knows the usual order of the hours, not the level of a day.


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


# A trace file: CSV, plain or gzip, with ``timestamp`` (start of interval) and ``carbon_intensity_gco2eq_per_kwh``.


TIMESTAMP = "timestamp"
INTENSITY = "carbon_intensity_gco2eq_per_kwh"
_GZIP_MAGIC = b"\x1f\x8b"


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


def read_trace(path: Path, *, told_by: str = "grid.replay.trace") -> Trace:
    """Read a trace; its resolution is the shortest step between two rows.

    :param told_by: where the user named the file; an error says to look there.
    :raises ArtifactError: missing, unreadable, no such columns, fewer than two rows, or a line that is no reading.
    """
    rows = _rows(csv.DictReader(io.StringIO(_text(path, told_by), newline="")), path)
    starts = [start for start, _ in rows]
    if len(starts) < 2:
        raise ArtifactError(f"{path}: a trace needs at least two rows, this one has {len(starts)}; check the file")
    steps = [later - earlier for earlier, later in pairwise(starts)]
    if min(steps) == timedelta(0):
        twice = starts[steps.index(timedelta(0))]
        raise ArtifactError(f"{path}: {twice.isoformat()} stands there twice; remove one of the two rows")
    return Trace(name=path.name, starts=starts, values=[value for _, value in rows], resolution=min(steps))


def _text(path: Path, told_by: str) -> str:
    try:
        content = path.read_bytes()
        return (gzip.decompress(content) if content.startswith(_GZIP_MAGIC) else content).decode("utf-8-sig")
    except FileNotFoundError:
        raise ArtifactError(f"{path}: there is no such trace file; check {told_by}") from None
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise ArtifactError(f"{path}: the trace cannot be read ({error}); give a CSV file, plain or gzip") from None


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
            start, value = _moment(row[TIMESTAMP]), float(row[INTENSITY])
        except (TypeError, ValueError):
            start, value = None, math.nan
        if start is None or not math.isfinite(value) or value < 0:
            raise ArtifactError(
                f"{path}, line {reader.line_num}: {row[TIMESTAMP]!r}, {row[INTENSITY]!r} is not a moment in ISO-8601"
                " and an intensity of at least 0 g/kWh; mend or remove the line"
            )
        yield start, value


def _moment(text: str) -> datetime:
    """Read a timestamp; the column is UTC by its definition, so one without an offset is UTC."""
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceReplay:
    """Replays a trace, taken as average lifecycle intensity (the contract of trace files)."""

    zone: Zone
    trace: Trace
    name: str = "replay"
    signal_type: SignalType = SignalType.AVERAGE
    emission_factor_type: EmissionFactorType = EmissionFactorType.LIFECYCLE
    can_recover: bool = True

    def readings(self, start: datetime, end: datetime) -> tuple[Reading, ...]:
        """Return the trace's intervals that overlap ``[start, end)``; nothing outside it, never wrapped round."""
        trace = self.trace
        first = bisect_right(trace.starts, start - trace.resolution)
        last = bisect_left(trace.starts, end)
        return tuple(self._reading(index) for index in range(first, last))

    def whole(self) -> tuple[Reading, ...]:
        """Return all of the trace."""
        return tuple(self._reading(index) for index in range(len(self.trace.starts)))

    def explain_gap(self, moment: datetime) -> str:
        """Return that the trace has a gap there.

        :raises ConfigurationError: the moment lies before or after the whole trace.
        """
        trace = self.trace
        if trace.starts[0] <= moment < trace.end:
            return f"{trace.name} has a gap at {format_moment(moment)}"
        raise ConfigurationError(
            f"the replay is at {format_moment(moment)}, outside the trace {trace.name} ({format_moment(trace.starts[0])}"
            f" to {format_moment(trace.end)}); change grid.replay.virtual_start, its speed or the trace"
        )

    def _reading(self, index: int) -> Reading:
        start = self.trace.starts[index]
        return Reading(
            zone=self.zone.key,
            start=start,
            end=start + self.trace.resolution,
            carbon_intensity_gco2eq_per_kwh=self.trace.values[index],
            source=f"replay:{self.trace.name}",
            kind=IntensityKind.REPLAYED,
            signal_type=self.signal_type,
            emission_factor_type=self.emission_factor_type,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileReplay:
    """Replays the zone's typical hours; they repeat every year, so there is no outside."""

    zone: Zone
    name: str = "replay"
    signal_type: SignalType = SignalType.AVERAGE
    emission_factor_type: EmissionFactorType = EmissionFactorType.LIFECYCLE
    can_recover: bool = False

    def readings(self, start: datetime, end: datetime) -> tuple[Reading, ...]:
        """Return the typical hours that overlap ``[start, end)``."""
        hours = profile_readings(self.zone, start, end)
        return tuple(replace(hour, kind=IntensityKind.REPLAYED, source="replay:profile") for hour in hours)

    def explain_gap(self, moment: datetime) -> str:
        """Return that there is no profile; ``open_replay`` refuses such a zone, so nobody should read this."""
        return f"there is no profile of zone {self.zone.key} for {format_moment(moment)}"


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
    return ProfileReplay(zone=zone)


# The provider ``profile``: no live signal, only the zone's typical hours, and never called anything else than modelled.


@dataclass(frozen=True, slots=True, kw_only=True)
class TypicalHours:
    """The zone's profile; empty for a zone without one, where a job then starts at once."""

    zone: Zone
    name: str = "profile"
    signal_type: SignalType = SignalType.AVERAGE
    emission_factor_type: EmissionFactorType = EmissionFactorType.LIFECYCLE
    can_recover: bool = False

    def readings(self, start: datetime, end: datetime) -> tuple[Reading, ...]:
        """Return the typical hours that overlap ``[start, end)``."""
        return profile_readings(self.zone, start, end)

    def explain_gap(self, moment: datetime) -> str:
        """Return that nothing is known of this zone's hours."""
        del moment
        return f"zone {self.zone.key} has no profile, so nothing is known of its hours"


def open_typical_hours(grid: GridConfig) -> LocalProvider:
    """Return the zone's typical hours."""
    return TypicalHours(zone=find_zone(grid.zone))
