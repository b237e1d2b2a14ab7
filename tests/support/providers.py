"""Live providers behind the loopback server: routes that speak each one's shapes, and a signal that asks them."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from lowtide.config.schema import GridConfig
from lowtide.grid.client import IntensityClient
from lowtide.grid.factory import open_signal
from lowtide.grid.http import Credentials, Limits

from tests.support import electricity_maps, energy_charts, neso, watttime
from tests.support.loopback import Behaviour, Loopback, answer

QUICK = Limits(connect_timeout_s=0.3, read_timeout_s=0.3, total_timeout_s=0.6, retries=0, longest_sleep_s=0.0)
SECRET = "provider-secret"  # never to be seen in any text


@dataclass(frozen=True)
class Server:
    """How a provider's server answers for the present time, with values in gCO2eq/kWh."""

    provider: str
    zone: str
    path: str
    resolution: timedelta
    body: Callable[[datetime, list[float | None]], object]
    """An answer whose first interval begins at a time."""
    credentials: dict[str, str] = field(default_factory=dict)

    def start(self, time: datetime) -> datetime:
        """The beginning of the interval that a time lies in."""
        seconds = self.resolution.total_seconds()
        return datetime.fromtimestamp(time.timestamp() // seconds * seconds, time.tzinfo)

    def answering(self, time: datetime, *values: float | None) -> Behaviour:
        return answer(self.bytes(time, *values))

    def bytes(self, time: datetime, *values: float | None) -> bytes:
        return json.dumps(self.body(self.start(time), list(values))).encode()

    def route(self, server: Loopback, *behaviours: Behaviour) -> None:
        """Let the server answer; a login always succeeds."""
        server.route("/login", answer(json.dumps({"token": watttime.TOKEN}).encode()))
        server.route(self.path, *behaviours)

    def signal(self, url: str) -> IntensityClient:
        grid = GridConfig.model_validate({"zone": self.zone, "provider": self.provider})
        access = Credentials(base_url=url, place="the test's connection", **self.credentials)
        return open_signal(grid, access=access, limits=QUICK)


SERVERS = {
    "neso": Server(
        "neso",
        "GB",
        "/intensity",
        neso.HALF_HOUR,
        lambda start, values: {
            "data": [neso.slot(start + i * neso.HALF_HOUR, forecast=v) for i, v in enumerate(values)]
        },
    ),
    "energy_charts": Server("energy_charts", "DE", "/co2eq", energy_charts.QUARTER, energy_charts.columns),
    "electricity_maps": Server(
        "electricity_maps",
        "US-CAL-CISO",
        "/v3/carbon-intensity/latest",
        electricity_maps.HOUR,
        lambda start, values: electricity_maps.point(start, values[0]) if values else {},
        {"token": SECRET},
    ),
    "watttime": Server(
        "watttime",
        "US-CAL-CISO",
        "/v3/forecast",
        watttime.FIVE_MINUTES,
        lambda start, values: watttime.forecast(start, *[None if v is None else v / 0.45359237 for v in values]),
        {"login": "me", "token": SECRET},
    ),
}
