"""The transport against a real server that misbehaves: bounded in time and size, silent about secrets."""

import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from lowtide.errors import ConfigurationError, ProviderUnavailable
from lowtide.grid.http import Credentials, Limits, Request, Transport

from tests.support import loopback
from tests.support.loopback import Loopback, answer, redirect, status

ASK = Request(path="/intensity", params={"zone": "GB", "key": "query-secret"})
TOKEN = "token-secret"


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback() as running:
        yield running


def transport(url: str, *, retries: int = 0, total_timeout_s: float = 5.0, read_timeout_s: float = 1.0) -> Transport:
    limits = Limits(
        retries=retries, total_timeout_s=total_timeout_s, read_timeout_s=read_timeout_s, connect_timeout_s=1.0
    )
    return Transport(url, Credentials(token=TOKEN), limits=limits)


def failure(client: Transport, request: Request = ASK) -> ProviderUnavailable:
    """The failure, with nothing secret in it nor in what a traceback would print behind it."""
    with pytest.raises(ProviderUnavailable) as caught:
        client.get(request)
    error = caught.value
    assert "secret" not in str(error)
    assert error.__cause__ is None
    assert error.__context__ is None or "secret" not in str(error.__context__)
    assert "\n" not in str(error)
    return error


def test_a_good_answer_comes_with_query_agent_and_token(server: Loopback) -> None:
    server.route("/intensity", answer(b"[]"))
    assert transport(server.url).get(ASK) == b"[]"
    (seen,) = server.seen
    assert seen.query == "zone=GB&key=query-secret"
    assert seen.headers["user-agent"].startswith("lowtide/")
    assert seen.headers["authorization"] == f"Bearer {TOKEN}"


def test_a_token_can_go_bare_in_a_header_of_the_provider_s_own(server: Loopback) -> None:
    server.route("/intensity", answer(b"[]"))
    Transport(server.url + "/", Credentials(token=TOKEN), token_header="auth-token").get(ASK)
    assert server.seen[0].headers["auth-token"] == TOKEN
    assert "authorization" not in server.seen[0].headers


def test_no_password_is_taken_from_netrc(server: Loopback, tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = f"{tmp_path}/netrc"
    with open(netrc, "w") as file:  # noqa: PTH123
        file.write("machine 127.0.0.1 login me password netrc-secret\n")
    monkeypatch.setenv("NETRC", netrc)
    server.route("/intensity", answer(b"[]"))
    Transport(server.url).get(ASK)
    assert "authorization" not in server.seen[0].headers


def test_a_passing_failure_is_tried_again(server: Loopback) -> None:
    server.route("/intensity", status(503), status(500), answer(b"[1]"))
    assert transport(server.url, retries=3).get(ASK) == b"[1]"
    assert len(server.seen) == 3


def test_no_log_line_shows_a_query_or_a_token(server: Loopback, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    server.route("/intensity", loopback.silent(0.4), status(503), answer(b"[1]"))
    assert transport(server.url, retries=3, read_timeout_s=0.2).get(ASK) == b"[1]"
    assert "Retrying" in caplog.text
    assert "/intensity" in caplog.text
    assert "secret" not in caplog.text


def test_a_lasting_failure_ends_after_the_retries_with_its_status(server: Loopback) -> None:
    server.route("/intensity", status(503))
    assert "status 503" in str(failure(transport(server.url, retries=1)))
    assert len(server.seen) == 2


@pytest.mark.parametrize(("code", "remedy"), [(401, "token"), (403, "plan"), (404, "zone"), (400, "address")])
def test_what_another_try_cannot_fix_is_asked_once(server: Loopback, code: int, remedy: str) -> None:
    server.route("/intensity", status(code, body=b"<h1>token-secret</h1>"))
    error = failure(transport(server.url, retries=3))
    assert f"status {code}" in str(error)
    assert remedy in str(error)
    assert len(server.seen) == 1


def test_a_short_retry_after_is_slept(server: Loopback) -> None:
    server.route("/intensity", status(429, retry_after="1"), answer(b"[1]"))
    began = time.monotonic()
    assert transport(server.url, retries=1).get(ASK) == b"[1]"
    assert 1.0 <= time.monotonic() - began < 5.0


@pytest.mark.parametrize("asked", ["0", "Thu, 01 Jan 2026 00:00:00 GMT"])
def test_a_retry_after_of_nothing_or_of_the_past_is_no_leave_to_hammer(server: Loopback, asked: str) -> None:
    server.route("/intensity", status(503, retry_after=asked), status(503, retry_after=asked), answer(b"[1]"))
    began = time.monotonic()
    assert transport(server.url, retries=2).get(ASK) == b"[1]"
    assert time.monotonic() - began >= 0.25 + 0.5, "an exponential back-off from a quarter of a second"


def test_a_long_retry_after_is_handed_to_the_caller_in_both_forms(server: Loopback) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=600), usegmt=True)
    server.route("/intensity", status(429, retry_after="600"), status(503, retry_after=date))
    began = time.monotonic()
    first, second = (failure(transport(server.url, retries=3)) for _ in range(2))
    assert time.monotonic() - began < 4.0
    assert first.retry_after_s == 600.0
    assert second.retry_after_s == pytest.approx(600.0, abs=5.0)
    assert len(server.seen) == 2


