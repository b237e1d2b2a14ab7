"""From a configuration to the client of its grid, and to the anchor of a replay.

``auto`` means a provider without a key, else the one whose key is given, else the typical hours.
"""

from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

from lowtide.config.providers import LIVE_PROVIDERS, PROVIDERS
from lowtide.config.schema import GridConfig, ProviderName
from lowtide.config.zones import Zone, find_zone
from lowtide.errors import ConfigurationError, SignalError
from lowtide.grid.backfill import provider_key
from lowtide.grid.client import FileClient, IntensityClient, ProviderClient
from lowtide.grid.history import HistoryStore
from lowtide.grid.http import Credentials, Limits, Transport
from lowtide.grid.outlook import ForecastCombiner, HistoryPredictor, StoredPast
from lowtide.grid.providers.base import HttpProvider
from lowtide.grid.providers.offline import LocalProvider, TraceReplay
from lowtide.records import EmissionFactorType, ReplayAnchor, SignalType
from lowtide.timeutil import as_utc

_EARLIEST_YEAR, _LATEST_YEAR = 1970, 2200
"""A replay elsewhere is a typing error, and a deadline after it would leave the calendar."""


def choose_provider(grid: GridConfig, zone: Zone, access: Credentials) -> ProviderName:
    """Return the configured provider, or what ``auto`` comes to; the registry's order is the order of preference.

    :param access: a provider with a key is chosen only if its kind of key is given.
    :raises ConfigurationError: ``auto`` with a region factor or signal type that no provider of the zone gives.
    """
    if grid.provider != "auto":
        return grid.provider
    refusals = []
    for name in LIVE_PROVIDERS:
        kind: type[HttpProvider] = PROVIDERS[name].load()
        # a login distinguishes a password from a token: the two must not be sent to each other's provider
        has_key = bool(access.token) and bool(access.login) == kind.needs_login
        if kind.base_url is None or (kind.needs_key and not has_key):
            continue
        try:
            open_provider(name, grid, zone)
        except ConfigurationError as error:
            refusals += [error] if kind.zone_name(zone) else []
        else:
            return name
    if all(wanted is None for wanted in (grid.region, grid.emission_factor_type, grid.signal_type)):
        return "profile"
    if refusals:
        raise refusals[0]
    raise ConfigurationError(
        f"grid.provider is 'auto' but no provider of zone {zone.key} can be used as wanted, so grid.region,"
        " grid.emission_factor_type and grid.signal_type mean nothing; leave them null, or give a key"
    )


def open_provider(name: ProviderName, grid: GridConfig, zone: Zone) -> HttpProvider:
    """Return a live provider in the way that a configuration wants it.

    :raises ConfigurationError: a zone, region, factor or signal type that it cannot give.
    """
    factors, signal = grid.emission_factor_type, grid.signal_type
    provider: HttpProvider = PROVIDERS[name].load()(
        region=grid.region,
        factor_type=EmissionFactorType(factors) if factors else None,
        signal_type=SignalType(signal) if signal else None,
    )
    provider.check(zone)
    return provider


def open_signal(
    grid: GridConfig,
    *,
    anchor: ReplayAnchor | None = None,
    access: Credentials | None = None,
    artifacts: Path | None = None,
    limits: Limits | None = None,
) -> IntensityClient:
    """Return the client of the grid that a configuration names; no request is sent yet.

    :param anchor: under replay, checked here, so that a start outside the trace is reported before anything waits on it.
    :param access: a connection's address and credentials.
    :param artifacts: the artifact root, where the history of this signal lies; None to do without one.
    :param limits: bounds of a request, instead of those for a caller who may block.
    :raises ConfigurationError: an unusable address, zone, region or replay, or credentials that are missing.
    :raises ArtifactError: a trace that cannot be used.
    """
    access = access or Credentials()
    zone = find_zone(grid.zone)
    name = choose_provider(grid, zone, access)
    if name in LIVE_PROVIDERS:
        provider = open_provider(name, grid, zone)
        # a provider that asks for no key is never sent another's, unless the user named it and an address, of a gateway say
        if not provider.needs_key and (access.base_url is None or grid.provider == "auto"):
            access = replace(access, login=None, token=None)
        client = ProviderClient(provider=provider, transport=_transport(provider, access, limits), zone=zone)
        store = None if artifacts is None else HistoryStore(artifacts, provider_key(provider, zone, grid.connection))
        return IntensityClient(zone, client, combiner=None if store is None else _from_store(store))
    local = FileClient(provider=PROVIDERS[name].load()(grid))
    if name == "replay" and anchor is not None:
        with suppress(SignalError):  # a gap in the trace: the outlook reports it and falls back
            local.current(anchor.virtual_start)
    return IntensityClient(zone, local, combiner=_from_trace(local.provider, zone))


def _transport(provider: HttpProvider, access: Credentials, limits: Limits | None) -> Transport:
    address = access.base_url or provider.base_url
    if address is None:
        raise ConfigurationError(
            f"{provider.name} has no public address; name a connection with yours in grid.connection,"
            " or set LOWTIDE_GRID_URL"
        )
    return provider.transport(address, access, token_header=provider.token_header, limits=limits)


def _from_store(store: HistoryStore) -> ForecastCombiner:
    from lowtide.grid.forecast.uncertainty import stored_forecast_errors  # numpy: not for DAG parsing

    return ForecastCombiner(HistoryPredictor(StoredPast(store).readings, store.timezone), stored_forecast_errors(store))


def _from_trace(provider: LocalProvider, zone: Zone) -> ForecastCombiner | None:
    """Return the forecast under a replay: from the trace's own past, as a history would; a profile has none."""
    if not isinstance(provider, TraceReplay):
        return None
    whole = cache(provider.whole)  # tens of megabytes for a year: not before a policy asks
    return ForecastCombiner(HistoryPredictor(lambda now: whole(), zone.timezone))  # noqa: ARG005 the forecaster uses what has ended


def replay_anchor(grid: GridConfig, real_now: datetime) -> ReplayAnchor | None:
    """Return the anchor of a replay that begins now; None where the provider is no replay.

    ``virtual_start`` without an offset is the zone's local time; the first of two when the clocks go back.

    :raises ConfigurationError: ``virtual_start`` is not a time.
    """
    if grid.provider != "replay" or grid.replay is None:
        return None
    start = _virtual_start(grid.replay.virtual_start, find_zone(grid.zone).timezone)
    return ReplayAnchor(real_start=as_utc(real_now), virtual_start=start, speed=grid.replay.speed)


def _virtual_start(text: str, timezone: ZoneInfo) -> datetime:
    refusal = f"grid.replay.virtual_start is {text!r}, which is not a time; write e.g. '2025-04-15T05:00'"
    try:
        start = datetime.fromisoformat(text)
        start = as_utc(start if start.tzinfo else start.replace(tzinfo=timezone))
    except (ValueError, OverflowError):
        raise ConfigurationError(refusal) from None
    if not _EARLIEST_YEAR <= start.year <= _LATEST_YEAR:
        raise ConfigurationError(f"{refusal}; the year is between {_EARLIEST_YEAR} and {_LATEST_YEAR}")
    return start
