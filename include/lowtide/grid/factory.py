"""From a configuration to the client of its grid, and to the anchor of a replay.

``auto`` means a provider without a key, else the one whose key is given, else the typical hours.
"""

from contextlib import suppress
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
from lowtide.grid.history import HistoryStore, open_history
from lowtide.grid.http import Credentials, Limits, Session, Transport
from lowtide.grid.outlook import ForecastCombiner, HistoryPredictor, StoredPast
from lowtide.grid.providers.base import HttpProvider
from lowtide.grid.providers.offline import LocalProvider, TraceReplay
from lowtide.records import EmissionFactorType, ReplayAnchor, SignalType
from lowtide.timeutil import as_utc

_EARLIEST_YEAR, _LATEST_YEAR = 1970, 2200
"""A replay elsewhere is a typing error, and a deadline after it would leave the calendar."""


def choose_provider(grid: GridConfig, zone: Zone, *, has_token: bool, has_login: bool) -> ProviderName:
    """Return the configured provider, or what ``auto`` comes to; the registry's order is the order of preference.

    :raises ConfigurationError: ``auto`` with a region factor or signal type that no provider of the zone gives.
    """
    if grid.provider != "auto":
        return grid.provider
    kinds: dict[ProviderName, type[HttpProvider]] = {name: PROVIDERS[name].load() for name in LIVE_PROVIDERS}
    refusals = []
    for name, kind in kinds.items():
        # a login distinguishes a password from a token: the two must not be sent to each other's provider
        has_credentials = has_token and has_login == kind.needs_login
        if kind.base_url is None or (_asks_for_credentials(kind) and not has_credentials):
            continue
        try:
            open_provider(name, grid, zone)
        except ConfigurationError as error:
            refusals += [error] if kind.covers(zone) else []
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


def takes_credentials(grid: GridConfig, provider: HttpProvider, *, own_address: bool) -> bool:
    """Return whether credentials are meant for a provider: one that asks for none is never sent another's.

    :param own_address: the user named provider and address, e.g. a gateway that wants a token before a keyless provider.
    """
    return _asks_for_credentials(type(provider)) or (own_address and grid.provider != "auto")


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


def _asks_for_credentials(kind: type[HttpProvider]) -> bool:
    return kind.needs_key or kind.needs_login


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
    name = choose_provider(grid, zone, has_token=bool(access.token), has_login=bool(access.login))
    if name in LIVE_PROVIDERS:
        provider = open_provider(name, grid, zone)
        own_address = access.base_url is not None
        meant = takes_credentials(grid, provider, own_address=own_address)
        session = _session(provider, access if meant else access.anonymous(), limits)
        store = None if artifacts is None else open_history(artifacts, provider_key(provider, zone, grid.connection))
        client = ProviderClient(provider=provider, session=session, zone=zone)
        return IntensityClient(zone, client, combiner=None if store is None else _from_store(store))
    local = FileClient(provider=PROVIDERS[name].load()(grid))
    if name == "replay" and anchor is not None:
        with suppress(SignalError):  # a gap in the trace: the outlook reports it and falls back
            local.current(anchor.virtual_start)
    return IntensityClient(zone, local, combiner=_from_trace(local.provider, zone))


def _session(provider: HttpProvider, access: Credentials, limits: Limits | None) -> Session:
    address = access.base_url or provider.base_url
    if address is None:
        raise ConfigurationError(
            f"{provider.name} has no public address; name a connection with yours in grid.connection,"
            " or set LOWTIDE_GRID_URL"
        )
    transport = Transport(
        address,
        token=None if provider.needs_login else access.token,
        token_header=provider.token_header,
        limits=limits,
        credentials_place=access.place,
    )
    return provider.session(transport, access)


def _from_store(store: HistoryStore) -> ForecastCombiner:
    from lowtide.grid.forecast.uncertainty import StoredForecasts  # numpy: not for DAG parsing

    return ForecastCombiner(
        HistoryPredictor(StoredPast(store).readings, store.timezone), StoredForecasts(store).past_errors
    )


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
