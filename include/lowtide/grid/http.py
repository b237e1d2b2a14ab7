"""The one way to the network: a blocking, bounded GET. Every failure is one sentence, never a token or a query.

``requests`` is imported by the first GET and not with this file: Airflow imports it whenever it parses a DAG.
"""

import base64
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, TypedDict, Unpack
from urllib.parse import SplitResult, urljoin, urlsplit

from lowtide.errors import ConfigurationError, ProviderUnavailable
from lowtide.grid.providers.base import HttpProvider, Request

if TYPE_CHECKING:
    import requests
    from tenacity import RetryCallState

# Where a provider is asked and with what: the part of a connection that is never written down anywhere.

_log = logging.getLogger(__name__)

NO_CREDENTIALS = "none was given: name a connection in grid.connection, or set LOWTIDE_GRID_TOKEN"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
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
        return f"Credentials(base_url={address!r}, login={shown['login']!r}, token={shown['token']!r}, place={self.place!r})"

    def anonymous(self) -> "Credentials":
        """Return the same address without the credentials, for a provider that they are not meant for."""
        return Credentials(base_url=self.base_url, place=self.place)


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
        headers = {"User-Agent": USER_AGENT, "Accept": "application/json", "Accept-Encoding": "identity"}
        headers |= dict(request.headers)
        headers |= self._secret_headers if secret_headers is None else secret_headers
        return _get_with_retries(self, request, headers)


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


# One GET with its retries. Library texts carry addresses with queries, so every failure gets a sentence from here.


RETRIED_STATUSES = frozenset({429, 500, 502, 503, 504})
_CHUNK_BYTES = 16 * 1024
_MAX_REDIRECTS = 3
_OK = 200

_STATUS_REMEDIES = {
    401: "check the token or password (from {place})",
    403: "check the token or password and what its plan covers (from {place})",
    404: "check the provider's address and the zone",
    429: "ask less often",
}


class _WithoutQueries(logging.Filter):
    """Takes the query off addresses in urllib3's own log lines: it warns of each retry with the whole address."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(arg.partition("?")[0] if isinstance(arg, str) else arg for arg in record.args)
        return True


logging.getLogger("urllib3.connectionpool").addFilter(_WithoutQueries())


def _get_with_retries(transport: Transport, request: Request, headers: Mapping[str, str]) -> bytes:
    """Send one request with jittered back-off and return the body of an answer with status 200.

    :raises ProviderUnavailable: no such answer within the limits.
    """
    from tenacity import Retrying, retry_if_exception, stop_after_attempt, stop_before_delay, wait_exponential_jitter

    import_module("requests")  # before the clock starts: the first import may take as long as a request
    limits = transport.limits
    deadline = time.monotonic() + limits.total_timeout_s
    backoff = wait_exponential_jitter(multiplier=0.25, max=RETRY_AFTER_SLEPT_S, jitter=0.5)

    def is_retried(error: BaseException) -> bool:
        if not isinstance(error, ProviderUnavailable) or not error.passing:
            return False
        return (error.retry_after_s or 0.0) <= limits.retry_after_slept_s

    def pause_s(state: "RetryCallState") -> float:
        error = state.outcome.exception() if state.outcome else None
        asked_s = error.retry_after_s if isinstance(error, ProviderUnavailable) else None
        return backoff(state) if asked_s is None else asked_s

    def log_retry(state: "RetryCallState") -> None:
        _log.warning("Retrying %s%s in %.1f s", transport.host, request.path, state.upcoming_sleep)

    retrying = Retrying(
        stop=stop_after_attempt(limits.retries + 1) | stop_before_delay(limits.total_timeout_s),
        retry=retry_if_exception(is_retried),
        wait=pause_s,
        before_sleep=log_retry,
        reraise=True,
    )
    return retrying(_get_once, transport, request, headers, deadline)


def _get_once(transport: Transport, request: Request, headers: Mapping[str, str], deadline: float) -> bytes:
    import requests
    from urllib3.exceptions import HTTPError

    try:
        with requests.Session() as session:  # one per request: a session must not be shared between threads
            session.auth = _no_netrc
            for scheme in ("http://", "https://"):
                session.mount(scheme, _adapter(deadline))
            return _fetch(transport, session, request, headers, deadline)
    except (requests.RequestException, HTTPError, OSError, ValueError) as error:
        late = time.monotonic() >= deadline
        sentence = _late_sentence(transport) if late else _failure_sentence(transport.host, error)
    # raised outside the except: the chained exception's text would carry the address with its query
    raise ProviderUnavailable(sentence, passing=True)


def _adapter(deadline: float) -> Any:
    """Return an adapter whose answers' heads arrive before the deadline; a slow drip could stretch each read alone."""
    from requests.adapters import HTTPAdapter

    class DeadlineAdapter(HTTPAdapter):
        def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
            pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
            pool.ConnectionCls = _with_deadline(pool.ConnectionCls, deadline)
            return pool

    return DeadlineAdapter(max_retries=0)