def test_a_retry_after_that_is_nonsense_is_no_crash(server: Loopback) -> None:
    server.route("/intensity", status(429, retry_after="soon"))
    assert failure(transport(server.url)).retry_after_s is None


@pytest.mark.parametrize(
    "behaviour",
    [
        loopback.slow_body(b" " * 500, pause_s=0.05),
        loopback.slow_head(pause_s=0.05),
        loopback.silent(3.0),
    ],
    ids=["slow body", "slow head", "silent"],
)
def test_whatever_drips_the_total_time_is_bounded(server: Loopback, behaviour: loopback.Behaviour) -> None:
    server.route("/intensity", behaviour)
    began = time.monotonic()
    error = failure(transport(server.url, retries=3, total_timeout_s=0.8, read_timeout_s=0.6))
    assert time.monotonic() - began < 4.0
    assert "within 0.8 s" in str(error) or "timed out" in str(error)


def test_a_body_cut_off_is_no_answer(server: Loopback) -> None:
    server.route("/intensity", loopback.cut_off_body(b'{"data": []}' * 50, after=20))
    assert "broke off" in str(failure(transport(server.url)))


def test_a_reset_connection_is_no_answer(server: Loopback) -> None:
    server.route("/intensity", loopback.reset())
    assert "broke off" in str(failure(transport(server.url)))


def test_a_body_beyond_reason_is_not_read_to_its_end(server: Loopback) -> None:
    server.route("/intensity", loopback.huge_body(20 * 1024 * 1024))
    assert "more than 5 MiB" in str(failure(transport(server.url)))


def test_a_redirect_to_another_port_takes_no_token_along(server: Loopback) -> None:
    with Loopback() as other:
        server.route("/intensity", redirect(f"{other.url}/steal?key=query-secret".replace("//", "//me:url-secret@", 1)))
        assert f"redirects to {other.url}, which is not followed" in str(failure(transport(server.url)))
        assert other.seen == []


def test_a_redirect_on_the_same_address_is_not_followed_either(server: Loopback) -> None:
    server.route("/intensity", redirect("/v2/intensity"))
    assert f"redirects to {server.url}, which is not followed" in str(failure(transport(server.url)))
    assert len(server.seen) == 1


def test_a_refused_connection_is_reported_with_the_host() -> None:
    url = loopback.refusing_url()
    error = failure(transport(url))
    assert url.removeprefix("http://") in str(error)
    assert "cannot be reached" in str(error)


def test_plain_http_where_tls_is_expected_is_reported(server: Loopback) -> None:
    error = failure(transport(server.url.replace("http://", "https://")))
    assert "TLS" in str(error)


def test_a_proxy_of_the_environment_is_respected(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", server.url)
    server.route("*", answer(b"[3]"))  # a proxy is asked for the whole address
    assert transport("http://grid.invalid").get(ASK) == b"[3]"
    assert server.seen[0].headers["host"] == "grid.invalid"


@pytest.mark.parametrize(
    "url", ["", "ftp://host", "https://", "host:80", "http://me:token-secret@host:port", "http://[::1"]
)
def test_an_address_that_cannot_be_used_is_a_configuration_error(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Transport(url)
    assert "secret" not in str(caught.value)


def test_a_password_in_the_address_is_not_shown() -> None:
    refused = loopback.refusing_url().replace("http://", "http://me:url-secret@")
    assert "127.0.0.1" in str(failure(transport(refused)))
