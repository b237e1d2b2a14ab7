"""One GET by ``requests``, with every bound that it lacks. Imported by the first GET only: see ``transport``."""

import logging
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urljoin, urlsplit

import requests
from requests import PreparedRequest
from requests.adapters import HTTPAdapter
from urllib3 import HTTPResponse
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import ConnectionPool
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    InvalidHeader,
    MaxRetryError,
    NewConnectionError,
    ProtocolError,
    ProxyError,
    ReadTimeoutError,
    SSLError,
)
from urllib3.exceptions import TimeoutError as PoolTimeoutError
from urllib3.response import BaseHTTPResponse
from urllib3.util.retry import Retry

from lowtide.errors import ProviderUnavailable
from lowtide.grid.http import MAX_BODY_BYTES, RETRY_AFTER_SLEPT_S
from lowtide.grid.providers.base import Request

if TYPE_CHECKING:
    from lowtide.grid.http import Transport


# Bounds that requests and urllib3 lack: a deadline over all tries together, and a limit to the Retry-After that is slept.


RETRIED_STATUSES = frozenset({429, 500, 502, 503, 504})


class BoundedRetry(Retry):
    """Retries GETs with jittered back-off until a moment of the monotonic clock, and no longer."""

    deadline: float = float("inf")
    slept_s: float = RETRY_AFTER_SLEPT_S

    @classmethod
    def until(cls, deadline: float, retries: int, slept_s: float = RETRY_AFTER_SLEPT_S) -> Self:
        """Return the retries of one request.

        :param slept_s: the longest Retry-After that is slept here; a longer one ends the request.
        """
        retry = cls(
            total=retries,
            status_forcelist=RETRIED_STATUSES,
            allowed_methods={"GET"},
            backoff_factor=0.25,
            backoff_jitter=0.5,
            backoff_max=RETRY_AFTER_SLEPT_S,
            raise_on_status=False,
        )
        retry.deadline, retry.slept_s = deadline, slept_s
        return retry

    def new(self, **kw: Any) -> Self:
        """Return the next state; urllib3 makes a fresh object for every try."""
        following = super().new(**kw)
        following.deadline, following.slept_s = self.deadline, self.slept_s
        return following

    def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
        """Return the wait that the server asks for, in s; None where it asks for none or writes nonsense."""
        try:
            return super().get_retry_after(response)
        except (InvalidHeader, ValueError, OverflowError):
            return None

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: BaseHTTPResponse | None = None,
        error: Exception | None = None,
        _pool: ConnectionPool | None = None,
        _stacktrace: TracebackType | None = None,
    ) -> Self:
        """Return the state for another try.

        :raises MaxRetryError: no try is left, the deadline is near, or the server asks for a long wait.
        """
        url = (url or "").partition("?")[0]  # urllib3 logs and stores the address; a query may hold a key
        following = super().increment(method, url, response, error, _pool, _stacktrace)
        pause_s = following.get_backoff_time() if response is None else self.get_retry_after(response) or 0.0
        longest_s = RETRY_AFTER_SLEPT_S if response is None else self.slept_s
        if pause_s > longest_s or time.monotonic() + pause_s >= self.deadline:
            assert _pool is not None  # noqa: S101 urllib3 always passes the pool; its signature does not say so
            raise MaxRetryError(_pool, url, error)
        return following


class BoundedAdapter(HTTPAdapter):
    """Sends requests whose heads arrive before the deadline; each read alone could be stretched by a slow drip."""

    def __init__(self, *, deadline: float, retry: BoundedRetry) -> None:
        self._deadline = deadline
        super().__init__(max_retries=retry)

    def get_connection_with_tls_context(
        self, request: PreparedRequest, verify: Any, proxies: Any = None, cert: Any = None
    ) -> ConnectionPool:
        """Return the pool, direct or through a proxy, with connections that know the deadline."""
        pool = super().get_connection_with_tls_context(request, verify, proxies, cert)
        pool.ConnectionCls = _with_deadline(pool.ConnectionCls, self._deadline)  # type: ignore[attr-defined]
        return pool


def _with_deadline(kind: Any, deadline: float) -> Any:
    class DeadlineConnection(kind):  # type: ignore[misc] # plain, TLS or proxied: known only at run time
        def getresponse(self) -> HTTPResponse:
            timer = threading.Timer(max(0.0, deadline - time.monotonic()), _hang_up, [self])
            timer.daemon = True
            timer.start()
            try:
                response: HTTPResponse = super().getresponse()
            finally:
                timer.cancel()
            if time.monotonic() >= deadline:  # a head cut short by the hanging up reads as a complete one
                response.close()
                raise TimeoutError
            return response

    return DeadlineConnection


def _hang_up(connection: HTTPConnection) -> None:
    """Wake the thread that reads: shutdown ends a blocked read, close alone would not."""
    sock = connection.sock
    if sock is None:
        return
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # the peer was quicker


# What went wrong on the network, in one sentence with the host and a remedy. Library texts carry addresses with queries.


