"""The one way to the network: a blocking, bounded GET. Every failure is one sentence, never a token or a query."""

import logging
import time
from collections.abc import Iterator
from urllib.parse import SplitResult, urljoin, urlsplit

import requests
from urllib3.exceptions import HTTPError

from include.errors import ConfigurationError, ProviderUnavailable
from include.scheduler.bounded import BoundedAdapter, BoundedRetry
from include.scheduler.failures import failure_sentence, status_sentence
from include.scheduler.providers.base import Request

USER_AGENT = "lowtide/0.1 (carbon-aware retraining; python-requests)"
MAX_BODY_BYTES = 5 * 1024 * 1024
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


class Transport:
    """Asks one provider's address. TLS is verified, proxies of the environment are respected, ``.netrc`` is not read.

    A redirect is followed on the same scheme, host and port only: elsewhere it would take the token along.

    :param token: sent as ``Authorization: Bearer``, or bare in ``token_header``.
    :param total_timeout_s: over all tries, pauses and the body together.
    :raises ConfigurationError: an address that is not http or https.
    """

    def __init__(
        self,
        base_url: str,
        *,
        token: str | None = None,
        token_header: str | None = None,
        connect_timeout_s: float = 5.0,
        read_timeout_s: float = 15.0,
        retries: int = 3,
        total_timeout_s: float = 45.0,
    ) -> None:
        self._base = _checked(base_url)
        self.host = self._base.netloc.rpartition("@")[2]
        self._timeouts_s = (connect_timeout_s, read_timeout_s)
        self._retries = retries
        self._total_timeout_s = total_timeout_s
        self._secret_headers: dict[str, str] = {}
        if token:
            self._secret_headers = {token_header: token} if token_header else {"Authorization": f"Bearer {token}"}

    def get(self, request: Request) -> bytes:
        """Return the body of an answer with status 200.

        :raises ProviderUnavailable: anything else; ``retry_after_s`` where the server named a wait.
        """
        deadline = time.monotonic() + self._total_timeout_s
        try:
            with requests.Session() as session:  # one per request: a session must not be shared between threads
                session.auth = _no_netrc
                session.mount("http://", BoundedAdapter(deadline=deadline, retries=self._retries))
                session.mount("https://", BoundedAdapter(deadline=deadline, retries=self._retries))
                return self._fetch(session, request, deadline)
        except (requests.RequestException, HTTPError, OSError, ValueError) as error:
            late = time.monotonic() >= deadline
            sentence = failure_sentence(self.host, error, self._total_timeout_s if late else None)
        # raised outside the except: the chained exception's text would carry the address with its query
        raise ProviderUnavailable(sentence)

    def _fetch(self, session: requests.Session, request: Request, deadline: float) -> bytes:
        headers = {"User-Agent": USER_AGENT, "Accept": "application/json", "Accept-Encoding": "identity"}
        headers |= dict(request.headers) | self._secret_headers
        url, params = self._base.geturl().rstrip("/") + request.path, dict(request.params)
        for _ in range(_MAX_REDIRECTS + 1):
            with session.get(
                url, params=params, headers=headers, timeout=self._timeouts_s, stream=True, allow_redirects=False
            ) as response:
                if not response.is_redirect:
                    self._check_status(response)
                    return b"".join(self._chunks(response, deadline))
                url, params = self._redirected(url, response.headers["Location"]), {}
        raise ProviderUnavailable(f"{self.host} redirects in a circle; check the provider's address")

    def _check_status(self, response: requests.Response) -> None:
        if response.status_code != _OK:
            retry_after_s = BoundedRetry().get_retry_after(response.raw)
            raise ProviderUnavailable(
                status_sentence(self.host, response.status_code, retry_after_s), retry_after_s=retry_after_s
            )

    def _chunks(self, response: requests.Response, deadline: float) -> Iterator[bytes]:
        """Yield the body as it arrives, looking at the clock after each piece: a slow drip never times out by itself."""
        received = 0
        while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=True):
            received += len(chunk)
            if received > MAX_BODY_BYTES:
                raise ProviderUnavailable(
                    f"{self.host} answered with more than {MAX_BODY_BYTES >> 20} MiB, which no intensity needs;"
                    " check the provider's address"
                )
            if time.monotonic() >= deadline:
                raise ProviderUnavailable(failure_sentence(self.host, TimeoutError(), self._total_timeout_s))
            yield chunk

    def _redirected(self, url: str, location: str) -> str:
        target = urljoin(url, location)
        parts = urlsplit(target)
        if (parts.scheme, parts.hostname, parts.port) != (self._base.scheme, self._base.hostname, self._base.port):
            raise ProviderUnavailable(
                f"{self.host} redirects to {parts.hostname}, which is not followed since the token would go along;"
                " set the provider's address to the new host if it is right"
            )
        return target


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


def _no_netrc(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Stand where requests would else look for a password for this host in ~/.netrc."""
    return request
