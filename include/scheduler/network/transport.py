"""The one way to the network: a blocking, bounded GET. Every failure is one sentence, never a token or a query.

``requests`` is imported by the first GET and not with this file: Airflow imports it whenever it parses a DAG.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypedDict, Unpack
from urllib.parse import SplitResult, urlsplit

from include.errors import ConfigurationError
from include.scheduler.providers.base import Request

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
        from include.scheduler.network.exchange import exchange  # noqa: PLC0415 requests: see the head of this file

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
