"""The providers by their name in the configuration. A new one is a file, a line in ``registry`` and a name in ProviderName."""

from collections.abc import Callable

from include.config import GridConfig
from include.config.grid import ProviderName
from include.scheduler.providers.base import HttpProvider, LocalProvider, Provider, Request
from include.scheduler.providers.registry import HTTP_PROVIDERS
from include.scheduler.providers.replay import open_replay
from include.scheduler.providers.typical import open_typical_hours

LOCAL_PROVIDERS: dict[ProviderName, Callable[[GridConfig], LocalProvider]] = {
    "replay": open_replay,
    "profile": open_typical_hours,
}

__all__ = [
    "HTTP_PROVIDERS",
    "LOCAL_PROVIDERS",
    "HttpProvider",
    "LocalProvider",
    "Provider",
    "Request",
]
