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
from lowtide.grid.http import Request
from lowtide.grid.providers.base import SHOWN, HttpProvider, Point
from lowtide.records import EmissionFactorType, Forecast, IntensityKind, Reading, SignalType
from lowtide.timeutil import as_utc

_GRANULARITIES: Final = {
    "5_minutes": timedelta(minutes=5),
    "15_minutes": timedelta(minutes=15),
    "hourly": timedelta(hours=1),
}
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

    def access_request(self) -> Request | None:
        """Return the request for the zones, once; with a token each says what it may use."""
        return Request(path="/v3/zones") if self._granted is None else None

    def grant(self, body: bytes, zone: Zone) -> None:
        """Take note of what the token may use in a zone; nothing where the zone is not listed or says nothing."""
        answer = self._answer(body)
        row = self._mapping(answer.get("zones", answer), "zones").get(zone.key)
        access = row.get("access") if isinstance(row, dict) else None
        self._granted = frozenset(str(name) for name in access) if isinstance(access, list) else frozenset()

    def parse(self, body: bytes, zone: Zone) -> tuple[Reading, ...]:
        """Return the intervals of a latest, history or past-range answer; the rules are at the head of this file."""
        return self._parsed(self._answer(body), zone)

    def parse_forecast(self, body: bytes, zone: Zone, now: datetime) -> Forecast:
        """Return what of a forecast answer lies ahead; ``updatedAt`` is when it was issued, ``now`` where it is missing."""
        answer = self._answer(body)
        readings = self._parsed(answer, zone)
        issued_at = self._time(answer["updatedAt"]) if answer.get("updatedAt") else now
        return self._forecast(readings, issued_at, now)

    def _request(self, endpoint: str, zone: Zone, params: Mapping[str, str] | None = None) -> Request:
        fixed = {"zone": zone.key, "disableCallerLookup": "true", "emissionFactorType": self.emission_factor_type.value}
        return Request(path=f"/v3/carbon-intensity/{endpoint}", params={**fixed, **(params or {})})

    def _parsed(self, answer: Mapping[str, Any], zone: Zone) -> tuple[Reading, ...]:
        self._refuse_error(answer.get("error") or answer.get("message"))
        self._refuse_other("zone", answer.get("zone"), zone.key)
        name = next((key for key in _SERIES if key in answer), None)
        points = [answer] if name is None else self._list(answer[name], "hours")
        length = self._length(answer.get("temporalGranularity"))
        return self._readings(zone, [self._point(point, zone, length, forecast=name == "forecast") for point in points])

    def _point(self, point: Any, zone: Zone, length: timedelta, *, forecast: bool) -> Point:
        point, factors = self._mapping(point, "an hour"), self.emission_factor_type.value
        self._refuse_other("zone", point.get("zone", zone.key), zone.key)
        self._refuse_other("emission factors", point.get("emissionFactorType", factors), factors)
        kind = IntensityKind.MEASURED if point.get("isEstimated") is False else IntensityKind.ESTIMATED
        kind = IntensityKind.FORECAST if forecast else kind
        return self._time(point.get("datetime")), length, point.get("carbonIntensity"), kind

    def _length(self, granularity: Any) -> timedelta:
        length = _GRANULARITIES.get(str(granularity or "hourly"))
        if length is None:
            raise self._refusal(f"in steps of {str(granularity)[:SHOWN]!r}; an hour at most was expected")
        return length
