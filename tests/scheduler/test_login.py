"""Login and token of a provider that has both, against a real server: renewed when old and when refused, never shown."""

import base64
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler

import pytest
from lowtide.config.schema import GridConfig
from lowtide.errors import ConfigurationError, ProviderUnavailable
from lowtide.grid.factory import open_signal
from lowtide.grid.http import Credentials, Limits, Request
from lowtide.grid.providers import watttime
from lowtide.grid.providers.watttime import LoginTransport

from tests.support.loopback import Loopback, answer, json_answer, redirect, status

ASK = Request(path="/v3/forecast")
ACCESS = Credentials(login="me", token="pass-secret", place="connection grid")


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback() as running:
        running.route("/login", *(json_answer({"token": f"token-secret-{n}"}) for n in range(1, 9)))
        running.route("/v3/forecast", answer(b"[]"))
        yield running


class Watch:
    s = 0.0

    def __call__(self) -> float:
        return self.s


def line(server: Loopback) -> LoginTransport:
    return LoginTransport(server.url, ACCESS, limits=Limits(retries=0))


def tokens(server: Loopback) -> list[str]:
    return [seen.headers["authorization"][-1] for seen in server.seen if seen.path == "/v3/forecast"]


def logins(server: Loopback) -> int:
    return sum(seen.path == "/login" for seen in server.seen)


def test_one_login_serves_many_requests_and_the_password_goes_to_the_login_only(server: Loopback) -> None:
    asked = line(server)
    assert [asked.get(ASK) for _ in range(3)] == [b"[]"] * 3
    assert tokens(server) == ["1", "1", "1"]
    basic = base64.b64encode(b"me:pass-secret").decode()
    assert [seen.headers["authorization"] for seen in server.seen if basic in seen.headers["authorization"]] == [
        f"Basic {basic}"
    ]
    assert logins(server) == 1


def test_a_token_is_renewed_before_its_30_minutes_are_over(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = Watch()
    monkeypatch.setattr(watttime, "monotonic", watch)
    asked = line(server)
    for minute in (0, 20, 25, 45):
        watch.s = 60.0 * minute
        asked.get(ASK)
    assert tokens(server) == ["1", "1", "2", "2"]


def test_a_refused_token_is_renewed_once_and_a_second_refusal_is_reported_with_the_place_to_fix_it(
    server: Loopback,
) -> None:
    server.route("/v3/forecast", status(401), answer(b"[1]"), status(401))
    asked = line(server)
    assert asked.get(ASK) == b"[1]"
    assert tokens(server) == ["1", "2"]
    with pytest.raises(ProviderUnavailable, match="connection grid") as caught:
        asked.get(ASK)
    assert caught.value.status == 401
    assert logins(server) == 3


def test_a_wrong_password_is_reported_without_showing_it(server: Loopback) -> None:
    server.route("/login", status(403))
    with pytest.raises(ProviderUnavailable, match="check the token or password") as caught:
        line(server).get(ASK)
    assert "secret" not in f"{caught.value}{caught.value.__context__}"
    assert tokens(server) == []


def test_the_password_does_not_follow_a_redirect_of_the_login(server: Loopback) -> None:
    with Loopback() as other:
        server.route("/login", redirect(f"{other.url}/steal"))
        with pytest.raises(ProviderUnavailable, match="redirects"):
            line(server).get(ASK)
        assert other.seen == []


def test_threads_that_find_the_token_old_log_in_once(server: Loopback) -> None:
    asked = line(server)
    threads = [threading.Thread(target=asked.get, args=(ASK,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert logins(server) == 1


@pytest.mark.parametrize("access", [Credentials(), Credentials(token="x"), Credentials(login="me")])
def test_without_login_and_password_the_sentence_names_connection_and_variables(access: Credentials) -> None:
    grid = GridConfig.model_validate({"zone": "US-CAL-CISO", "provider": "watttime"})
    with pytest.raises(ConfigurationError, match=r"grid\.connection.*LOWTIDE_GRID_LOGIN"):
        open_signal(grid, access=access)


def test_a_whole_check_through_the_login_is_marginal_and_in_grams(server: Loopback) -> None:
    now = datetime(2026, 1, 15, 12, 2, tzinfo=UTC)

    def forecast(handler: BaseHTTPRequestHandler) -> None:
        values = [{"point_time": f"2026-01-15T12:{minute:02}:00+00:00", "value": 1000.0} for minute in (0, 5, 10)]
        meta = {
            "data_point_period_seconds": 300,
            "region": "CAISO_NORTH",
            "warnings": [],
            "signal_type": "co2_moer",
            "units": "lbs_co2_per_mwh",
            "generated_at": "2026-01-15T12:00:00+00:00",
        }
        json_answer({"data": values, "meta": meta})(handler)

    server.route("/v3/forecast", forecast)
    grid = GridConfig.model_validate({"zone": "US-CAL-CISO", "provider": "watttime", "region": "CAISO_NORTH"})
    outlook = open_signal(grid, access=Credentials(base_url=server.url, login="me", token="pass-secret")).outlook(now)
    assert outlook.reading is not None, outlook.steps
    assert outlook.reading.carbon_intensity_gco2eq_per_kwh == pytest.approx(453.59237)
    assert outlook.reading.signal_type.value == "marginal"


@pytest.mark.parametrize("text", [repr(ACCESS), repr(Credentials(base_url="https://me:url-secret@host/"))])
def test_what_holds_a_secret_does_not_show_it(text: str) -> None:
    assert "secret" not in text
