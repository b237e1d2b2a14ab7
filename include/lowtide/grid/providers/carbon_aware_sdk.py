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
from lowtide.errors import ConfigurationError
from lowtide.grid.http import Request
from lowtide.grid.providers.base import HttpProvider, Point
from lowtide.records import EmissionFactorType, Forecast, IntensityKind, Reading, SignalType
from lowtide.timeutil import format_time

_NULL: Final = -1
_HOUR = timedelta(hours=1)
_LOOK_BACK = timedelta(hours=3)
"""Far enough for the newest value of a provider that is two hours late."""
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

    def __init__(self, *, signal_type: SignalType | None = None, **wanted: Any) -> None:
        self._signal_type = signal_type
        self.signal_type = signal_type or SignalType.AVERAGE
        self.emission_factor_type = wanted.get("factor_type") or _FACTORS[self.signal_type]
        super().__init__(signal_type=signal_type, **wanted)

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
        rows = [self._here(row, "an emission") for row in self._rows(body)]
        starts = [self._time(_get(row, "time")) for row in rows]
        length = min([_HOUR, *(later - earlier for earlier, later in pairwise(sorted(set(starts))))])
        values = [_intensity(_get(row, "rating")) for row in rows]
        found = zip(starts, values, strict=True)
        return self._readings(zone, [(start, length, value, IntensityKind.ESTIMATED) for start, value in found])

    def parse_forecast(self, body: bytes, zone: Zone, now: datetime) -> Forecast:
        """Return what of the first forecast lies ahead."""
        rows = self._rows(body)
        forecast = self._here(rows[0] if rows else None, "a forecast")
        points = self._list(_get(forecast, "forecastData"), "forecast values")
        readings = self._readings(zone, [self._forecast_point(point) for point in points])
        return self._forecast(readings, self._time(_get(forecast, "generatedAt")), now)

    def _rows(self, body: bytes) -> list[Any]:
        answer = self._decoded(body)
        if isinstance(answer, dict):
            self._refuse_error(_get(answer, "detail") or _get(answer, "title"))
        return self._list(answer, "emissions")

    def _here(self, value: Any, what: str) -> Mapping[str, Any]:
        """Return a row that names the location that was asked for, in whatever case."""
        row = self._mapping(value, what)
        self._refuse_other("location", str(_get(row, "location")).casefold(), str(self.region).casefold())
        return row

    def _forecast_point(self, value: Any) -> Point:
        point = self._mapping(value, "a value")
        minutes = self._number(_get(point, "duration"), 24 * 60, "minutes")
        if minutes < 1:
            raise self._refusal(f"with a forecast value that lasts {minutes:g} minutes")
        start, intensity = self._time(_get(point, "timestamp")), _intensity(_get(point, "value"))
        return start, timedelta(minutes=minutes), intensity, IntensityKind.FORECAST


def _get(row: Mapping[str, Any], name: str) -> Any:
    """Return a value by its name in either spelling, ``forecastData`` or ``ForecastData``."""
    return row.get(name, row.get(name[0].upper() + name[1:]))


def _intensity(value: Any) -> Any:
    return None if value == _NULL else value
