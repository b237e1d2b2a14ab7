"""Which provider ``auto`` means for a zone: one without a key, else the one whose key is given, else the typical hours."""

from include.config import GridConfig, Zone
from include.config.grid import ProviderName
from include.errors import ConfigurationError
from include.records import EmissionFactorType, SignalType
from include.scheduler.providers import HTTP_PROVIDERS, HttpProvider


def choose_provider(grid: GridConfig, zone: Zone, *, has_token: bool, has_login: bool) -> ProviderName:
    """Return the configured provider, or what ``auto`` comes to; the registry's order is the order of preference.

    :raises ConfigurationError: ``auto`` with a region factor or signal type that no provider of the zone gives.
    """
    if grid.provider != "auto":
        return grid.provider
    public = [name for name, kind in HTTP_PROVIDERS.items() if kind.base_url is not None]
    without_key = [name for name in public if not _asks_for_credentials(HTTP_PROVIDERS[name])]
    with_key = [name for name in public if _has_credentials(HTTP_PROVIDERS[name], has_token, has_login)]
    candidates = [*without_key, *with_key]
    fitting = [name for name in candidates if _fits(HTTP_PROVIDERS[name], grid, zone)]
    if fitting:
        return fitting[0]
    if any(wanted is not None for wanted in (grid.region, grid.emission_factor_type, grid.signal_type)):
        _refuse([name for name in candidates if HTTP_PROVIDERS[name].covers(zone)], grid, zone)
    return "profile"


def takes_credentials(grid: GridConfig, provider: HttpProvider, *, own_address: bool) -> bool:
    """Return whether credentials are meant for a provider: one that asks for none is never sent another's.

    :param own_address: the user named provider and address, e.g. a gateway that wants a token before a keyless provider.
    """
    return _asks_for_credentials(type(provider)) or (own_address and grid.provider != "auto")


def open_provider(kind: type[HttpProvider], grid: GridConfig, zone: Zone) -> HttpProvider:
    """Return a provider in the way that a configuration wants it.

    :raises ConfigurationError: a zone, region, factor or signal type that it cannot give.
    """
    factors, signal = grid.emission_factor_type, grid.signal_type
    provider = kind(
        region=grid.region,
        factor_type=EmissionFactorType(factors) if factors else None,
        signal_type=SignalType(signal) if signal else None,
    )
    provider.check(zone)
    return provider


def _asks_for_credentials(kind: type[HttpProvider]) -> bool:
    return kind.needs_key or kind.needs_login


def _has_credentials(kind: type[HttpProvider], has_token: bool, has_login: bool) -> bool:
    # a login tells a password from a token: the two must not be sent to each other's provider
    return _asks_for_credentials(kind) and has_token and has_login == kind.needs_login


def _fits(kind: type[HttpProvider], grid: GridConfig, zone: Zone) -> bool:
    try:
        open_provider(kind, grid, zone)
    except ConfigurationError:
        return False
    return True


def _refuse(candidates: list[ProviderName], grid: GridConfig, zone: Zone) -> None:
    for name in candidates:
        open_provider(HTTP_PROVIDERS[name], grid, zone)  # raises, with the reason
    raise ConfigurationError(
        f"grid.provider is 'auto' but no provider of zone {zone.key} can be used as wanted, so grid.region,"
        " grid.emission_factor_type and grid.signal_type mean nothing; leave them null, or give a key"
    )