def _with_deadline(kind: Any, deadline: float) -> Any:
    class DeadlineConnection(kind):  # type: ignore[misc] # plain, TLS or proxied: known only at run time
        def getresponse(self) -> Any:
            timer = threading.Timer(max(0.0, deadline - time.monotonic()), _hang_up, [self])
            timer.daemon = True
            timer.start()
            try:
                response: Any = super().getresponse()
            finally:
                timer.cancel()
            if time.monotonic() >= deadline:  # a head cut short by the hanging up reads as a complete one
                response.close()
                raise TimeoutError
            return response

    return DeadlineConnection


def _hang_up(connection: Any) -> None:
    """Wake the thread that reads: shutdown ends a blocked read, close alone would not."""
    sock = connection.sock
    if sock is None:
        return
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # the peer was quicker


def _fetch(
    transport: Transport, session: "requests.Session", request: Request, headers: Mapping[str, str], deadline: float
) -> bytes:
    limits = transport.limits
    timeouts_s = (limits.connect_timeout_s, limits.read_timeout_s)
    url, params = transport.base.geturl().rstrip("/") + request.path, dict(request.params)
    for _ in range(_MAX_REDIRECTS + 1):
        with session.get(
            url, params=params, headers=dict(headers), timeout=timeouts_s, stream=True, allow_redirects=False
        ) as response:
            if not response.is_redirect:
                _check_status(transport, response)
                return b"".join(_chunks(transport, response, deadline))
            url, params = _redirected(transport, url, response.headers["Location"]), {}
    raise ProviderUnavailable(f"{transport.host} redirects in a circle; check the provider's address")


def _check_status(transport: Transport, response: "requests.Response") -> None:
    status = response.status_code
    if status == _OK:
        return
    retry_after_s = _retry_after_s(response.headers.get("Retry-After"))
    raise ProviderUnavailable(
        status_sentence(transport.host, status, retry_after_s, transport.credentials_place),
        retry_after_s=retry_after_s,
        status=status,
        passing=status in RETRIED_STATUSES,
    )


