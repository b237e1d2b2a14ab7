"""Login and password exchanged for a token that ages: WattTime's way. The token lives in this process only."""

import threading
import time
from collections.abc import Callable
from typing import Protocol

from include.errors import ConfigurationError, ProviderUnavailable
from include.scheduler.network.access import Access
from include.scheduler.network.transport import Transport, basic_headers, token_headers
from include.scheduler.providers.base import HttpProvider, Request

_UNAUTHORIZED = 401
_RENEWED_AT = 0.8
"""Share of a token's lifetime after which a new one is fetched: clocks differ, and a request takes a while."""


class Line(Protocol):
    """A way to ask a provider; a transport is one."""

    def get(self, request: Request) -> bytes:
        """Return the body of an answer.

        :raises ProviderUnavailable: no such answer.
        """
        ...


class LoginLine:
    """Logs in when it has no token, when the token is old, and when it is refused. Thread-safe.

    :raises ConfigurationError: no login or no password was given.
    """

    def __init__(
        self,
        provider: HttpProvider,
        transport: Transport,
        access: Access,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        if not access.login or not access.token:
            raise ConfigurationError(
                f"{provider.name} needs a login and a password; name a connection that has both in grid.connection,"
                " or set LOWTIDE_GRID_LOGIN and LOWTIDE_GRID_TOKEN"
            )
        self._provider = provider
        self._transport = transport
        self._basic = basic_headers(access.login, access.token)
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._token: str | None = None
        self._fetched_s = 0.0

    def get(self, request: Request) -> bytes:
        """Return the body of an answer; a refused token is renewed once.

        :raises ProviderUnavailable: no answer, or login and password are refused.
        """
        token = self._current()
        try:
            return self._send(request, token)
        except ProviderUnavailable as error:
            if error.status != _UNAUTHORIZED:
                raise
        return self._send(request, self._current(refused=token))

    def _send(self, request: Request, token: str) -> bytes:
        return self._transport.get(request, token_headers(token, self._provider.token_header))

    def _current(self, refused: str | None = None) -> str:
        with self._lock:  # many threads with an old token: one logs in, the others take what it got
            lifetime = self._provider.token_lifetime
            old = lifetime is not None and self._monotonic() - self._fetched_s >= lifetime.total_seconds() * _RENEWED_AT
            if self._token is None or old or self._token == refused:
                self._token = None
                self._token = self._log_in()
                self._fetched_s = self._monotonic()
            return self._token

    def _log_in(self) -> str:
        request = self._provider.login_request()
        if request is None:
            raise ConfigurationError(f"{self._provider.name} declares a login but has no request for it")
        return self._provider.parse_login(self._transport.get(request, self._basic))
