"""The table of grid zones: key, time zone, country. Keys are those of Electricity Maps."""

import difflib
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo

from include.errors import ConfigurationError

_TABLE = Path(__file__).with_name("zones.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """A grid zone; ``country_mean_gco2eq_per_kwh`` is a yearly lifecycle mean, blind to the hour."""

    key: str
    name: str
    timezone: ZoneInfo
    country: str
    country_mean_gco2eq_per_kwh: float


@lru_cache(maxsize=1)
def zone_table() -> dict[str, Zone]:
    """Return all zones by key."""
    rows = json.loads(_TABLE.read_text(encoding="utf-8"))["zones"]
    return {key: Zone(key=key, **row | {"timezone": ZoneInfo(row["timezone"])}) for key, row in rows.items()}


def find_zone(key: str) -> Zone:
    """Return the zone of a key.

    :raises ConfigurationError: no such key; the message offers near matches.
    """
    table = zone_table()
    if key in table:
        return table[key]
    near = difflib.get_close_matches(key.upper(), table, n=3, cutoff=0.5)
    near = near or [zone for zone in table if zone.startswith(key.upper()[:2])]
    offer = f"did you mean {', '.join(near)}?" if near else f"known zones: {', '.join(sorted(table))}."
    raise ConfigurationError(f"zone {key!r} is not in the zone table; {offer}")
