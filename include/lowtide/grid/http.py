"""The one way to the network: a blocking, bounded GET. Every failure is one sentence, never a token or a query.

``requests`` is imported by the first GET and not with this file: Airflow imports it whenever it parses a DAG.
"""

import base64
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol, TypedDict, Unpack
from urllib.parse import SplitResult, urlsplit

from lowtide.errors import ConfigurationError, ProviderUnavailable
from lowtide.grid.providers.base import HttpProvider, Request

# Where a provider is asked and with what: the part of a connection that is never written down anywhere.


NO_CREDENTIALS = "none was given: name a connection in grid.connection, or set LOWTIDE_GRID_TOKEN"


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Base address, login and token (or password) of a provider; all None for its public address.

    Never serialized and never logged: it holds a secret. ``place`` says where a person mends it.
    """

    base_url: str | None = None
    login: str | None = None
    token: str | None = None
    place: str = NO_CREDENTIALS

    def __repr__(self) -> str:
        shown = {name: "***" if getattr(self, name) else None for name in ("login", "token")}
        address = (self.base_url or "").rpartition("@")[2] or None  # what stands before an @ may be a password
        return f"Access(base_url={address!r}, login={shown['login']!r}, token={shown['token']!r}, place={self.place!r})"

    def anonymous(self) -> "Access":
        """Return the same address without the credentials, for a provider that they are not meant for."""
        return Access(base_url=self.base_url, place=self.place)


USER_AGENT = "lowtide/0.1 (carbon-aware retraining; python-requests)"
MAX_BODY_BYTES = 5 * 1024 * 1024
RETRY_AFTER_SLEPT_S = 10.0
"""A longer wait is left to the caller, who can look again later without holding a thread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one GET; ``total_timeout_s`` is over all tries, pauses and the body together."""

    connect_timeout_s: float = 5.0
    read_timeout_s: float = 15.0
    total_timeout_s: float = 45.0
    retries: int = 3
    retry_after_slept_s: float = RETRY_AFTER_SLEPT_S


class Bounds(TypedDict, total=False):
    """The fields of ``Limits``, to change single ones."""

    connect_timeout_s: float
    read_timeout_s: float
    total_timeout_s: float
    retries: int
    retry_after_slept_s: float


ONE_TRY = Limits(total_timeout_s=20.0, retries=0, retry_after_slept_s=0.0)
"""For callers on an event loop, who retry and sleep there and hold no thread meanwhile."""


class Transport:
    """Asks one provider's address. TLS is verified, proxies of the environment are respected, ``.netrc`` is not read.

    A redirect is followed on the same scheme, host and port only: elsewhere it would take the token along.

    :param token: sent as ``Authorization: Bearer``, or bare in ``token_header``.
    :param limits: the bounds of a GET; single ones can be given by name.
    :param credentials_place: where a person finds the token, for the sentence about a refused one.
    :raises ConfigurationError: an address that is not http or https.
    """

    def __init__(
        self,
        base_url: str,
        *,
        token: str | None = None,
        token_header: str | None = None,
        limits: Limits | None = None,
        credentials_place: str = "the connection",
        **bounds: Unpack[Bounds],
    ) -> None:
        self.base = _checked(base_url)
        self.limits = replace(limits or Limits(), **bounds)
        self.credentials_place = credentials_place
        self._secret_headers = token_headers(token, token_header) if token else {}

    @property
    def host(self) -> str:
        """Host and port, without what may stand before an @."""
        return self.base.netloc.rpartition("@")[2]

    def get(self, request: Request, secret_headers: Mapping[str, str] | None = None) -> bytes:
        """Return the body of an answer with status 200.

        :param secret_headers: instead of the transport's own token.
        :raises ProviderUnavailable: anything else; ``retry_after_s`` where the server named a wait.
        """
        from lowtide.grid.exchange import exchange  # requests: see the head of this file

        headers = {"User-Agent": USER_AGENT, "Accept": "application/json", "Accept-Encoding": "identity"}
        headers |= dict(request.headers)
        headers |= self._secret_headers if secret_headers is None else secret_headers
        return exchange(self, request, headers)


def token_headers(token: str, token_header: str | None = None) -> dict[str, str]:
    """Return the header that carries a token: bare in a header of its own, else as a bearer token."""
    return {token_header: token} if token_header else {"Authorization": f"Bearer {token}"}


def basic_headers(login: str, password: str) -> dict[str, str]:
    """Return the header of HTTP basic authentication."""
    return {"Authorization": "Basic " + base64.b64encode(f"{login}:{password}".encode()).decode("ascii")}


def _checked(base_url: str) -> SplitResult:
    try:
        parts = urlsplit(base_url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable:
        shown = base_url.rpartition("@")[2][:80]  # what stands before an @ may be a password
        raise ConfigurationError(f"the provider's address {shown!r} cannot be used; write http(s)://host[:port]")
    return parts


# Login and password exchanged for a token that ages: WattTime's way. The token lives in this process only.


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


# Leaving a provider alone for as long as it asked (Retry-After), within reason.


LONGEST_HOLD_S = 3600.0
"""A provider that asks for more is asked again after this: a typing error there must not blind a nightly run."""


class Patience:
    """What one provider asked for; all that ask through one feed share it. Thread-safe."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._until_s = float("-inf")

    def remaining_s(self) -> float:
        """Return for how much longer the provider is left alone."""
        with self._lock:
            return max(0.0, self._until_s - self._monotonic())

    def check(self, provider: str) -> None:
        """Refuse to ask while the provider is left alone.

        :raises ProviderUnavailable: it is.
        """
        left_s = self.remaining_s()
        if left_s > 0:
            raise ProviderUnavailable(
                f"{provider} asked to be left alone for another {left_s:.0f} s, so it was not asked",
                retry_after_s=left_s,
            )

    def hold(self, seconds: float) -> None:
        """Leave the provider alone for so long, an hour at most."""
        with self._lock:
            self._until_s = max(self._until_s, self._monotonic() + min(seconds, LONGEST_HOLD_S))

    def note(self, error: ProviderUnavailable) -> None:
        """Keep what a refusal asked for."""
        if error.retry_after_s:
            self.hold(error.retry_after_s)
