"""The provider ``profile``: no live signal, only the zone's typical hours, and never called anything else than modelled."""

from dataclasses import dataclass
from datetime import datetime

from include.config import GridConfig, Zone, find_zone
from include.records import EmissionFactorType, Reading, SignalType
from include.scheduler.providers.base import LocalProvider
from include.scheduler.signals.profile import profile_readings


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
