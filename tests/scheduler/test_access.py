"""What a key may use is asked once, and decides what is asked afterwards."""

from datetime import timedelta

import pytest
from lowtide.config.schema import GridConfig
from lowtide.errors import SignalError
from lowtide.grid.client import IntensityClient
from lowtide.grid.factory import open_signal
from lowtide.grid.http import Credentials
from lowtide.grid.outlook import DataNeeds
from lowtide.timeutil import utc_now

from tests.support import electricity_maps
from tests.support.loopback import Loopback, json_answer, status

ZONE, BASE = "US-CAL-CISO", "/v3/carbon-intensity"
NOW = utc_now().replace(minute=0, second=0, microsecond=0)


@pytest.fixture
def server():
    with Loopback() as loopback:
        yield loopback


def opened(server: Loopback) -> IntensityClient:
    grid = GridConfig.model_validate({"zone": ZONE, "provider": "electricity_maps"})
    return open_signal(grid, access=Credentials(base_url=server.url, token="key"))


def zones(*access: str):
    return json_answer({"zones": {ZONE: {"zoneName": "California", "access": list(access)}}})


def asked(server: Loopback) -> list[str]:
    return [request.path.partition("?")[0].rpartition("/")[2] for request in server.seen]


def test_a_paid_key_is_asked_for_the_range_itself_and_for_its_access_once(server):
    server.route("/v3/zones*", zones("carbon-intensity/past-range", "carbon-intensity/forecast"))
    server.route(f"{BASE}/past-range*", json_answer(electricity_maps.past_range(NOW - timedelta(hours=2), 100, 200)))
    signal = opened(server)
    for _ in range(2):
        readings = signal.source.span(NOW - timedelta(hours=2), NOW)
        assert [reading.carbon_intensity_gco2eq_per_kwh for reading in readings] == [100, 200]
    assert asked(server) == ["zones", "past-range", "past-range"]


def test_a_free_key_is_not_asked_for_a_forecast_that_it_cannot_have(server):
    server.route("/v3/zones*", zones("carbon-intensity/latest", "carbon-intensity/history"))
    server.route(f"{BASE}/latest*", json_answer(electricity_maps.point(NOW)))
    outlook = opened(server).outlook(NOW, DataNeeds(forecast=True))
    assert outlook.forecast is None
    assert outlook.failed_checks == 0
    assert asked(server) == ["latest", "zones"]


def test_a_key_whose_access_is_unknown_gets_what_every_key_may_have(server):
    server.route("/v3/zones*", status(403))
    server.route(f"{BASE}/history*", json_answer(electricity_maps.history(NOW - timedelta(hours=1), 100)))
    assert len(opened(server).source.span(NOW - timedelta(hours=1), NOW)) == 1


def test_a_provider_that_hangs_up_is_a_signal_error(server):
    server.route("/v3/zones*", zones())
    server.route(f"{BASE}/history*", status(500))
    with pytest.raises(SignalError):
        opened(server).source.span(NOW - timedelta(hours=1), NOW)


def test_a_forecast_that_the_plan_does_not_hold_is_not_asked_for_at_every_check(server):
    server.route("/v3/zones*", zones("carbon-intensity/latest", "carbon-intensity/forecast"))
    server.route(f"{BASE}/latest*", json_answer(electricity_maps.point(NOW)))
    server.route(f"{BASE}/forecast*", status(403))
    signal = opened(server)
    for look in range(3):
        outlook = signal.outlook(NOW + timedelta(minutes=10 * look), DataNeeds(forecast=True))
        assert outlook.failed_checks == 0
        assert any("forecast" in step for step in outlook.steps)
    assert asked(server).count("forecast") == 1