_SENTENCES: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
    (
        (ProxyError, requests.exceptions.ProxyError),
        "cannot be reached through the proxy; check HTTPS_PROXY and NO_PROXY",
    ),
    (
        (SSLError, requests.exceptions.SSLError, ssl.SSLError),
        "has no TLS certificate that can be verified; check its address, or REQUESTS_CA_BUNDLE for a company's own authority",
    ),
    # NewConnectionError is a kind of ConnectTimeoutError in urllib3: it has to stand first
    (
        (NewConnectionError,),
        "cannot be reached (connection refused or name unknown); check the network and its address",
    ),
    (
        (ConnectTimeoutError, requests.exceptions.ConnectTimeout),
        "did not accept a connection in time; check the network and the proxy settings",
    ),
    (
        (ReadTimeoutError, PoolTimeoutError, requests.exceptions.ReadTimeout, TimeoutError),
        "did not answer in time; another look may do",
    ),
    ((ProtocolError,), "broke off the connection before its answer was complete; another look may do"),
)

_STATUS_REMEDIES = {
    401: "check the token or password (from {place})",
    403: "check the token or password and what its plan covers (from {place})",
    404: "check the provider's address and the zone",
    429: "ask less often",
}


def failure_sentence(host: str, error: BaseException, timed_out_after_s: float | None) -> str:
    """Return the sentence of a failure that came without a status.

    :param timed_out_after_s: the total time allowed, where it was used up.
    """
    if timed_out_after_s is not None:
        return f"{host} did not complete an answer within {timed_out_after_s:g} s; another look may do"
    cause = _cause(error)
    for kinds, sentence in _SENTENCES:
        if isinstance(cause, kinds):
            return f"{host} {sentence}"
    return f"{host} gave no usable answer ({type(cause).__name__}); check the network and its address"


def status_sentence(host: str, status: int, retry_after_s: float | None, place: str) -> str:
    """Return the sentence of an answer whose status is not 200.

    :param place: where a person finds the credentials.
    """
    later = f" in {retry_after_s:.0f} s" if retry_after_s else " later"
    remedy = _STATUS_REMEDIES.get(status, f"try again{later}" if status >= 500 else "check the provider's address")
    remedy = remedy.format(place=place)
    wait = f" (it asks to wait {retry_after_s:.0f} s)" if status == 429 and retry_after_s else ""
    return f"{host} answered with status {status}{wait}; {remedy}"


def _cause(error: BaseException) -> BaseException:
    """Return urllib3's own reason where requests has wrapped it, twice at times."""
    inner = error.args[0] if error.args else None
    if isinstance(error, MaxRetryError) and error.reason is not None:
        return _cause(error.reason)
    if isinstance(error, requests.RequestException) and isinstance(inner, BaseException):
        return _cause(inner)
    return error


_CHUNK_BYTES = 16 * 1024
_MAX_REDIRECTS = 3
_OK = 200


class _WithoutQueries(logging.Filter):
    """Takes the query off addresses in urllib3's own log lines: it warns of each retry with the whole address."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(arg.partition("?")[0] if isinstance(arg, str) else arg for arg in record.args)
        return True


logging.getLogger("urllib3.connectionpool").addFilter(_WithoutQueries())


def exchange(transport: "Transport", request: Request, headers: Mapping[str, str]) -> bytes:
    """Send one request with its retries and return the body of an answer with status 200.

    :raises ProviderUnavailable: anything else.
    """
    limits = transport.limits
    deadline = time.monotonic() + limits.total_timeout_s
    try:
        with requests.Session() as session:  # one per request: a session must not be shared between threads
            session.auth = _no_netrc
            for scheme in ("http://", "https://"):
                retry = BoundedRetry.until(deadline, limits.retries, limits.retry_after_slept_s)
                session.mount(scheme, BoundedAdapter(deadline=deadline, retry=retry))
            return _fetch(transport, session, request, headers, deadline)
    except (requests.RequestException, HTTPError, OSError, ValueError) as error:
        late = time.monotonic() >= deadline
        sentence = failure_sentence(transport.host, error, limits.total_timeout_s if late else None)
    # raised outside the except: the chained exception's text would carry the address with its query
    raise ProviderUnavailable(sentence, passing=True)


def _fetch(
    transport: "Transport", session: requests.Session, request: Request, headers: Mapping[str, str], deadline: float
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


def _check_status(transport: "Transport", response: requests.Response) -> None:
    status = response.status_code
    if status == _OK:
        return
    retry_after_s = BoundedRetry().get_retry_after(response.raw)
    raise ProviderUnavailable(
        status_sentence(transport.host, status, retry_after_s, transport.credentials_place),
        retry_after_s=retry_after_s,
        status=status,
        passing=status in RETRIED_STATUSES,
    )


def _chunks(transport: "Transport", response: requests.Response, deadline: float) -> Iterator[bytes]:
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
            sentence = failure_sentence(transport.host, TimeoutError(), transport.limits.total_timeout_s)
            raise ProviderUnavailable(sentence, passing=True)
        yield chunk


def _redirected(transport: "Transport", url: str, location: str) -> str:
    target, base = urljoin(url, location), transport.base
    parts = urlsplit(target)
    if (parts.scheme, parts.hostname, parts.port) != (base.scheme, base.hostname, base.port):
        raise ProviderUnavailable(
            f"{transport.host} redirects to {parts.hostname}, which is not followed since the token would go along;"
            " set the provider's address to the new host if it is right"
        )
    return target


def _no_netrc(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Stand where requests would else look for a password for this host in ~/.netrc."""
    return request
