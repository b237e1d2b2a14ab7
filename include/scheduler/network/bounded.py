"""Bounds that requests and urllib3 lack: a deadline over all tries together, and a limit to the Retry-After that is slept."""

import socket
import threading
import time
from types import TracebackType
from typing import Any, Self

from requests import PreparedRequest
from requests.adapters import HTTPAdapter
from urllib3 import HTTPResponse
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import ConnectionPool
from urllib3.exceptions import InvalidHeader, MaxRetryError
from urllib3.response import BaseHTTPResponse
from urllib3.util.retry import Retry

from include.scheduler.network.transport import RETRY_AFTER_SLEPT_S

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
