"""The fault table: what a provider's server does -> what the user sees -> what is decided. Real HTTP on loopback."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from lowtide.grid.outlook import DataNeeds
from lowtide.records import IntensityKind
from lowtide.scheduler.decision import decide
from lowtide.scheduler.types import Action, Reason

from tests.support import energy_charts, loopback, watttime
from tests.support.grid import HOUR, job
from tests.support.loopback import Behaviour, Loopback, answer, json_answer, status
from tests.support.providers import SECRET, SERVERS, Server

NOW = datetime(2026, 3, 2, 22, 7, tzinfo=UTC)
IN_A_WHILE = format_datetime(datetime.now(UTC) + timedelta(minutes=55), usegmt=True)
"""Still to come when a long run of all tests gets here."""


@dataclass(frozen=True)
class Fault:
    """``seen`` is a piece of the sentence that the user reads; ``behave`` makes the server misbehave."""

    seen: str
    behave: Callable[[Server], Behaviour]


def always(behaviour: Behaviour) -> Callable[[Server], Behaviour]:
    return lambda server: behaviour


def skewed(hours: int) -> Callable[[Server], Behaviour]:
    """The server's clock, or ours, is wrong by hours."""
    return lambda server: server.answering(NOW + hours * HOUR, 90)


FORBIDDEN_HTML = answer(b"<html><body>403 Forbidden</body></html>", code=403, content_type="text/html")
FAULTS = {
    "400": Fault("status 400", always(json_answer({"error": {"code": "400 Bad Request", "message": "x"}}, code=400))),
    "400 plain text": Fault(
        "status 400", always(answer(energy_charts.UNKNOWN_COUNTRY, code=400, content_type="text/plain"))
    ),
    "401": Fault("the test's connection", always(json_answer({"error": "Invalid auth-token"}, code=401))),
    "403 JSON": Fault("status 403", always(json_answer(watttime.REFUSED_SCOPE, code=403))),
    "403 HTML": Fault("status 403", always(FORBIDDEN_HTML)),
    "404": Fault("status 404", always(status(404))),
    "429, seconds": Fault("asks to wait 600 s", always(status(429, retry_after="600"))),
    "429, date": Fault("status 429 (it asks to wait", always(status(429, retry_after=IN_A_WHILE))),
    "500": Fault("status 500", always(status(500, body=b'{"error":{"code":"500 Internal Server Error"}}'))),
    "503": Fault("status 503", always(status(503))),
    "slow drip": Fault("within 0.6 s", always(loopback.slow_body(b" " * 99, pause_s=0.05))),
    "silent": Fault("timed out", always(loopback.silent(1.0))),
    "reset": Fault("broke off", always(loopback.reset())),
    "cut-off body": Fault("broke off", lambda server: loopback.cut_off_body(server.bytes(NOW, 90) * 2, after=30)),
    "HTML with 200": Fault("not JSON", always(loopback.html_with_200())),
    "empty body": Fault("not JSON", always(answer(b""))),
    "empty list": Fault("answered with", always(answer(b"[]"))),
    "empty data": Fault("answered", always(json_answer({"data": []}))),
    "empty object": Fault("answered", always(answer(b"{}"))),
    "huge body": Fault("more than 5 MiB", always(loopback.huge_body(6 * 1024 * 1024))),
    "redirect to another host": Fault("redirects to", always(loopback.redirect("http://127.0.0.1:9/steal"))),
    "clock 3 h slow": Fault("which is stale", skewed(-3)),
    "clock 3 h fast": Fault("dated in the future", skewed(3)),
    "null": Fault("without a single value", lambda server: server.answering(NOW, None)),
    "zero": Fault("only zeros", lambda server: server.answering(NOW, 0)),
    "negative": Fault("lies from 0 to", lambda server: server.answering(NOW, -5)),
    "absurd": Fault("lies from 0 to", lambda server: server.answering(NOW, 1e6)),
    "not finite": Fault("lies from 0 to", lambda server: server.answering(NOW, float("nan"))),
}
"""What is decided does not depend on the fault: first the job waits, then it goes by ``DECIDED``."""
DECIDED = {
    "neso": (Action.WAIT, Reason.FORECAST_MINIMUM),  # direct factors: the profile only orders the hours
    "energy_charts": (Action.WAIT, Reason.ABOVE_THRESHOLD),  # lifecycle like the profile, which is above it
    "electricity_maps": (Action.WAIT, Reason.ABOVE_THRESHOLD),
    "watttime": (Action.RUN, Reason.FORECAST_MINIMUM),  # marginal: ordered only, and 14 h is California's cleanest
}
"""After as many failed checks as the budget allows."""
EVERY_PROVIDER = pytest.mark.parametrize("provider", SERVERS.values(), ids=SERVERS.keys())


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback() as running:
        yield running


@EVERY_PROVIDER
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_is_reported_in_one_sentence_and_the_job_waits_then_follows_the_order_of_hours(
    server: Loopback, provider: Server, fault: Fault
) -> None:
    provider.route(server, fault.behave(provider))
    signal = provider.signal(server.url)
    first = signal.outlook(NOW)
    told = first.steps[0]
    assert (first.failed_checks, told.split(":")[0]) == (1, provider.provider)
    assert fault.seen in told
    assert "\n" not in told
    assert len(told) < 320
    assert not any(secret in step for step in first.steps for secret in (SECRET, watttime.TOKEN))
    assert first.reading is not None
    assert first.reading.kind is IntensityKind.MODELLED  # never the server's figure, never a zero
    waiting = decide(job(zone=provider.zone, failure_budget=2), NOW, first)
    assert (waiting.action, waiting.reason) == (Action.WAIT, Reason.SIGNAL_UNAVAILABLE)
    second = decide(job(zone=provider.zone, failure_budget=2), NOW, signal.outlook(NOW))
    assert (second.action, second.reason) == DECIDED[provider.provider]


