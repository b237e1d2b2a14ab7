"""Electricity Maps, API v3: the whole zone table, with a key. The free plan has one zone, its latest hour and 24 h of history.

Rules beside those in docs/providers.md:

- ``disableCallerLookup=true`` goes with every request: without it an unknown zone is answered for the caller's own place.
- the zone and the factor type that the answer names must be those that were asked for.
- ``carbonIntensity: null`` is a gap, never 0. ``isEstimated: false`` is ``measured``, anything else ``estimated``.
- an interval lasts as long as ``temporalGranularity`` says, an hour where it says nothing; days and longer are refused.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final

from lowtide.config.zones import Zone
from lowtide.errors import InvalidAnswer
from lowtide.grid.http import Request
from lowtide.grid.providers.base import (
    SHOWN,
    HttpProvider,
    as_forecast,
    as_list,
    as_mapping,
    as_number,
    as_time,
    checked,
    decode_json,
    refuse_wrong_zone,
)
from lowtide.records import EmissionFactorType, Forecast, IntensityKind, Reading, SignalType
from lowtide.timeutil import as_utc

_GRANULARITIES: Final = {
    "5_minutes": timedelta(minutes=5),
    "15_minutes": timedelta(minutes=15),
    "hourly": timedelta(hours=1),
}
_ABSURD_GCO2EQ_PER_KWH: Final = 2_000.0
"""Beyond lignite's lifecycle factor with a wide margin."""
_SERIES: Final = ("history", "data", "forecast")


class ElectricityMapsProvider(HttpProvider):
    """Consumption-based average intensity; lifecycle factors unless direct ones are asked for."""

    name: ClassVar[str] = "electricity_maps"
    signal_type: SignalType = SignalType.AVERAGE
    emission_factor_type: EmissionFactorType = EmissionFactorType.LIFECYCLE
    gives_both_factor_types: ClassVar[bool] = True
    base_url: ClassVar[str | None] = "https://api.electricitymaps.com"
    token_header: ClassVar[str | None] = "auth-token"  # noqa: S105 the header's name
    needs_key: ClassVar[bool] = True
    max_age: ClassVar[timedelta] = timedelta(hours=3)
    resolution: ClassVar[timedelta] = timedelta(hours=1)
    max_range: ClassVar[timedelta] = timedelta(days=10)
    _granted: frozenset[str] | None = None

    @classmethod
    def covers(cls, zone: Zone) -> bool:
        """Return True: the keys of the zone table are theirs; what a token may use is another question."""
        del zone
        return True

    def current_request(self, zone: Zone, now: datetime) -> Request:
        """Return the request for the latest interval."""
        del now
        return self._request("latest", zone)

    def range_request(self, zone: Zone, start: datetime, end: datetime) -> Request:
        """Return the request for a span where the token may use it, else for the last 24 h, of which the caller clips."""
        if self._granted is None or "carbon-intensity/past-range" not in self._granted:
            return self._request("history", zone)
        span = {"start": f"{as_utc(start):%Y-%m-%dT%H:%M:%SZ}", "end": f"{as_utc(end):%Y-%m-%dT%H:%M:%SZ}"}
        return self._request("past-range", zone, span)

    def forecast_request(self, zone: Zone, now: datetime) -> Request | None:
        """Return the request for 48 h; None where the token is known not to have it."""
        del now
        if self._granted is not None and "carbon-intensity/forecast" not in self._granted:
            return None
        return self._request("forecast", zone, {"horizonHours": "48"})

    def access_request(self) -> Request:
        """Return the request for the zones; with a token each says what it may use."""
        return Request(path="/v3/zones")

    def grant(self, body: bytes, zone: Zone) -> None:
        """Take note of what the token may use in a zone; nothing where the zone is not listed or says nothing."""
        answer = as_mapping(decode_json(body, self.name), self.name, "zones")
        row = as_mapping(answer.get("zones", answer), self.name, "zones").get(zone.key)
        access = row.get("access") if isinstance(row, dict) else None
        self._granted = frozenset(str(name) for name in access) if isinstance(access, list) else frozenset()

    def parse(self, body: bytes, zone: Zone) -> tuple[Reading, ...]:
        """Return the intervals of a latest, history or past-range answer; the rules are at the head of this file."""
        return self._parsed(self._answer(body, zone), zone)

    def parse_forecast(self, body: bytes, zone: Zone, now: datetime) -> Forecast:
        """Return what of a forecast answer lies ahead; ``updatedAt`` is when it was issued, ``now`` where it is missing."""
        answer = self._answer(body, zone)
        as_list(answer.get("forecast"), self.name, "forecast hours")
        issued_at = as_time(answer["updatedAt"], self.name) if answer.get("updatedAt") else now
        return as_forecast(self._parsed(answer, zone), issued_at, now)

    def _request(self, endpoint: str, zone: Zone, params: Mapping[str, str] | None = None) -> Request:
        fixed = {"zone": zone.key, "disableCallerLookup": "true", "emissionFactorType": self.emission_factor_type.value}
        return Request(path=f"/v3/carbon-intensity/{endpoint}", params={**fixed, **(params or {})})

    def _answer(self, body: bytes, zone: Zone) -> Mapping[str, Any]:
        answer = as_mapping(decode_json(body, self.name), self.name, "something")
        message = answer.get("error") or answer.get("message")
        if message:
            raise InvalidAnswer(f"{self.name} answered with an error: {str(message)[:120]!r}")
        refuse_wrong_zone(answer.get("zone"), zone.key, self.name)
        return answer

    def _parsed(self, answer: Mapping[str, Any], zone: Zone) -> tuple[Reading, ...]:
        name = next((key for key in _SERIES if key in answer), None)
        points = [answer] if name is None else as_list(answer[name], self.name, "hours")
        length = self._length(answer.get("temporalGranularity"))
        readings = [self._point(point, zone, length, forecast=name == "forecast") for point in points]
        return checked((r for r in readings if r is not None), self.name, zone.key)

    def _point(self, point: Any, zone: Zone, length: timedelta, *, forecast: bool) -> Reading | None:
        point = as_mapping(point, self.name, "an hour")
        refuse_wrong_zone(point.get("zone", zone.key), zone.key, self.name)
        factors = point.get("emissionFactorType", self.emission_factor_type.value)
        if factors != self.emission_factor_type.value:
            raise InvalidAnswer(
                f"{self.name} answered with {str(factors)[:SHOWN]!r} factors, but {self.emission_factor_type.value} ones were asked for"
            )
        start, value = as_time(point.get("datetime"), self.name), point.get("carbonIntensity")
        if value is None:
            return None
        kind = IntensityKind.MEASURED if point.get("isEstimated") is False else IntensityKind.ESTIMATED
        kind = IntensityKind.FORECAST if forecast else kind
        return self.reading(zone, start, length, as_number(value, self.name, _ABSURD_GCO2EQ_PER_KWH), kind)

    def _length(self, granularity: Any) -> timedelta:
        length = _GRANULARITIES.get(str(granularity or "hourly"))
        if length is None:
            raise InvalidAnswer(
                f"{self.name} answered in steps of {str(granularity)[:SHOWN]!r}; an hour at most was expected"
            )
        return length
