"""Cloud regions such as ``aws:eu-west-1`` -> zone keys. What is not certain is not in the table but told as such."""

import difflib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from include.errors import ConfigurationError

_TABLE = Path(__file__).with_name("cloud_regions.json")
PROVIDERS = ("aws", "azure", "gcp")


@lru_cache(maxsize=1)
def _table() -> dict[str, Any]:
    data: dict[str, Any] = json.loads(_TABLE.read_text(encoding="utf-8"))
    return data


def cloud_regions() -> dict[str, str]:
    """Return zone keys by cloud region, e.g. ``{"gcp:europe-west1": "BE"}``."""
    return dict(_table()["regions"])


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
