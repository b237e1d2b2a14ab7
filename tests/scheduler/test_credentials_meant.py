"""Credentials go to the provider they are for, and to no other."""

import pytest
from lowtide.config.schema import GridConfig
from lowtide.config.zones import find_zone
from lowtide.grid.factory import open_provider, takes_credentials


@pytest.mark.parametrize(
    ("provider", "own_address", "meant"),
    [
        ("neso", False, False),  # a token in the environment may be another provider's
        ("energy_charts", False, False),
        ("neso", True, True),  # a gateway of the user's own before a provider without a key
        ("electricity_maps", False, True),
        ("watttime", False, True),
    ],
)
def test_a_provider_without_a_key_is_sent_none_at_its_public_address(
    provider: str, own_address: bool, meant: bool
) -> None:
    zone = {"watttime": "US-CAL-CISO", "energy_charts": "DE"}.get(provider, "GB")
    grid = GridConfig.model_validate({"zone": zone, "provider": provider})
    opened = open_provider(provider, grid, find_zone(zone))
    assert takes_credentials(grid, opened, own_address=own_address) is meant


def test_auto_never_sends_a_token_to_a_provider_without_a_key() -> None:
    grid = GridConfig.model_validate({"zone": "GB", "provider": "auto"})
    opened = open_provider("neso", grid, find_zone("GB"))
    assert takes_credentials(grid, opened, own_address=True) is False
