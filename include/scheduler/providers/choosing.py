"""Which provider a configuration means, and the provider itself with what the configuration wants of it."""

from include.config import GridConfig, Zone
from include.config.models import ProviderName
from include.errors import ConfigurationError
from include.records import EmissionFactorType, SignalType
from include.scheduler.providers.base import HttpProvider
from include.scheduler.providers.carbon_aware_sdk import CarbonAwareSdkProvider
from include.scheduler.providers.electricity_maps import ElectricityMapsProvider
from include.scheduler.providers.energy_charts import EnergyChartsProvider
from include.scheduler.providers.neso import NesoProvider
from include.scheduler.providers.watttime import WattTimeProvider

HTTP_PROVIDERS: dict[ProviderName, type[HttpProvider]] = {
    "neso": NesoProvider,
    "energy_charts": EnergyChartsProvider,
    "electricity_maps": ElectricityMapsProvider,
    "watttime": WattTimeProvider,
    "carbon_aware_sdk": CarbonAwareSdkProvider,
}
"""In the order in which ``auto`` prefers them; those without a public address are never chosen by it."""


def http_provider(name: ProviderName, grid: GridConfig, zone: Zone) -> HttpProvider:
    """Return a live provider, set up as the configuration wants it.

    :raises ConfigurationError: it does not cover the zone, or cannot give the region, factor or signal type.
    """
    factors, signal = grid.emission_factor_type, grid.signal_type
    provider = HTTP_PROVIDERS[name](
        region=grid.region,
        factor_type=EmissionFactorType(factors) if factors else None,
        signal_type=SignalType(signal) if signal else None,
    )
    provider.check(zone)
    return provider


def choose_provider(grid: GridConfig, zone: Zone, *, has_token: bool = False, has_login: bool = False) -> ProviderName:
    """Return the configured provider; for ``auto`` the first that can be asked, else ``profile``.

    Without a key first, in the order of the registry; then the one whose credentials are given: login and password are
    WattTime's way, a token alone Electricity Maps'. A provider that cannot give the configured region, factor or signal
    type is passed over.
    """
    if grid.provider != "auto":
        return grid.provider
    usable = (name for name in HTTP_PROVIDERS if _is_usable(name, has_token=has_token, has_login=has_login))
    return next((name for name in usable if _can_give(name, grid, zone)), "profile")


def takes_credentials(grid: GridConfig, provider: HttpProvider) -> bool:
    """Return whether credentials are meant for a provider: what ``auto`` finds without a key is not sent another's."""
    return provider.needs_key or grid.provider != "auto"


def _is_usable(name: ProviderName, *, has_token: bool, has_login: bool) -> bool:
    kind = HTTP_PROVIDERS[name]
    if kind.base_url is None:
        return False
    if not kind.needs_key:
        return True
    return has_token and has_login == kind.needs_login


def _can_give(name: ProviderName, grid: GridConfig, zone: Zone) -> bool:
    try:
        http_provider(name, grid, zone)
    except ConfigurationError:
        return False
    return True
