"""The signal: fallback step by step against a real server, and valuation without a network."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from lowtide.config.schema import GridConfig
from lowtide.config.zones import find_zone
from lowtide.errors import ConfigurationError
from lowtide.grid.client import IntensityClient, ProviderClient
from lowtide.grid.factory import open_signal
from lowtide.grid.http import Credentials, Limits, Transport
from lowtide.grid.providers.neso import NesoProvider
from lowtide.records import EmissionFactorType, IntensityKind
from lowtide.scheduler.decision import decide
from lowtide.scheduler.types import Action, Reason

from tests.support import loopback
from tests.support.grid import HOUR, job
from tests.support.loopback import Behaviour, Loopback, json_answer, status
from tests.support.neso import HALF_HOUR, slot, slots

NOW = datetime(2026, 3, 2, 22, 10, tzinfo=UTC)
SLOT = datetime(2026, 3, 2, 22, 0, tzinfo=UTC)


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback() as running:
        yield running


def grid(**values: object) -> GridConfig:
    return GridConfig.model_validate({"zone": "GB", "provider": "neso", "threshold_gco2eq_per_kwh": 120.0} | values)


def quick_signal(url: str) -> IntensityClient:
    """Like ``open_signal``, with timeouts that a test can wait for."""
    transport = Transport(url, limits=Limits(retries=0, read_timeout_s=0.3, total_timeout_s=0.5))
    return IntensityClient(
        find_zone("GB"), ProviderClient(provider=NesoProvider(), transport=transport, zone=find_zone("GB"))
    )


def test_an_answer_is_the_outlook(server: Loopback) -> None:
    server.route("/intensity", json_answer({"data": [slot(SLOT, forecast=90)]}))
    signal = open_signal(grid(), access=Credentials(base_url=server.url))
    outlook = signal.outlook(NOW)
    assert outlook.reading is not None
    assert (outlook.reading.carbon_intensity_gco2eq_per_kwh, outlook.reading.kind) == (90.0, IntensityKind.FORECAST)
    assert (outlook.failed_checks, outlook.threshold_comparable, len(outlook.steps)) == (0, True, 1)
    assert signal.provider.emission_factor_type is EmissionFactorType.DIRECT
    assert len(outlook.shape) >= 48


FAULTS: dict[str, Behaviour] = {
    "400": status(400),
    "401": status(401),
    "403": loopback.answer(b"<html>forbidden</html>", code=403, content_type="text/html"),
    "404": status(404),
    "429": status(429, retry_after="600"),
    "500": status(500, body=b'{"error":{"code":"500 Internal Server Error","message":"x"}}'),
    "503": status(503),
    "HTML with 200": loopback.html_with_200(),
    "error with 200": json_answer({"error": {"code": "400", "message": "x"}}),
    "empty list": json_answer({"data": []}),
    "empty object": json_answer({}),
    "cut off": loopback.cut_off_body(b'{"data": []}' * 9, after=5),
    "slow drip": loopback.slow_body(b" " * 99, pause_s=0.05),
    "silent": loopback.silent(1.0),
    "reset": loopback.reset(),
    "huge": loopback.huge_body(6 * 1024 * 1024),
    "elsewhere": loopback.redirect("http://127.0.0.1:9/"),
    "stale": json_answer({"data": [slot(SLOT - 3 * HOUR)]}),
    "from the future": json_answer({"data": [slot(SLOT + 3 * HOUR)]}),
    "zero": json_answer({"data": [slot(SLOT, forecast=0)]}),
    "negative": json_answer({"data": [slot(SLOT, forecast=-1)]}),
    "null": json_answer({"data": [slot(SLOT, forecast=None)]}),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_whatever_the_provider_does_the_job_waits_then_follows_the_order_of_hours(
    server: Loopback, fault: Behaviour
) -> None:
    server.route("/intensity", fault)
    signal = quick_signal(server.url)
    first = signal.outlook(NOW)
    assert (first.failed_checks, first.threshold_comparable) == (1, False)
    assert first.reading is not None
    assert (first.reading.kind, first.reading.source) == (IntensityKind.MODELLED, "profile:2023")
    assert [step.split(":")[0] for step in first.steps] == ["neso", "last good reading", "history", "profile"]
    waiting = decide(job(failure_budget=2), NOW, first)
    assert (waiting.action, waiting.reason) == (Action.WAIT, Reason.SIGNAL_UNAVAILABLE)
    ordered = decide(job(failure_budget=2), NOW, signal.outlook(NOW))
    assert ordered.reason is Reason.FORECAST_MINIMUM
    assert ordered.steps[0].endswith("(failed check 2 in a row)")


def test_the_last_good_reading_is_the_fallback_until_its_age_limit(server: Loopback) -> None:
    server.route("/intensity", json_answer(slots(SLOT, 90)), status(503))
    signal = quick_signal(server.url)
    signal.outlook(NOW)
    at_limit, beyond = SLOT + HALF_HOUR + timedelta(hours=2), SLOT + HALF_HOUR + timedelta(hours=2, seconds=1)
    cached = signal.outlook(at_limit)
    assert cached.reading is not None
    assert (cached.reading.kind, cached.reading.carbon_intensity_gco2eq_per_kwh) == (IntensityKind.CACHED, 90.0)
    assert (cached.threshold_comparable, cached.failed_checks) == (True, 1)
    old = signal.outlook(beyond)
    assert old.reading is not None
    assert (old.reading.kind, old.threshold_comparable) == (IntensityKind.MODELLED, False)
    assert "older than the limit" in old.steps[1]


def test_an_answer_ends_the_row_of_failures(server: Loopback) -> None:
    server.route("/intensity", status(503), status(503), json_answer(slots(SLOT, 90)), status(503))
    signal = quick_signal(server.url)
    assert [signal.outlook(NOW).failed_checks for _ in range(4)] == [1, 2, 0, 1]


def test_the_slot_before_is_taken_just_after_the_half_hour(server: Loopback) -> None:
    server.route("/intensity", json_answer(slots(SLOT, 90)))
    assert quick_signal(server.url).outlook(SLOT + HALF_HOUR + timedelta(minutes=2)).failed_checks == 0


def test_a_span_is_asked_for_once_and_its_gaps_keep_their_own_kind(server: Loopback) -> None:
    some = {"data": [slot(SLOT - HALF_HOUR, actual=70), slot(SLOT, actual=80), slot(SLOT + HOUR, forecast=90)]}
    server.route("/intensity/*", json_answer(some))
    readings = quick_signal(server.url).readings(SLOT, SLOT + 1.5 * HOUR)
    assert [(r.kind.value, r.source) for r in readings] == [
        ("estimated", "neso"),
        ("modelled", "profile:2023"),
        ("forecast", "neso"),
    ]
    assert [seen.path for seen in server.seen] == ["/intensity/2026-03-02T22:00Z/2026-03-02T23:30Z"]


def test_a_long_span_is_asked_for_in_pieces_that_the_provider_takes(server: Loopback) -> None:
    server.route("/intensity/*", json_answer(slots(SLOT, 80)))
    quick_signal(server.url).readings(SLOT, SLOT + timedelta(days=20))
    assert [seen.path for seen in server.seen] == [
        "/intensity/2026-03-02T22:00Z/2026-03-16T22:00Z",
        "/intensity/2026-03-16T22:00Z/2026-03-22T22:00Z",
    ]


def test_readings_without_a_network_still_cover_the_span() -> None:
    readings = quick_signal(loopback.refusing_url()).readings(NOW, NOW + 3 * HOUR)
    assert sum((r.end - r.start for r in readings), timedelta(0)) == 3 * HOUR
    assert {r.source for r in readings} == {"profile:2023"}


def test_available_uses_the_slot_then_the_cached_reading_then_the_profile_and_sends_no_request(
    server: Loopback,
) -> None:
    server.route("/intensity", json_answer(slots(SLOT, 90)))
    signal = quick_signal(server.url)
    signal.outlook(NOW)
    asked = len(server.seen)
    pieces = signal.available(SLOT - HALF_HOUR, SLOT + 4 * HOUR)
    spans: dict[str, timedelta] = {}
    for piece in pieces:
        spans[piece.kind.value] = spans.get(piece.kind.value, timedelta(0)) + (piece.end - piece.start)
    assert spans == {"estimated": HALF_HOUR, "cached": 2 * HOUR, "modelled": 2 * HOUR}
    assert pieces[0].source == "profile:2023"  # before the first look nothing was known
    assert len(server.seen) == asked


def test_booking_in_a_zone_without_a_profile_rests_on_the_country_s_mean() -> None:
    signal = open_signal(grid(zone="FR", provider="profile"))
    (only,) = signal.available(NOW, NOW + timedelta(seconds=5))
    assert (only.source, only.kind) == ("country_mean", IntensityKind.MODELLED)
    assert decide(job(zone="FR"), NOW, signal.outlook(NOW)).reason is Reason.SIGNAL_UNAVAILABLE


def test_the_profile_as_provider_is_compared_with_the_threshold_as_modelled() -> None:
    outlook = open_signal(grid(provider="profile")).outlook(NOW)
    assert outlook.reading is not None
    assert (outlook.reading.kind, outlook.failed_checks, outlook.threshold_comparable) == (
        IntensityKind.MODELLED,
        0,
        True,
    )


def test_available_while_another_thread_checks_never_leaves_a_gap(server: Loopback) -> None:
    server.route("/intensity", json_answer(slots(SLOT, 90)), status(503), json_answer(slots(SLOT, 95)))
    signal = quick_signal(server.url)
    looking = threading.Thread(target=lambda: [signal.outlook(NOW) for _ in range(30)])
    looking.start()
    bookings = 0
    while looking.is_alive() or bookings == 0:
        pieces = signal.available(SLOT, SLOT + 3 * HOUR)
        assert sum((piece.end - piece.start for piece in pieces), timedelta(0)) == 3 * HOUR
        bookings += 1
    looking.join()


def test_an_address_that_cannot_be_used_is_reported_when_the_signal_is_opened() -> None:
    with pytest.raises(ConfigurationError, match="cannot be used"):
        open_signal(grid(), access=Credentials(base_url="carbon.example"))


def test_why_a_span_had_to_be_filled_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    quick_signal(loopback.refusing_url()).readings(NOW, NOW + HOUR)
    assert "2026-03-02T22:10:00Z to 2026-03-02T23:10:00Z, which are filled: 127.0.0.1" in caplog.text