@EVERY_PROVIDER
def test_a_connection_that_is_refused_is_reported(provider: Server) -> None:
    outlook = provider.signal(loopback.refusing_url()).outlook(NOW)
    assert "cannot be reached" in outlook.steps[0]
    assert outlook.failed_checks == 1


@EVERY_PROVIDER
def test_a_connection_that_is_never_accepted_ends_in_time(provider: Server) -> None:
    with loopback.full_backlog() as url:
        outlook = provider.signal(url).outlook(NOW)
    assert "did not accept a connection in time" in outlook.steps[0] or "within 0.6 s" in outlook.steps[0]


@EVERY_PROVIDER
@pytest.mark.parametrize("content_type", ["text/plain", "text/html", "application/octet-stream"])
def test_a_good_answer_with_a_wrong_content_type_is_taken_by_what_it_says(
    server: Loopback, provider: Server, content_type: str
) -> None:
    provider.route(server, answer(provider.bytes(NOW, 90), content_type=content_type))
    outlook = provider.signal(server.url).outlook(NOW)
    assert outlook.reading is not None
    assert outlook.failed_checks == 0
    assert outlook.reading.carbon_intensity_gco2eq_per_kwh == pytest.approx(90.0)
    assert outlook.reading.source == provider.provider


@EVERY_PROVIDER
def test_a_good_answer_below_the_threshold_starts_the_job(server: Loopback, provider: Server) -> None:
    provider.route(server, provider.answering(NOW, 90))
    decision = decide(job(zone=provider.zone), NOW, provider.signal(server.url).outlook(NOW))
    assert (decision.action, decision.reason) == (Action.RUN, Reason.BELOW_THRESHOLD)


@EVERY_PROVIDER
def test_the_last_good_reading_is_the_fallback_for_a_fault_within_its_age_limit(
    server: Loopback, provider: Server
) -> None:
    provider.route(server, provider.answering(NOW, 90), status(503))
    signal = provider.signal(server.url)
    signal.outlook(NOW)
    outlook = signal.outlook(NOW + timedelta(minutes=5))
    assert outlook.reading is not None
    assert (outlook.reading.kind, outlook.failed_checks) == (IntensityKind.CACHED, 1)
    assert outlook.reading.carbon_intensity_gco2eq_per_kwh == pytest.approx(90.0)


@EVERY_PROVIDER
def test_a_redirect_takes_no_credentials_to_another_host(server: Loopback, provider: Server) -> None:
    with Loopback() as other:
        provider.route(server, loopback.redirect(f"{other.url}/steal"))
        provider.signal(server.url).outlook(NOW)
        assert other.seen == []


@EVERY_PROVIDER
def test_only_the_provider_s_own_way_carries_the_credentials(server: Loopback, provider: Server) -> None:
    provider.route(server, provider.answering(NOW, 90))
    provider.signal(server.url).outlook(NOW)
    sent = next(seen for seen in server.seen if seen.path == provider.path)
    expected = {"electricity_maps": ("auth-token", SECRET), "watttime": ("authorization", f"Bearer {watttime.TOKEN}")}
    name, value = expected.get(provider.provider, ("authorization", None))
    assert sent.headers.get(name) == value
    assert SECRET not in sent.query
    assert watttime.TOKEN not in sent.query


@pytest.mark.parametrize(("provider", "zone"), [("neso", "GB"), ("energy_charts", "DE")])
@pytest.mark.parametrize("change", [datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2026, 10, 25, 1, tzinfo=UTC)])
def test_the_hour_in_which_the_clocks_change_is_found(
    server: Loopback, provider: str, zone: str, change: datetime
) -> None:
    speaker = SERVERS[provider]
    for minutes in (-10, 0, 10):
        time = change + timedelta(minutes=minutes)
        speaker.route(server, speaker.answering(time, 100 + minutes))
        outlook = speaker.signal(server.url).outlook(time)
        assert outlook.reading is not None
        assert outlook.reading.covers(time)
        assert outlook.reading.carbon_intensity_gco2eq_per_kwh == 100 + minutes


def test_watttimes_outage_of_zeros_starts_nothing(server: Loopback) -> None:
    speaker = SERVERS["watttime"]
    speaker.route(server, json_answer(watttime.outage_of_zeros(speaker.start(NOW))))
    outlook = speaker.signal(server.url).outlook(NOW)
    assert "only zeros" in outlook.steps[0]
    assert decide(job(zone="US-CAL-CISO"), NOW, outlook).action is Action.WAIT


def test_energy_charts_trailing_nulls_end_the_forecast_and_nothing_else(server: Loopback) -> None:
    speaker = SERVERS["energy_charts"]
    start = speaker.start(NOW) - 6 * HOUR
    server.route("/co2eq", json_answer(energy_charts.day_with_trailing_nulls(start)))
    outlook = speaker.signal(server.url).outlook(NOW, DataNeeds(forecast=True))
    assert outlook.forecast is not None
    assert outlook.forecast.horizon == start + 9 * HOUR
    assert len(server.seen) == 1  # one answer holds both
    assert json.dumps([r.as_json() for r in outlook.forecast.readings]).count("forecast") == 12
