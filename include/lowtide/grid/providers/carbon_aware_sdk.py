"""The Green Software Foundation's Carbon Aware SDK, as the WebAPI that people run themselves over a provider of theirs.

Rules beside those in docs/providers.md:

- the answer does not say whose data it passes on. ``grid.signal_type`` has to: marginal (WattTime, taken as direct
  factors) or average (Electricity Maps, taken as lifecycle factors unless ``grid.emission_factor_type`` says direct).
- a rating of -1 is how the SDK writes null: a gap. Any other negative value is refused.
- keys begin with a small or a capital letter. What it calls the optimum (a list or one object) is not used: ``decide``
  is the only one that decides.
- the location of an emission must be the one that was asked for; in a forecast that is the outer one, since the inner
  ones carry the name that the provider behind it uses.
- times may have fractions of seven digits. Emissions have no length: it is the shortest step between two, an hour
  at most; forecasts say their ``duration`` in minutes.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, ClassVar, Final

from lowtide.config.zones import Zone
from lowtide.errors import ConfigurationError, InvalidAnswer
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
)
from lowtide.records import EmissionFactorType, Forecast, IntensityKind, Reading, SignalType
from lowtide.timeutil import format_time

_NULL: Final = -1
_HOUR = timedelta(hours=1)
_LOOK_BACK = timedelta(hours=3)
"""Far enough for the newest value of a provider that is two hours late."""
_ABSURD_GCO2EQ_PER_KWH: Final = 2_000.0
_FACTORS = {SignalType.MARGINAL: EmissionFactorType.DIRECT, SignalType.AVERAGE: EmissionFactorType.LIFECYCLE}


class CarbonAwareSdkProvider(HttpProvider):
    """Whatever the SDK behind the connection is configured with; ``grid.region`` is its name of the location."""

    name: ClassVar[str] = "carbon_aware_sdk"
    signal_type: SignalType = SignalType.AVERAGE
    emission_factor_type: EmissionFactorType = EmissionFactorType.LIFECYCLE
    base_url: ClassVar[str | None] = None
    max_age: ClassVar[timedelta] = timedelta(hours=2)
    resolution: ClassVar[timedelta] = _HOUR
    max_range: ClassVar[timedelta] = timedelta(days=7)

    def __init__(
        self,
        *,
        region: str | None = None,
        factor_type: EmissionFactorType | None = None,
        signal_type: SignalType | None = None,
    ) -> None:
        self._signal_type = signal_type
        self.signal_type = signal_type or SignalType.AVERAGE
        self.emission_factor_type = factor_type or _FACTORS[self.signal_type]
        super().__init__(region=region, factor_type=factor_type, signal_type=signal_type)

    @classmethod
    def covers(cls, zone: Zone) -> bool:
        """Return True: the SDK's own provider decides."""
        del zone
        return True

    def check(self, zone: Zone) -> None:
        """Refuse a configuration that leaves open which location is meant, or what the figures mean."""
        if not self.region:
            raise ConfigurationError(
                f"grid.provider 'carbon_aware_sdk' does not know zone keys such as {zone.key}; set grid.region to the"
                " location's name in your SDK, e.g. 'uksouth'"
            )
        if self._signal_type is None:
            raise ConfigurationError(
                "grid.provider 'carbon_aware_sdk' does not say whose figures it passes on; set grid.signal_type to"
                " 'marginal' (WattTime behind it) or 'average' (Electricity Maps behind it)"
            )

    def current_request(self, zone: Zone, now: datetime) -> Request:
        """Return the request for the last hours, of which the newest holds now."""
        return self.range_request(zone, now - _LOOK_BACK, now)

    def range_request(self, zone: Zone, start: datetime, end: datetime) -> Request:
        """Return the request for a span."""
        del zone
        span = {"time": format_time(start), "toTime": format_time(end)}
        return Request(path="/emissions/bylocation", params={"location": str(self.region), **span})

    def forecast_request(self, zone: Zone, now: datetime) -> Request:
        """Return the request for the whole forecast that there is."""
        del zone, now
        return Request(path="/emissions/forecasts/current", params={"location": str(self.region)})

    def parse(self, body: bytes, zone: Zone) -> tuple[Reading, ...]:
        """Return the emissions; the rules are at the head of this file."""
        rows = [as_mapping(row, self.name, "an emission") for row in self._list(body)]
        for row in rows:
            self._refuse_other_location(row)
        starts = [as_time(_get(row, "time"), self.name) for row in rows]
        length = _shortest_step(starts)
        found = zip(starts, (_get(row, "rating") for row in rows), strict=True)
        readings = [self._point(zone, start, length, value, IntensityKind.ESTIMATED) for start, value in found]
        return checked((r for r in readings if r is not None), self.name, zone.key)

    def parse_forecast(self, body: bytes, zone: Zone, now: datetime) -> Forecast:
        """Return what of the first forecast lies ahead."""
        rows = self._list(body)
        forecast = as_mapping(rows[0] if rows else None, self.name, "a forecast")
        self._refuse_other_location(forecast)
        points = as_list(_get(forecast, "forecastData"), self.name, "forecast values")
        readings = [self._forecast_point(zone, as_mapping(point, self.name, "a value")) for point in points]
        values = checked((r for r in readings if r is not None), self.name, zone.key)
        return as_forecast(values, as_time(_get(forecast, "generatedAt"), self.name), now)

    def _list(self, body: bytes) -> list[Any]:
        answer = decode_json(body, self.name)
        detail = (_get(answer, "detail") or _get(answer, "title")) if isinstance(answer, dict) else None
        if detail:
            raise InvalidAnswer(f"{self.name} answered with an error: {str(detail)[:120]!r}")
        return as_list(answer, self.name, "emissions")

    def _refuse_other_location(self, row: Mapping[str, Any]) -> None:
        location = _get(row, "location")
        if not isinstance(location, str) or location.casefold() != str(self.region).casefold():
            raise InvalidAnswer(f"{self.name} answered for location {str(location)[:SHOWN]!r}, not {self.region!r}")

    def _forecast_point(self, zone: Zone, point: Mapping[str, Any]) -> Reading | None:
        minutes = as_number(_get(point, "duration"), self.name, 24 * 60, "minutes")
        if minutes < 1:
            raise InvalidAnswer(f"{self.name} answered with a forecast value that lasts {minutes:g} minutes")
        start = as_time(_get(point, "timestamp"), self.name)
        return self._point(zone, start, timedelta(minutes=minutes), _get(point, "value"), IntensityKind.FORECAST)

    def _point(self, zone: Zone, start: datetime, length: timedelta, value: Any, kind: IntensityKind) -> Reading | None:
        if value is None or (value == _NULL and not isinstance(value, bool)):
            return None
        return self.reading(zone, start, length, as_number(value, self.name, _ABSURD_GCO2EQ_PER_KWH), kind)


def _get(row: Mapping[str, Any], name: str) -> Any:
    """Return a value by its name in either spelling, ``forecastData`` or ``ForecastData``."""
    return row.get(name, row.get(name[0].upper() + name[1:]))


def _shortest_step(starts: list[datetime]) -> timedelta:
    steps = [later - earlier for earlier, later in pairwise(sorted(set(starts)))]
    return min([*steps, _HOUR])
