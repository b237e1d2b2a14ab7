"""The table of grid zones: key, time zone, country, the names that providers give them. Keys are those of Electricity Maps."""

import difflib
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from lowtide.errors import ConfigurationError

_TABLE = Path(__file__).with_name("cloud_regions.json")
PROVIDERS = ("aws", "azure", "gcp")


@lru_cache(maxsize=1)
def _table() -> dict[str, Any]:
    data: dict[str, Any] = json.loads(_TABLE.read_text(encoding="utf-8"))
    return data


def is_cloud_region(key: str) -> bool:
    """Return whether a zone is written as a cloud region, known or not."""
    return key.partition(":")[0].casefold() in PROVIDERS and ":" in key


def zone_of_cloud_region(key: str) -> str:
    """Return the zone key of a cloud region.

    :raises ConfigurationError: an unknown region, with near matches; or one whose grid is not certain, with candidates.
    """
    key = key.strip().casefold()
    zone: str | None = _table()["regions"].get(key)
    if zone is not None:
        return zone
    candidates = _table()["uncertain"].get(key)
    if candidates:
        raise ConfigurationError(
            f"cloud region {key!r} lies at a border of grids, so its zone is not certain; write the zone yourself,"
            f" likely {' or '.join(candidates)}"
        )
    near = difflib.get_close_matches(key, [*_table()["regions"], *_table()["uncertain"]], n=3, cutoff=0.6)
    offer = f"did you mean {', '.join(near)}?" if near else "write the zone's key instead, e.g. DE"
    raise ConfigurationError(f"cloud region {key[:80]!r} is not in the table of cloud regions; {offer}")


_ZONES_TABLE = Path(__file__).with_name("zones.json")
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
    rows = json.loads(_ZONES_TABLE.read_text(encoding="utf-8"))["zones"]
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
    given = key.strip().casefold()
    exact = [z.key for z in table.values() if given in (z.key.casefold(), z.name.casefold(), z.country.casefold())]
    if exact or not given:
        return exact[:_OFFERED]
    by_name = {zone.name.casefold(): zone.key for zone in table.values()}
    named = [by_name[name] for name in difflib.get_close_matches(given, by_name, n=2, cutoff=0.75)]
    begun = [zone for zone in table if zone.casefold().startswith(given) or given in zone.casefold().split("-")]
    spelt = difflib.get_close_matches(key.upper(), table, n=3, cutoff=0.65)
    return list(dict.fromkeys([*named, *begun, *spelt]))[:_OFFERED]