def _retry_after_s(text: str | None) -> float | None:
    """Return the wait that a Retry-After asks for, as seconds or as a date; None where it has neither."""
    if text is None:
        return None
    try:
        if text.strip().isdecimal():
            return float(text)
        until = parsedate_to_datetime(text)
        return max(0.0, (until.replace(tzinfo=until.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
    except (ValueError, OverflowError):
        return None


def _chunks(transport: Transport, response: "requests.Response", deadline: float) -> Iterator[bytes]:
    """Yield the body as it arrives, looking at the clock after each piece: a slow drip never times out by itself."""
    received = 0
    while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=True):
        received += len(chunk)
        if received > MAX_BODY_BYTES:
            raise ProviderUnavailable(
                f"{transport.host} answered with more than {MAX_BODY_BYTES >> 20} MiB, which no intensity needs;"
                " check the provider's address"
            )
        if time.monotonic() >= deadline:
            raise ProviderUnavailable(_late_sentence(transport), passing=True)
        yield chunk


def _redirected(transport: Transport, url: str, location: str) -> str:
    target, base = urljoin(url, location), transport.base
    parts = urlsplit(target)
    if (parts.scheme, parts.hostname, parts.port) != (base.scheme, base.hostname, base.port):
        raise ProviderUnavailable(
            f"{transport.host} redirects to {parts.hostname}, which is not followed since the token would go along;"
            " set the provider's address to the new host if it is right"
        )
    return target


def _no_netrc(request: "requests.PreparedRequest") -> "requests.PreparedRequest":
    """Keep requests from looking for a password for this host in ~/.netrc."""
    return request


def _late_sentence(transport: Transport) -> str:
    return (
        f"{transport.host} did not complete an answer within {transport.limits.total_timeout_s:g} s; it will be retried"
    )


def _failure_sentence(host: str, error: BaseException) -> str:
    """Return the sentence of a failure that came without a status."""
    import requests.exceptions as failed
    import urllib3.exceptions as below

    # NewConnectionError is a kind of ConnectTimeoutError in urllib3: it comes first
    sentences: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
        (
            (below.ProxyError, failed.ProxyError),
            "cannot be reached through the proxy; check HTTPS_PROXY and NO_PROXY",
        ),
        (
            (below.SSLError, failed.SSLError, ssl.SSLError),
            "has no TLS certificate that can be verified; check its address, or REQUESTS_CA_BUNDLE for a company's own"
            " authority",
        ),
        (
            (below.NewConnectionError,),
            "cannot be reached (connection refused or name unknown); check the network and its address",
        ),
        (
            (below.ConnectTimeoutError, failed.ConnectTimeout),
            "did not accept a connection in time; check the network and the proxy settings",
        ),
        (
            (below.ReadTimeoutError, below.TimeoutError, failed.ReadTimeout, TimeoutError),
            "timed out; it will be retried",
        ),
        ((below.ProtocolError,), "broke off the connection before its answer was complete; it will be retried"),
    )
    cause = _cause(error)
    known = (sentence for kinds, sentence in sentences if isinstance(cause, kinds))
    fallback = f"gave no usable answer ({type(cause).__name__}); check the network and its address"
    return f"{host} {next(known, fallback)}"


def _cause(error: BaseException) -> BaseException:
    """Return urllib3's own reason where requests has wrapped it, twice at times."""
    inner = getattr(error, "reason", None) or (error.args[0] if error.args else None)
    wraps = type(error).__module__ == "requests.exceptions" or type(error).__name__ == "MaxRetryError"
    return _cause(inner) if wraps and isinstance(inner, BaseException) else error


def status_sentence(host: str, status: int, retry_after_s: float | None, place: str) -> str:
    """Return the sentence of an answer whose status is not 200.

    :param place: where a person finds the credentials.
    """
    later = f" in {retry_after_s:.0f} s" if retry_after_s else " later"
    remedy = _STATUS_REMEDIES.get(status, f"try again{later}" if status >= 500 else "check the provider's address")
    remedy = remedy.format(place=place)
    wait = f" (it asks to wait {retry_after_s:.0f} s)" if status == 429 and retry_after_s else ""
    return f"{host} answered with status {status}{wait}; {remedy}"


# Login and password exchanged for a token that ages: WattTime's way. The token lives in this process only.


_UNAUTHORIZED = 401
_RENEWED_AT = 0.8
"""Share of a token's lifetime after which a new one is fetched: clocks differ, and a request takes a while."""


class Session(Protocol):
    """A way to ask a provider; a transport is one."""

    def get(self, request: Request) -> bytes:
        """Return the body of an answer.

        :raises ProviderUnavailable: no such answer.
        """
        ...


class TokenAuth:
    """Logs in when it has no token, when the token is old, and when it is refused. Thread-safe.

    :raises ConfigurationError: no login or no password was given.
    """

    def __init__(
        self,
        provider: HttpProvider,
        transport: Transport,
        access: Credentials,
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


class RateLimitHold:
    """What one provider asked for; all that ask through one feed share it. Thread-safe."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._until_s = float("-inf")

    def remaining_s(self) -> float:
        """Return how long the rate limit still holds, in s."""
        with self._lock:
            return max(0.0, self._until_s - self._monotonic())

    def check(self, provider: str) -> None:
        """Refuse a request while the rate limit holds.

        :raises ProviderUnavailable: it is.
        """
        left_s = self.remaining_s()
        if left_s > 0:
            raise ProviderUnavailable(
                f"{provider}: rate limited, next request allowed in {left_s:.0f} s",
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
