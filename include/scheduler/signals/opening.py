"""From a configuration to a signal in working order, and to the anchor of a replay."""

from contextlib import suppress
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from include.config import GridConfig, Zone, find_zone
from include.errors import ConfigurationError, SignalError
from include.moments import as_utc
from include.records import ReplayAnchor
from include.scheduler.history import HistoryStore, open_history, provider_key
from include.scheduler.network.access import Access
from include.scheduler.network.login import Line, LoginLine
from include.scheduler.network.transport import Limits, Transport
from include.scheduler.outlooks.foresight import Foresight, StoredPast, TracedPast
from include.scheduler.outlooks.foretelling import Foreteller
from include.scheduler.outlooks.stored_forecasts import StoredForecasts
from include.scheduler.providers import HTTP_PROVIDERS, LOCAL_PROVIDERS, HttpProvider, LocalProvider
from include.scheduler.providers.replay import TraceReplay
from include.scheduler.signals.choosing import choose_provider, open_provider, takes_credentials
from include.scheduler.signals.feeds import Feed, LiveFeed, LocalFeed
from include.scheduler.signals.signal import GridSignal

_EARLIEST_YEAR, _LATEST_YEAR = 1970, 2200
"""A replay elsewhere is a slip of the pen, and a deadline after it would leave the calendar."""


def open_signal(
    grid: GridConfig,
    *,
    anchor: ReplayAnchor | None = None,
    access: Access | None = None,
    artifacts: Path | None = None,
    limits: Limits | None = None,
    base_url: str | None = None,
    token: str | None = None,
) -> GridSignal:
    """Return the signal that a configuration asks for; nothing is asked of a network yet.

    :param anchor: under replay, checked here, so that a start outside the trace is told before anything waits on it.
    :param access: a connection's address and credentials; ``base_url`` and ``token`` are short for one.
    :param artifacts: the artifact root, where the history of this signal lies; None to do without one.
    :param limits: bounds of a request, instead of those for a caller who may block.
    :raises ConfigurationError: an unusable address, zone, region or replay, or credentials that are missing.
    :raises ArtifactError: a trace that cannot be used.
    """
    access = access or Access(base_url=base_url, token=token)
    zone = find_zone(grid.zone)
    name = choose_provider(grid, zone, has_token=bool(access.token), has_login=bool(access.login))
    if name in HTTP_PROVIDERS:
        provider = open_provider(HTTP_PROVIDERS[name], grid, zone)
        own_address = access.base_url is not None
        meant = takes_credentials(grid, provider, own_address=own_address)
        line = _line(provider, access if meant else access.anonymous(), limits)
        store = None if artifacts is None else open_history(artifacts, provider_key(provider, zone, grid.connection))
        feed = LiveFeed(provider=provider, transport=line, zone=zone)
        return GridSignal(zone, feed, history=store, foreteller=None if store is None else _from_store(store))
    local = LocalFeed(provider=LOCAL_PROVIDERS[name](grid))
    if name == "replay" and anchor is not None:
        _check_start(local, anchor.virtual_start)
    return GridSignal(zone, local, is_replay=name == "replay", foreteller=_from_trace(local.provider, zone))


def _line(provider: HttpProvider, access: Access, limits: Limits | None) -> Line:
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
    return LoginLine(provider, transport, access) if provider.needs_login else transport


def _from_store(store: HistoryStore) -> Foreteller:
    return Foreteller(Foresight(StoredPast(store), store.timezone), StoredForecasts(store))


def _from_trace(provider: LocalProvider, zone: Zone) -> Foreteller | None:
    """Return what is foretold under a replay: by the trace's own past, as a history would; a profile has none."""
    if not isinstance(provider, TraceReplay):
        return None
    return Foreteller(Foresight(TracedPast(provider.whole), zone.timezone))


def _check_start(feed: Feed, start: datetime) -> None:
    with suppress(SignalError):  # a gap in the trace: the outlook tells of it and falls back
        feed.current(start)


def replay_anchor(grid: GridConfig, real_now: datetime) -> ReplayAnchor | None:
    """Return the anchor of a replay that begins now; None where the provider is no replay.

    ``virtual_start`` without an offset is the zone's local time; the first of two when the clocks go back.

    :raises ConfigurationError: ``virtual_start`` is no moment.
    """
    if grid.provider != "replay" or grid.replay is None:
        return None
    start = _virtual_start(grid.replay.virtual_start, find_zone(grid.zone).timezone)
    return ReplayAnchor(real_start=as_utc(real_now), virtual_start=start, speed=grid.replay.speed)


def _virtual_start(text: str, timezone: ZoneInfo) -> datetime:
    refusal = f"grid.replay.virtual_start is {text!r}, which is not a moment; write e.g. '2025-04-15T05:00'"
    try:
        start = datetime.fromisoformat(text)
        start = as_utc(start if start.tzinfo else start.replace(tzinfo=timezone))
    except (ValueError, OverflowError):
        raise ConfigurationError(refusal) from None
    if not _EARLIEST_YEAR <= start.year <= _LATEST_YEAR:
        raise ConfigurationError(f"{refusal}; the year is between {_EARLIEST_YEAR} and {_LATEST_YEAR}")
    return start
