"""``lowtide intensity``: a zone's carbon intensity now, with its origin."""

import argparse
from typing import get_args

from lowtide.cli.options import open_from_environment, print_json
from lowtide.config.schema import FactorTypeName, GridConfig, ProviderName, SignalTypeName
from lowtide.config.zones import find_zone
from lowtide.errors import ProviderUnavailable
from lowtide.grid.outlook import READING
from lowtide.timeutil import format_time, utc_now

EXAMPLES = """examples:
  lowtide intensity --zone GB
  lowtide intensity --zone GB --region 13
  lowtide intensity --zone aws:eu-west-1 --json
  LOWTIDE_GRID_TOKEN=... lowtide intensity --zone US-CAL-CISO --provider electricity_maps

environment: LOWTIDE_GRID_URL (another address), LOWTIDE_GRID_TOKEN (the provider's token, or the password of a login),
             LOWTIDE_GRID_LOGIN (for watttime)
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add = parser.add_argument
    add("--zone", required=True, help="zone key, e.g. GB, US-CAL-CISO, or cloud region, e.g. aws:eu-west-1")
    live = [name for name in get_args(ProviderName) if name != "replay"]
    default = "default: one without a key, else the one whose key is given"
    add("--provider", choices=live, default="auto", help=default)
    add("--region", help="part of the zone as the provider names it, e.g. 13 or SW1 for neso")
    add("--signal-type", choices=get_args(SignalTypeName), help="where the provider does not say")
    add("--emission-factor-type", choices=get_args(FactorTypeName), help="where the provider has both")


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    zone = find_zone(options.zone)
    wanted = {name: getattr(options, name) for name in ("provider", "region", "signal_type", "emission_factor_type")}
    grid = GridConfig.model_validate({"zone": zone.key, **wanted})
    now = utc_now()
    signal, _ = open_from_environment(grid, now)
    outlook = signal.outlook(now, READING)
    reading = outlook.reading
    if reading is None:
        raise ProviderUnavailable(f"no intensity for zone {zone.key}: {'; '.join(outlook.steps)}")
    if options.json:
        print_json({"asked_at": format_time(now), "reading": reading.as_json(), "steps": list(outlook.steps)})
        return
    print(f"{reading.zone}: {reading.carbon_intensity_gco2eq_per_kwh:.0f} gCO2eq/kWh, {reading.kind.value}")
    print(f"  {format_time(reading.start)} to {format_time(reading.end)}")
    signal_type, factors = reading.signal_type.value, reading.emission_factor_type.value
    print(f"  source {reading.source}; {signal_type} signal, {factors} emission factors")
    for step in outlook.steps:
        print(f"  {step}")
