"""NESO's Carbon Intensity API: Great Britain, live, no key, half-hours, licence CC BY 4.0.

Rules beside those in docs/providers.md:

- ``actual`` where there is one, kind ``estimated``: NESO computes it from metered generation and fixed factors per fuel,
  with imports and embedded generation estimated, and revises it a day later, so ``measured`` would promise too much.
- else ``forecast``, kind ``forecast``: the present and coming half-hours have no ``actual`` yet, regions never have one.
- both null: the half-hour is a gap.
- the national answer must name no region, a region's answer exactly the one that was asked for.
"""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar

from lowtide.config.zones import Zone
from lowtide.errors import ConfigurationError
from lowtide.grid.http import Request
from lowtide.grid.providers.base import SHOWN, HttpProvider, Point
from lowtide.records import EmissionFactorType, IntensityKind, Reading, SignalType
from lowtide.timeutil import as_utc

_HALF_HOUR = timedelta(minutes=30)
_OUTWARD = re.compile(r"[A-Z]{1,2}[0-9][A-Z0-9]?")
_REGIONS = 17


class NesoProvider(HttpProvider):
    """Great Britain's average intensity, direct (combustion only) factors: the nation, one of 17 regions, or a postcode.

    ``grid.region`` is null, a region's number (13 = London) or the outward half of a postcode ("SW1").
    """

    name: ClassVar[str] = "neso"
    signal_type: SignalType = SignalType.AVERAGE
    emission_factor_type: EmissionFactorType = EmissionFactorType.DIRECT
    base_url: ClassVar[str | None] = "https://api.carbonintensity.org.uk"
    max_age: ClassVar[timedelta] = timedelta(hours=2)
    resolution: ClassVar[timedelta] = _HALF_HOUR
    max_range: ClassVar[timedelta] = timedelta(days=14)
    absurd_above_gco2eq_per_kwh: ClassVar[float] = 1_000.0
    """Coal, the dirtiest fuel burnt for power in Great Britain, has a direct factor below this, so no mix of fuels exceeds it."""

    def _check_region(self, zone: Zone) -> None:
        del zone
        if self.region is not None and not self._is_number() and not _OUTWARD.fullmatch(self.region.upper()):
            raise ConfigurationError(
                f"grid.region is {self.region[:SHOWN]!r}, which neso does not know; write a number from 1 to {_REGIONS}"
                " (13 = London), or the outward half of a postcode such as 'SW1'"
            )

    def current_request(self, zone: Zone, now: datetime) -> Request:
        """Return the request for the present half-hour; the API goes by its own clock."""
        del zone, now
        return Request(path=f"/regional{self._place()}" if self.region else "/intensity")

    def range_request(self, zone: Zone, start: datetime, end: datetime) -> Request:
        """Return the request for the half-hours of ``[start, end)``; the API includes both ends, the caller clips."""
        del zone
        return self._series(f"{_minute(start)}/{_minute(end)}")

    def forecast_request(self, zone: Zone, now: datetime) -> Request:
        """Return the request for 48 h from the half-hour that holds ``now``; the answer may end sooner."""
        del zone
        return self._series(f"{_minute(now)}/fw48h")

    def parse(self, body: bytes, zone: Zone) -> tuple[Reading, ...]:
        """Return the answer's half-hours; the rules are at the head of this file."""
        return self._readings(zone, [self._half_hour(slot) for slot in self._slots(self._answer(body))])

    def _half_hour(self, slot: Any) -> Point:
        slot = self._mapping(slot, "a half-hour")
        intensity = self._mapping(slot.get("intensity"), "an intensity")
        actual, forecast = intensity.get("actual"), intensity.get("forecast")
        start, end = self._time(slot.get("from")), self._time(slot.get("to"))
        if end - start != _HALF_HOUR:
            raise self._refusal(f"with an interval from {start} to {end}; it should be half an hour")
        if actual is None:
            return start, _HALF_HOUR, forecast, IntensityKind.FORECAST
        return start, _HALF_HOUR, actual, IntensityKind.ESTIMATED

    def _slots(self, answer: Mapping[str, Any]) -> list[Any]:
        """Return the half-hours of the list form, the object form, or an object that is one half-hour itself."""
        if isinstance(answer.get("error"), dict):
            self._refuse_error(str(answer["error"].get("message")))
        data = answer.get("data")
        if isinstance(data, dict):  # the object form; the documentation prints a list where the service sends this
            data = data["data"] if "data" in data and "regionid" not in data else [data]
        slots = self._list(data, "half-hours under 'data'")
        if self.region is not None:
            return [slot for region in slots for slot in self._slots_of_region(region, self.region)]
        if any(isinstance(slot, dict) and "regionid" in slot for slot in slots):
            raise self._refusal("for one region, but the national signal was asked for")
        return slots

    def _slots_of_region(self, answered: Any, asked: str) -> list[Any]:
        region = self._mapping(answered, "a region")
        key = "regionid" if self._is_number() else "postcode"
        self._refuse_other(key, str(region.get(key)).upper(), asked.upper())
        slots = region.get("data")
        return slots if isinstance(slots, list) else [slots]

    def _is_number(self) -> bool:
        return self.region is not None and self.region.isdecimal() and 1 <= int(self.region[:9]) <= _REGIONS

    def _place(self) -> str:
        return f"/regionid/{self.region}" if self._is_number() else f"/postcode/{str(self.region).upper()}"

    def _series(self, span: str) -> Request:
        return Request(path=f"/regional/intensity/{span}{self._place()}" if self.region else f"/intensity/{span}")


def _minute(time: datetime) -> str:
    """Write the one form that the API takes: UTC, no seconds, ``Z``."""
    return f"{as_utc(time):%Y-%m-%dT%H:%MZ}"
