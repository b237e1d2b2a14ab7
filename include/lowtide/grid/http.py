"""The one way to the network: a blocking GET, bounded in time and size. Every failure is one sentence, never a token or a query.

HTTP 429 and Retry-After are handled here: a short wait is slept within the GET, a longer one is kept by ``RateLimitHold``.
``requests`` is imported by the first GET and not with this file: Airflow imports it whenever it parses a DAG.
"""

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import SplitResult, urljoin, urlsplit

from lowtide.errors import ConfigurationError, ProviderUnavailable

if TYPE_CHECKING:
    import requests
    from tenacity import RetryCallState

_log = logging.getLogger(__name__)

USER_AGENT = "lowtide/0.1 (carbon-aware retraining; python-requests)"
MAX_BODY_BYTES = 5 * 1024 * 1024
RETRIED_STATUSES = frozenset({429, 500, 502, 503, 504})
_LONGEST_BACKOFF_S = 10.0
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
_NO_TLS = "has no TLS certificate that can be verified; check its address, or REQUESTS_CA_BUNDLE for a company's own authority"
_FAILURES: Final = {
    "ProxyError": "cannot be reached through the proxy; check HTTPS_PROXY and NO_PROXY",
    "SSLError": _NO_TLS,
    "NewConnectionError": "cannot be reached (connection refused or name unknown); check the network and its address",
    "ConnectTimeoutError": "did not accept a connection in time; check the network and the proxy settings",
    "TimeoutError": "timed out; it will be retried",
    "ProtocolError": "broke off the connection before its answer was complete; it will be retried",
}
"""The sentence of a failure without a status, by the name of the exception or its nearest base."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One GET below a provider's base address; the transport adds the token."""

    path: str
    params: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Base address, login and token (or password) of a provider; all None for its public address.

    Never serialized and never logged: it holds a secret. ``place`` says where a person corrects it.
    """

    base_url: str | None = None
    login: str | None = None
    token: str | None = None
    place: str = "none was given: name a connection in grid.connection, or set LOWTIDE_GRID_TOKEN"

    def __repr__(self) -> str:
        return f"Credentials(base_url={_without_password(self.base_url or '')!r}, place={self.place!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one GET; ``total_timeout_s`` is over all tries, pauses and the body together."""

    connect_timeout_s: float = 5.0
    read_timeout_s: float = 15.0
    total_timeout_s: float = 45.0
    retries: int = 3
    longest_sleep_s: float = 10.0
    """A longer Retry-After is left to the caller, who can check again later without holding a thread."""


ONE_TRY = Limits(total_timeout_s=20.0, retries=0, longest_sleep_s=0.0)
"""For callers on an event loop, who retry and sleep there and hold no thread meanwhile."""


def retrying(kind: Any, limits: Limits, **options: Any) -> Any:
    """Return a tenacity ``kind`` (Retrying or AsyncRetrying) that calls a function again after a passing failure.

    It backs off with jitter, or sleeps the Retry-After that the server asked for.
    """
    from tenacity import retry_if_exception, stop_after_attempt, stop_before_delay, wait_exponential_jitter

    backoff = wait_exponential_jitter(multiplier=0.25, max=_LONGEST_BACKOFF_S, jitter=0.5)

    def is_retried(error: BaseException) -> bool:
        if not isinstance(error, ProviderUnavailable):
            return False
        return error.passing and (error.retry_after_s or 0.0) <= limits.longest_sleep_s

    def pause_s(state: "RetryCallState") -> float:
        asked_s: float | None = getattr(state.outcome and state.outcome.exception(), "retry_after_s", None)
        return asked_s or backoff(state)  # Retry-After: 0, or a date that has passed, is no leave to hammer

    stop = stop_after_attempt(limits.retries + 1) | stop_before_delay(limits.total_timeout_s)
    return kind(stop=stop, retry=retry_if_exception(is_retried), wait=pause_s, reraise=True, **options)


