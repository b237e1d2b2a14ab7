"""The table of grid zones: key, time zone, country, the names that providers give them. Keys are those of Electricity Maps."""

import difflib
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo

from include.config.cloud_regions import is_cloud_region, zone_of_cloud_region
from include.errors import ConfigurationError

_TABLE = Path(__file__).with_name("zones.json")
_OFFERED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """A grid zone.

    ``country`` is ISO 3166-1 alpha-3. ``country_mean_gco2eq_per_kwh`` is a yearly lifecycle mean, blind to the hour and,
    for a part of a country, to the part. The last three are the zone's names at providers that have names of their own;
    None where no source that was read says that the provider covers it.
    """

    key: str
    name: str
    timezone: ZoneInfo
    country: str
    country_mean_gco2eq_per_kwh: float
    neso: str | None = None
    energy_charts: str | None = None
    watttime: str | None = None


@lru_cache(maxsize=1)
def zone_table() -> dict[str, Zone]:
    """Return all zones by key."""
    rows = json.loads(_TABLE.read_text(encoding="utf-8"))["zones"]
    return {key: Zone(key=key, **row | {"timezone": ZoneInfo(row["timezone"])}) for key, row in rows.items()}


def find_zone(key: str) -> Zone:
    """Return the zone of a key, or of a cloud region such as ``aws:eu-west-1``.

    :raises ConfigurationError: no such key; the message offers near matches.
    """
    table = zone_table()
    if is_cloud_region(key):
        return table[zone_of_cloud_region(key)]
    if key in table:
        return table[key]
    near = _near(key, table)
    offer = (
        f"did you mean {', '.join(near)}?"
        if near
        else f"write a zone key of Electricity Maps such as DE, GB or US-CAL-CISO ({len(table)} are known), or a cloud"
        " region such as aws:eu-west-1."
    )
    raise ConfigurationError(f"zone {key[:80]!r} is not in the zone table; {offer}")


def _near(key: str, table: dict[str, Zone]) -> list[str]:
    """Return keys that a user may have meant: by name or ISO code, then by how they begin, then by spelling."""
    told = key.strip().casefold()
    exact = [z.key for z in table.values() if told in (z.key.casefold(), z.name.casefold(), z.country.casefold())]
    if exact or not told:
        return exact[:_OFFERED]
    by_name = {zone.name.casefold(): zone.key for zone in table.values()}
    named = [by_name[name] for name in difflib.get_close_matches(told, by_name, n=2, cutoff=0.75)]
    begun = [zone for zone in table if zone.casefold().startswith(told) or told in zone.casefold().split("-")]
    spelt = difflib.get_close_matches(key.upper(), table, n=3, cutoff=0.65)
    return list(dict.fromkeys([*named, *begun, *spelt]))[:_OFFERED]
