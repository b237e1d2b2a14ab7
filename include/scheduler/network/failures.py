"""What went wrong on the network, in one sentence with the host and a remedy. Library texts carry addresses with queries."""

import ssl

import requests
from urllib3.exceptions import (
    ConnectTimeoutError,
    MaxRetryError,
    NewConnectionError,
    ProtocolError,
    ProxyError,
    ReadTimeoutError,
    SSLError,
)
from urllib3.exceptions import (
    TimeoutError as PoolTimeoutError,
)

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