class Transport:
    """Asks one provider's address. TLS is verified, proxies of the environment are respected, ``.netrc`` is not read.

    No redirect is followed: it would take the token along.

    :param credentials: a token is sent as ``Authorization: Bearer``, or bare in ``token_header``; ``place`` is in the
        sentence about a refused one.
    :raises ConfigurationError: an address that is not http or https.
    """

    def __init__(
        self,
        base_url: str,
        credentials: Credentials | None = None,
        *,
        token_header: str | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.base = _checked(base_url)
        self.host = _without_password(self.base.netloc)
        self.limits = limits or Limits()
        self.credentials = credentials or Credentials()
        self.token_header = token_header

    def get(self, request: Request) -> bytes:
        """Return the body of an answer with status 200, after retries with jittered back-off.

        :raises ProviderUnavailable: no such answer within the limits; ``retry_after_s`` where the server named a wait.
        """
        token = self.credentials.token
        if not token:
            return self._send(request, {})
        return self._send(request, {self.token_header: token} if self.token_header else bearer(token))

    def _send(self, request: Request, secret_headers: dict[str, str]) -> bytes:
        from tenacity import Retrying

        import_module("requests")  # before the clock starts: the first import may take as long as a request
        headers = {"User-Agent": USER_AGENT, "Accept": "application/json", "Accept-Encoding": "identity"}

        def log_retry(state: "RetryCallState") -> None:
            _log.warning("Retrying %s%s in %.1f s", self.host, request.path, state.upcoming_sleep)

        deadline = time.monotonic() + self.limits.total_timeout_s
        again = retrying(Retrying, self.limits, before_sleep=log_retry)
        body: bytes = again(self._get_once, request, headers | secret_headers, deadline)
        return body

    def _get_once(self, request: Request, headers: dict[str, str], deadline: float) -> bytes:
        import requests
        from urllib3.exceptions import HTTPError

        timeouts_s = (self.limits.connect_timeout_s, self.limits.read_timeout_s)
        url = self.base.geturl().rstrip("/") + request.path
        options: dict[str, Any] = {"timeout": timeouts_s, "stream": True, "allow_redirects": False}
        try:
            with requests.Session() as session:  # one per request: a session must not be shared between threads
                session.auth = lambda prepared: prepared  # else requests looks for a password in ~/.netrc
                for scheme in ("http://", "https://"):
                    session.mount(scheme, _deadline_adapter(deadline))
                with session.get(url, params=request.params, headers=headers, **options) as response:
                    self._check_status(response)
                    return b"".join(self._chunks(response, deadline))
        except (requests.RequestException, HTTPError, OSError, ValueError) as error:
            late = f"did not complete an answer within {self.limits.total_timeout_s:g} s; it will be retried"
            failure = late if time.monotonic() >= deadline else _failure(error)
        # raised outside the except: the chained exception's text would carry the address with its query
        raise ProviderUnavailable(f"{self.host} {failure}", passing=True)

    def _check_status(self, response: "requests.Response") -> None:
        status = response.status_code
        if status == _OK:
            return
        if response.is_redirect:
            target = urlsplit(urljoin(response.url, response.headers["Location"]))
            raise ProviderUnavailable(
                f"{self.host} redirects to {target.scheme}://{_without_password(target.netloc)}, which is not followed"
                " since the token would go along; set the provider's address to the new one if it is right"
            )
        retry_after_s = _retry_after_s(response.headers.get("Retry-After", ""))
        later = f" in {retry_after_s:.0f} s" if retry_after_s else " later"
        remedy = _STATUS_REMEDIES.get(status, f"try again{later}" if status >= 500 else "check the provider's address")
        wait = f" (it asks to wait {retry_after_s:.0f} s)" if status == 429 and retry_after_s else ""
        raise ProviderUnavailable(
            f"{self.host} answered with status {status}{wait}; {remedy.format(place=self.credentials.place)}",
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
                raise TimeoutError
            yield chunk


class RateLimitHold:
    """Keeps the wait that one provider asked for (Retry-After), an hour at most. Thread-safe."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._until_s = float("-inf")

    def remaining_s(self) -> float:
        """Return how long the rate limit still holds, in s."""
        return max(0.0, self._until_s - self._monotonic())

    def hold(self, seconds: float) -> None:
        """Send no request for so long, an hour at most; an earlier, longer wait is not shortened."""
        with self._lock:
            self._until_s = max(self._until_s, self._monotonic() + min(seconds, LONGEST_HOLD_S))


def bearer(token: str) -> dict[str, str]:
    """Return the header that most providers take a token in."""
    return {"Authorization": f"Bearer {token}"}


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


def _retry_after_s(text: str) -> float | None:
    """Return the wait that a Retry-After asks for, as seconds or as a date; None where it has neither."""
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
    """Return an adapter that hangs up on a head which has not arrived by the deadline: a slow drip stretches each read alone."""
    from requests.adapters import HTTPAdapter

    class DeadlineAdapter(HTTPAdapter):
        def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
            pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
            mixed = type("DeadlineConnection", (_DeadlineConnection, pool.ConnectionCls), {"deadline": deadline})
            pool.ConnectionCls = mixed  # plain, TLS or proxied
            return pool

    return DeadlineAdapter(max_retries=0)


class _DeadlineConnection:
    """What a connection of urllib3 does beside: its answer's head arrives before the deadline, or not at all."""

    deadline: float
    sock: socket.socket | None

    def getresponse(self) -> Any:
        timer = threading.Timer(max(0.0, self.deadline - time.monotonic()), self._hang_up)
        timer.daemon = True
        timer.start()
        try:
            response: Any = super().getresponse()  # type: ignore[misc] # urllib3's
        finally:
            timer.cancel()
        if time.monotonic() >= self.deadline:  # a head cut short by hanging up reads as a complete one
            response.close()
            raise TimeoutError
        return response

    def _hang_up(self) -> None:
        if self.sock is not None:
            with suppress(OSError):  # the peer was quicker
                self.sock.shutdown(socket.SHUT_RDWR)  # ends a blocked read, which close alone would not
