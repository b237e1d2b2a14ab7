"""``lowtide intensity``: what the grid emits per kWh now, and how anyone knows."""

import argparse
from typing import get_args

from pydantic import ValidationError

from include.cli.access import open_from_environment
from include.cli.printing import print_json
from include.config import GridConfig, find_zone
from include.config.models import PROVIDER_ZONES, ProviderName
from include.errors import ConfigurationError, ProviderUnavailable
from include.moments import format_moment, utc_now
from include.records import Reading

NAME = "intensity"
HELP = "show a zone's carbon intensity now, with its origin"
EXAMPLES = """examples:
  lowtide intensity --zone GB
  lowtide intensity --zone DE --json

environment: LOWTIDE_GRID_URL and LOWTIDE_GRID_TOKEN (another address or a token for the provider)
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    live = [name for name in get_args(ProviderName) if name != "replay"]
    parser.add_argument("--zone", required=True, help="zone key, e.g. GB, DE, US-CAL-CISO")
    parser.add_argument("--provider", choices=live, help="default: the first one that covers the zone without a key")


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    zone = find_zone(options.zone)
    provider = options.provider or _provider_for(zone.key)
    try:
        grid = GridConfig.model_validate({"zone": zone.key, "provider": provider})
    except ValidationError as error:
        raise ConfigurationError(f"--provider {provider}: {error.errors()[0]['ctx']['error']}") from None
    now = utc_now()
    signal, _ = open_from_environment(grid, now)
    outlook = signal.outlook(now)
    reading = outlook.reading
    if reading is None:
        raise ProviderUnavailable(f"no intensity for zone {zone.key}: {'; '.join(outlook.steps)}")
    if options.json:
        print_json({"asked_at": format_moment(now), "reading": reading.as_json(), "steps": list(outlook.steps)})
    else:
        _print(reading, outlook.steps)
    return 0


def _provider_for(zone: str) -> ProviderName:
    covering = [name for name, zones in PROVIDER_ZONES.items() if zone in zones]
    return covering[0] if covering else "profile"


def _print(reading: Reading, steps: tuple[str, ...]) -> None:
    print(f"{reading.zone}: {reading.carbon_intensity_gco2eq_per_kwh:.0f} gCO2eq/kWh, {reading.kind.value}")
    print(f"  {format_moment(reading.start)} to {format_moment(reading.end)}")
    print(
        f"  source {reading.source}; {reading.signal_type.value} signal, {reading.emission_factor_type.value} emission factors"
    )
    for step in steps:
        print(f"  {step}")
