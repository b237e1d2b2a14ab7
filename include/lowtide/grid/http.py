"""The one way to the network: a blocking GET, bounded in time and size. Every failure is one sentence, never a token or a query.

HTTP 429 and Retry-After are handled here: a short wait is slept within the GET, a longer one is kept by ``RateLimitHold``.
``requests`` is imported by the first GET and not with this file: Airflow imports it whenever it parses a DAG.
"""

import base64
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import SplitResult, urljoin, urlsplit

from lowtide.errors import ConfigurationError, ProviderUnavailable

if TYPE_CHECKING:
    import requests
    from tenacity import RetryCallState

_log = logging.getLogger(__name__)

USER_AGENT = "lowtide/0.1 (carbon-aware retraining; python-requests)"
MAX_BODY_BYTES = 5 * 1024 * 1024
NO_CREDENTIALS = "none was given: name a connection in grid.connection, or set LOWTIDE_GRID_TOKEN"
RETRIED_STATUSES = frozenset({429, 500, 502, 503, 504})
_LONGEST_SLEEP_S = 10.0
"""A longer Retry-After is left to the caller, who can check again later without holding a thread."""
LONGEST_HOLD_S = 3600.0
"""A provider that asks for more is asked again after this: its typing error must not blind a nightly run."""
_CHUNK_BYTES = 16 * 1024
_OK = 200

_STATUS_REMEDIES: Final = {
    401: "check the token or password (from {place})",
    403: "check the token or password and what its plan covers (from {place})",
    404: "check the provider's address and the zone",
    429: "ask less often",
}
_UNREACHABLE = "cannot be reached (connection refused or name unknown); check the network and its address"
_NO_TLS = "has no TLS certificate that can be verified; check its address, or REQUESTS_CA_BUNDLE for a company's own authority"
_CONNECT_TIMEOUT = "did not accept a connection in time; check the network and the proxy settings"
_TIMED_OUT = "timed out; it will be retried"
_FAILURES: Final = {
    "ProxyError": "cannot be reached through the proxy; check HTTPS_PROXY and NO_PROXY",
    "SSLError": _NO_TLS,
    "NewConnectionError": _UNREACHABLE,
    "ConnectTimeoutError": _CONNECT_TIMEOUT,
    "ConnectTimeout": _CONNECT_TIMEOUT,
    "ReadTimeout": _TIMED_OUT,
    "TimeoutError": _TIMED_OUT,
    "ProtocolError": "broke off the connection before its answer was complete; it will be retried",
}
"""The sentence of a failure without a status, by the name of the exception or its nearest base."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One GET below a provider's base address; the transport adds the token."""

    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Base address, login and token (or password) of a provider; all None for its public address.

    Never serialized and never logged: it holds a secret. ``place`` says where a person corrects it.
    """

    base_url: str | None = None
    login: str | None = None
    token: str | None = None
    place: str = NO_CREDENTIALS

    def __repr__(self) -> str:
        shown = {name: "***" if getattr(self, name) else None for name in ("login", "token")}
        address = _without_password(self.base_url or "") or None
        return f"Credentials(base_url={address!r}, login={shown['login']!r}, token={shown['token']!r}, place={self.place!r})"

    def anonymous(self) -> "Credentials":
        """Return the same address without the credentials, for a provider that they are not meant for."""
        return Credentials(base_url=self.base_url, place=self.place)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one GET; ``total_timeout_s`` is over all tries, pauses and the body together."""

    connect_timeout_s: float = 5.0
    read_timeout_s: float = 15.0
    total_timeout_s: float = 45.0
    retries: int = 3
    longest_sleep_s: float = _LONGEST_SLEEP_S
    """A Retry-After up to this is slept; a longer one is raised with the failure."""


ONE_TRY = Limits(total_timeout_s=20.0, retries=0, longest_sleep_s=0.0)
"""For callers on an event loop, who retry and sleep there and hold no thread meanwhile."""


