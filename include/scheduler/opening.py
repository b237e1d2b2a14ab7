"""From a configuration to a signal in working order, and to the anchor of a replay."""

from contextlib import suppress
from datetime import datetime
from zoneinfo import ZoneInfo

from include.config import GridConfig, find_zone
from include.errors import ConfigurationError, SignalError
from include.moments import as_utc
from include.records import ReplayAnchor
from include.scheduler.feeds import Feed, LiveFeed, LocalFeed
from include.scheduler.providers import HTTP_PROVIDERS, LOCAL_PROVIDERS
from include.scheduler.signal import GridSignal
from include.scheduler.transport import Transport

_EARLIEST_YEAR, _LATEST_YEAR = 1970, 2200
"""A replay elsewhere is a slip of the pen, and a deadline after it would leave the calendar."""


def open_signal(
    grid: GridConfig, *, anchor: ReplayAnchor | None = None, base_url: str | None = None, token: str | None = None
) -> GridSignal:
    """Return the signal that a configuration asks for; nothing is asked of a network yet.

    :param anchor: under replay, checked here, so that a start outside the trace is told before anything waits on it.
    :param base_url: a connection's address instead of the provider's public one.
    :raises ConfigurationError: an unusable address or replay.
    :raises ArtifactError: a trace that cannot be used.
    """
    zone = find_zone(grid.zone)
    is_replay = grid.provider == "replay"
    feed: Feed
    if grid.provider in HTTP_PROVIDERS:
        provider = HTTP_PROVIDERS[grid.provider]()
        transport = Transport(base_url or provider.base_url, token=token, token_header=provider.token_header)
        feed = LiveFeed(provider=provider, transport=transport, zone=zone)
    else:
        feed = LocalFeed(provider=LOCAL_PROVIDERS[grid.provider](grid))
    if is_replay and anchor is not None:
        _check_start(feed, anchor.virtual_start)
    return GridSignal(zone, feed, is_replay=is_replay)


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
