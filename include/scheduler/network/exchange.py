"""One GET by ``requests``, with every bound that it lacks. Imported by the first GET only: see ``transport``."""

import logging
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

import requests
from urllib3.exceptions import HTTPError

from include.errors import ProviderUnavailable
from include.scheduler.network.bounded import RETRIED_STATUSES, BoundedAdapter, BoundedRetry
from include.scheduler.network.failures import failure_sentence, status_sentence
from include.scheduler.network.transport import MAX_BODY_BYTES
from include.scheduler.providers.base import Request

if TYPE_CHECKING:
    from include.scheduler.network.transport import Transport

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