class Session(Protocol):
    """A way to ask a provider; a transport is one, and so is a login that renews its token."""

    def get(self, request: Request) -> bytes:
        """Return the body of an answer.

        :raises ProviderUnavailable: no such answer.
        """
        ...


class Transport:
    """Asks one provider's address. TLS is verified, proxies of the environment are respected, ``.netrc`` is not read.

    No redirect is followed: it would take the token along.

    :param token: sent as ``Authorization: Bearer``, or bare in ``token_header``.
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
    ) -> None:
        self.base = _checked(base_url)
        self.host = _without_password(self.base.netloc)
        self.limits = limits or Limits()
        self.credentials_place = credentials_place
        self._secret_headers = token_headers(token, token_header) if token else {}

    def get(self, request: Request, secret_headers: Mapping[str, str] | None = None) -> bytes:
        """Return the body of an answer with status 200, after retries with jittered back-off.

        :param secret_headers: instead of the transport's own token.
        :raises ProviderUnavailable: no such answer within the limits; ``retry_after_s`` where the server named a wait.
        """
        from tenacity import (
            Retrying,
            retry_if_exception,
            stop_after_attempt,
            stop_before_delay,
            wait_exponential_jitter,
        )

        import_module("requests")  # before the clock starts: the first import may take as long as a request
        limits = self.limits
        headers = {"User-Agent": USER_AGENT, "Accept": "application/json", "Accept-Encoding": "identity"}
        headers |= {**request.headers, **(self._secret_headers if secret_headers is None else secret_headers)}
        backoff = wait_exponential_jitter(multiplier=0.25, max=_LONGEST_SLEEP_S, jitter=0.5)

        def is_retried(error: BaseException) -> bool:
            passing = isinstance(error, ProviderUnavailable) and error.passing
            return passing and (_asked_s(error) or 0.0) <= limits.longest_sleep_s

        def pause_s(state: "RetryCallState") -> float:
            asked_s = _asked_s(state.outcome.exception() if state.outcome else None)
            return asked_s or backoff(state)  # Retry-After: 0, or a date that has passed, is no leave to hammer

        def log_retry(state: "RetryCallState") -> None:
            _log.warning("Retrying %s%s in %.1f s", self.host, request.path, state.upcoming_sleep)

        retrying = Retrying(
            stop=stop_after_attempt(limits.retries + 1) | stop_before_delay(limits.total_timeout_s),
            retry=retry_if_exception(is_retried),
            wait=pause_s,
            before_sleep=log_retry,
            reraise=True,
        )
        return retrying(self._get_once, request, headers, time.monotonic() + limits.total_timeout_s)

    def _get_once(self, request: Request, headers: dict[str, str], deadline: float) -> bytes:
        import requests
        from urllib3.exceptions import HTTPError

        try:
            with requests.Session() as session:  # one per request: a session must not be shared between threads
                session.auth = lambda prepared: prepared  # else requests looks for a password in ~/.netrc
                for scheme in ("http://", "https://"):
                    session.mount(scheme, _deadline_adapter(deadline))
                return self._fetch(session, request, headers, deadline)
        except (requests.RequestException, HTTPError, OSError, ValueError) as error:
            late = time.monotonic() >= deadline
            sentence = self._late_sentence() if late else f"{self.host} {_failure(error)}"
        # raised outside the except: the chained exception's text would carry the address with its query
        raise ProviderUnavailable(sentence, passing=True)

    def _fetch(self, session: "requests.Session", request: Request, headers: dict[str, str], deadline: float) -> bytes:
        timeouts_s = (self.limits.connect_timeout_s, self.limits.read_timeout_s)
        url = self.base.geturl().rstrip("/") + request.path
        with session.get(
            url, params=request.params, headers=headers, timeout=timeouts_s, stream=True, allow_redirects=False
        ) as response:
            if response.is_redirect:
                target = urlsplit(urljoin(url, response.headers["Location"]))
                raise ProviderUnavailable(
                    f"{self.host} redirects to {target.hostname}, which is not followed since the token would go along;"
                    " set the provider's address to the new one if it is right"
                )
            self._check_status(response)
            return b"".join(self._chunks(response, deadline))

    def _check_status(self, response: "requests.Response") -> None:
        status = response.status_code
        if status == _OK:
            return
        retry_after_s = _retry_after_s(response.headers.get("Retry-After"))
        later = f" in {retry_after_s:.0f} s" if retry_after_s else " later"
        remedy = _STATUS_REMEDIES.get(status, f"try again{later}" if status >= 500 else "check the provider's address")
        wait = f" (it asks to wait {retry_after_s:.0f} s)" if status == 429 and retry_after_s else ""
        raise ProviderUnavailable(
            f"{self.host} answered with status {status}{wait}; {remedy.format(place=self.credentials_place)}",
            retry_after_s=retry_after_s,
            status=status,
            passing=status in RETRIED_STATUSES,
        )

    def _chunks(self, response: "requests.Response", deadline: float) -> Iterator[bytes]:
        """Yield the body as it arrives, and check the clock after each piece: a slow drip never times out by itself."""
        received = 0
        while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=True):
            received += len(chunk)
            if received > MAX_BODY_BYTES:
                raise ProviderUnavailable(
                    f"{self.host} answered with more than {MAX_BODY_BYTES >> 20} MiB, which no intensity needs;"
                    " check the provider's address"
                )
            if time.monotonic() >= deadline:
                raise ProviderUnavailable(self._late_sentence(), passing=True)
            yield chunk

    def _late_sentence(self) -> str:
        return f"{self.host} did not complete an answer within {self.limits.total_timeout_s:g} s; it will be retried"


class RateLimitHold:
    """Keeps the wait that one provider asked for (Retry-After), an hour at most. Thread-safe."""

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

        :raises ProviderUnavailable: it does.
        """
        left_s = self.remaining_s()
        if left_s > 0:
            raise ProviderUnavailable(
                f"{provider}: rate limited, next request allowed in {left_s:.0f} s", retry_after_s=left_s
            )

    def hold(self, seconds: float) -> None:
        """Send no request for so long, an hour at most."""
        with self._lock:
            self._until_s = max(self._until_s, self._monotonic() + min(seconds, LONGEST_HOLD_S))

    def note(self, error: ProviderUnavailable) -> None:
        """Keep what a refusal asked for."""
        if error.retry_after_s:
            self.hold(error.retry_after_s)


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
        shown = _without_password(base_url)[:80]
        raise ConfigurationError(f"the provider's address {shown!r} cannot be used; write http(s)://host[:port]")
    return parts


def _without_password(address: str) -> str:
    return address.rpartition("@")[2]


def _asked_s(error: BaseException | None) -> float | None:
    return error.retry_after_s if isinstance(error, ProviderUnavailable) else None


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


def _failure(error: BaseException) -> str:
    """Return what went wrong without a status; library texts carry addresses with queries, so none is shown."""
    inner = getattr(error, "reason", None) or (error.args[0] if error.args else None)
    wraps = type(error).__module__ == "requests.exceptions" or type(error).__name__ == "MaxRetryError"
    if wraps and isinstance(inner, BaseException):
        return _failure(inner)
    known = (_FAILURES[kind.__name__] for kind in type(error).__mro__ if kind.__name__ in _FAILURES)
    return next(known, f"gave no usable answer ({type(error).__name__}); check the network and its address")


class _WithoutQueries(logging.Filter):
    """Takes the query off addresses in urllib3's own log lines."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(arg.partition("?")[0] if isinstance(arg, str) else arg for arg in record.args)
        return True


logging.getLogger("urllib3.connectionpool").addFilter(_WithoutQueries())


def _deadline_adapter(deadline: float) -> Any:
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
            if time.monotonic() >= deadline:  # a head cut short by hanging up reads as a complete one
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
