"""NESO's Carbon Intensity API: Great Britain, live, no key, half-hours, licence CC BY 4.0.

Rules for its answers, national signal only:

- ``actual`` where there is one, kind ``estimated``: NESO computes it from metered generation and fixed factors per fuel,
  with imports and embedded generation estimated, and revises it a day later, so ``measured`` would promise too much.
- else ``forecast``, kind ``forecast``: the present and coming half-hours have no ``actual`` yet.
- both null: the half-hour is a gap. Nothing usable at all (empty list, ``{}``, nulls only): refused.
- an error body, another shape, a region's answer, a value that is no number, negative, non-finite or above any fuel's
  factor, an interval that is not a half-hour, two values for one half-hour, only zeros: the whole answer is refused,
  since the rest of it cannot be trusted either.
- unsorted: sorted. The same half-hour twice with the same value: kept once.
"""

from datetime import datetime, timedelta
from typing import Any, ClassVar, Final

from include.config import Zone
from include.errors import InvalidAnswer
from include.moments import as_utc, parse_moment
from include.records import EmissionFactorType, IntensityKind, Reading, SignalType
from include.scheduler.providers.answers import as_number, decode_json, without_repeats
from include.scheduler.providers.base import HttpProvider, Request

_HALF_HOUR = timedelta(minutes=30)
_ABSURD_GCO2EQ_PER_KWH: Final = 1_000.0
"""Coal, the dirtiest fuel burnt for power in Great Britain, has a direct factor below this, so no mix of fuels exceeds it."""


class NesoProvider(HttpProvider):
    """Great Britain's national average intensity, direct (combustion only) factors."""

    name: ClassVar[str] = "neso"
    signal_type: ClassVar[SignalType] = SignalType.AVERAGE
    emission_factor_type: ClassVar[EmissionFactorType] = EmissionFactorType.DIRECT
    base_url: ClassVar[str] = "https://api.carbonintensity.org.uk"
    max_age: ClassVar[timedelta] = timedelta(hours=2)
    resolution: ClassVar[timedelta] = _HALF_HOUR
    max_range: ClassVar[timedelta] = timedelta(days=14)

    def current_request(self, zone: Zone, now: datetime) -> Request:
        """Return the request for the present half-hour; the API goes by its own clock."""
        del zone, now
        return Request(path="/intensity")

    def range_request(self, zone: Zone, start: datetime, end: datetime) -> Request:
        """Return the request for the half-hours of ``[start, end)``; the API includes both ends, the caller clips."""
        del zone
        return Request(path=f"/intensity/{_minute(start)}/{_minute(end)}")

    def parse(self, body: bytes, zone: Zone) -> tuple[Reading, ...]:
        """Return the answer's half-hours; the rules stand at the head of this file."""
        slots = _slots(decode_json(body, self.name))
        readings = [reading for slot in slots if (reading := self._reading(slot, zone)) is not None]
        if not readings:
            raise InvalidAnswer(f"{self.name} answered without a single value for zone {zone.key}")
        if all(reading.carbon_intensity_gco2eq_per_kwh == 0 for reading in readings):
            raise InvalidAnswer(f"{self.name} answered only zeros for zone {zone.key}; no grid is that clean")
        return without_repeats(readings)

    def _reading(self, slot: Any, zone: Zone) -> Reading | None:
        intensity = _field(slot, "intensity", dict)
        actual, forecast = intensity.get("actual"), intensity.get("forecast")
        value = forecast if actual is None else actual
        start, end = _moment(slot, "from"), _moment(slot, "to")
        if end - start != _HALF_HOUR:
            raise InvalidAnswer(
                f"{self.name} answered with an interval from {start} to {end}; it should be half an hour"
            )
        if value is None:
            return None
        return Reading(
            zone=zone.key,
            start=start,
            end=end,
            carbon_intensity_gco2eq_per_kwh=as_number(value, self.name, _ABSURD_GCO2EQ_PER_KWH),
            source=self.name,
            kind=IntensityKind.FORECAST if actual is None else IntensityKind.ESTIMATED,
            signal_type=self.signal_type,
            emission_factor_type=self.emission_factor_type,
        )


def _minute(moment: datetime) -> str:
    """Write the one form that the API takes: UTC, no seconds, ``Z``."""
    return f"{as_utc(moment):%Y-%m-%dT%H:%MZ}"


def _slots(answer: Any) -> list[Any]:
    """Return the half-hours of the list form, the object form, or an object that is one half-hour itself."""
    if isinstance(answer, dict) and isinstance(answer.get("error"), dict):
        raise InvalidAnswer(f"neso answered with an error: {str(answer['error'].get('message'))[:120]!r}")
    data = answer.get("data") if isinstance(answer, dict) else None
    if isinstance(data, dict):
        data = data["data"] if "data" in data and "regionid" not in data else [data]
    if not isinstance(data, list):
        raise InvalidAnswer("neso answered without a list of half-hours under 'data'")
    if any(isinstance(slot, dict) and "regionid" in slot for slot in data):
        raise InvalidAnswer("neso answered for one region, but the national signal was asked for")
    return data


def _field(slot: Any, name: str, kind: type) -> Any:
    value = slot.get(name) if isinstance(slot, dict) else None
    if not isinstance(value, kind):
        raise InvalidAnswer(f"neso answered with a half-hour whose '{name}' is {str(value)[:60]!r}")
    return value


def _moment(slot: Any, name: str) -> datetime:
    text = _field(slot, name, str)
    try:
        return parse_moment(text)
    except (ValueError, OverflowError):
        raise InvalidAnswer(
            f"neso answered with the moment {text[:60]!r}, which is not ISO-8601 with an offset"
        ) from None
