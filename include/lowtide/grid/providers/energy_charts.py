"""Energy-Charts (Fraunhofer ISE): European countries, no key, quarter-hours or hours, measured and forecast in one answer.

Rules beside those in docs/providers.md:

- three columns of equal length; a shorter one is refused, since values would be read at the wrong times.
- ``co2eq`` where there is one, kind ``estimated`` (computed from generation and factors per source); else
  ``co2eq_forecast``, kind ``forecast``; both null: a gap, also at the end, where several such slots are usual.
- the length of an interval is the shortest step between two times: 15, 30 or 60 minutes.
- the answer does not name its country, so a wrong one cannot be noticed; an unknown country is a status 400.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, ClassVar, Final

from lowtide.config.zones import Zone
from lowtide.errors import InvalidAnswer
from lowtide.grid.http import Request
from lowtide.grid.providers.base import SHOWN, HttpProvider, Point
from lowtide.records import EmissionFactorType, IntensityKind, Reading, SignalType
from lowtide.timeutil import as_utc

_STEPS_S: Final = (900, 1800, 3600)
_LAST_UNIX_SECOND: Final = 4_102_444_800
"""The year 2100: what lies beyond is not a time but a value in another column's place."""


class EnergyChartsProvider(HttpProvider):
    """A country's average intensity. The unit is given as gCO2eq/kWh, which is taken as lifecycle factors."""

    name: ClassVar[str] = "energy_charts"
    signal_type: SignalType = SignalType.AVERAGE
    emission_factor_type: EmissionFactorType = EmissionFactorType.LIFECYCLE
    base_url: ClassVar[str | None] = "https://api.energy-charts.info"
    max_age: ClassVar[timedelta] = timedelta(hours=2)
    resolution: ClassVar[timedelta] = timedelta(minutes=15)
    max_range: ClassVar[timedelta] = timedelta(days=14)

    def current_request(self, zone: Zone, now: datetime) -> Request:
        """Return the request without a span: the present day, measured until lately and forecast from there."""
        del now
        return Request(path="/co2eq", params={"country": str(zone.energy_charts)})

    def range_request(self, zone: Zone, start: datetime, end: datetime) -> Request:
        """Return the request for a span."""
        span = {"start": f"{as_utc(start):%Y-%m-%dT%H:%MZ}", "end": f"{as_utc(end):%Y-%m-%dT%H:%MZ}"}
        return Request(path="/co2eq", params={"country": str(zone.energy_charts), **span})

    def parse(self, body: bytes, zone: Zone) -> tuple[Reading, ...]:
        """Return the answer's intervals; the rules are at the head of this file."""
        answer = self._answer(body)
        seconds = [_second(value) for value in self._list(answer.get("unix_seconds"), "times")]
        measured = self._column(answer, "co2eq", len(seconds))
        forecast = self._column(answer, "co2eq_forecast", len(seconds))
        step = _step(seconds)
        return self._readings(zone, (_interval(step, *row) for row in zip(seconds, measured, forecast, strict=True)))

    def _column(self, answer: Mapping[str, Any], name: str, length: int) -> list[Any]:
        column = self._list(answer.get(name), f"'{name}'")
        if len(column) != length:
            raise self._refusal(f"with {len(column)} values of {name} for {length} times")
        return column


def _interval(step: timedelta, second: int, measured: Any, forecast: Any) -> Point:
    start = datetime.fromtimestamp(second, UTC)
    if measured is None:
        return start, step, forecast, IntensityKind.FORECAST
    return start, step, measured, IntensityKind.ESTIMATED


def _second(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _LAST_UNIX_SECOND:
        raise InvalidAnswer(f"energy_charts answered with the time {str(value)[:SHOWN]!r}, which is not a UNIX second")
    return value


def _step(seconds: list[int]) -> timedelta:
    """Return the length of the intervals; a gap makes a longer step, so the shortest is the true one."""
    steps = [later - earlier for earlier, later in pairwise(sorted(set(seconds)))]
    step = min(steps, default=_STEPS_S[0])
    if step not in _STEPS_S:
        raise InvalidAnswer(f"energy_charts answered with intervals of {step} s; they should be 15, 30 or 60 minutes")
    return timedelta(seconds=step)
