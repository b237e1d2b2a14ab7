"""Replays a grid: a trace file, or without one the zone's typical hours from its profile."""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from include.config import PROJECT_ROOT, GridConfig, Zone, find_zone
from include.errors import ConfigurationError
from include.moments import format_moment
from include.records import EmissionFactorType, IntensityKind, Reading, SignalType
from include.scheduler.providers.base import LocalProvider
from include.scheduler.signals.profile import profile_readings, profiles
from include.scheduler.signals.trace import Trace, read_trace


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
