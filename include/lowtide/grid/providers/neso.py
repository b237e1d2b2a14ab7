"""NESO's Carbon Intensity API: Great Britain, live, no key, half-hours, licence CC BY 4.0.

Rules beside those in docs/providers.md:

- ``actual`` where there is one, kind ``estimated``: NESO computes it from metered generation and fixed factors per fuel,
  with imports and embedded generation estimated, and revises it a day later, so ``measured`` would promise too much.
- else ``forecast``, kind ``forecast``: the present and coming half-hours have no ``actual`` yet, regions never have one.
- both null: the half-hour is a gap.
- the national answer must name no region, a region's answer exactly the one that was asked for.
"""

import re
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final

from lowtide.config.zones import Zone
from lowtide.errors import ConfigurationError, InvalidAnswer
from lowtide.grid.http import Request
from lowtide.grid.providers.base import SHOWN, HttpProvider, as_mapping, as_number, as_time, checked, decode_json
from lowtide.records import EmissionFactorType, IntensityKind, Reading, SignalType
from lowtide.timeutil import as_utc

_HALF_HOUR = timedelta(minutes=30)
_ABSURD_GCO2EQ_PER_KWH: Final = 1_000.0
"""Coal, the dirtiest fuel burnt for power in Great Britain, has a direct factor below this, so no mix of fuels exceeds it."""
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

    @classmethod
    def covers(cls, zone: Zone) -> bool:
        """Return whether the zone is Great Britain."""
        return zone.neso is not None

    def check(self, zone: Zone) -> None:
        """Refuse another zone, and a region that is neither a number from 1 to 17 nor an outward postcode."""
        region, self.region = self.region, None
        try:
            super().check(zone)
        finally:
            self.region = region
        if region is not None and not self._is_number() and not _OUTWARD.fullmatch(region.upper()):
            raise ConfigurationError(
                f"grid.region is {region[:SHOWN]!r}, which neso does not know; write a number from 1 to {_REGIONS}"
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
        readings = [self._half_hour(slot, zone) for slot in self._slots(decode_json(body, self.name))]
        return checked((r for r in readings if r is not None), self.name, zone.key)

    def _half_hour(self, slot: Any, zone: Zone) -> Reading | None:
        slot = as_mapping(slot, self.name, "a half-hour")
        intensity = as_mapping(slot.get("intensity"), self.name, "an intensity")
        actual, forecast = intensity.get("actual"), intensity.get("forecast")
        value = forecast if actual is None else actual
        start, end = as_time(slot.get("from"), self.name), as_time(slot.get("to"), self.name)
        if end - start != _HALF_HOUR:
            raise InvalidAnswer(
                f"{self.name} answered with an interval from {start} to {end}; it should be half an hour"
            )
        if value is None:
            return None
        kind = IntensityKind.FORECAST if actual is None else IntensityKind.ESTIMATED
        return self.reading(zone, start, _HALF_HOUR, as_number(value, self.name, _ABSURD_GCO2EQ_PER_KWH), kind)

    def _slots(self, answer: Any) -> list[Any]:
        """Return the half-hours of the list form, the object form, or an object that is one half-hour itself."""
        answer = as_mapping(answer, self.name, "something")
        if isinstance(answer.get("error"), dict):
            raise InvalidAnswer(f"neso answered with an error: {str(answer['error'].get('message'))[:120]!r}")
        data = answer.get("data")
        if isinstance(data, dict):  # the object form; the documentation prints a list where the service sends this
            data = data["data"] if "data" in data and "regionid" not in data else [data]
        if not isinstance(data, list):
            raise InvalidAnswer("neso answered without a list of half-hours under 'data'")
        if self.region is not None:
            return [slot for region in data for slot in self._slots_of_region(region)]
        if any(isinstance(slot, dict) and "regionid" in slot for slot in data):
            raise InvalidAnswer("neso answered for one region, but the national signal was asked for")
        return data

    def _slots_of_region(self, region: Any) -> list[Any]:
        region = as_mapping(region, self.name, "a region")
        key = "regionid" if self._is_number() else "postcode"
        if str(region.get(key)).upper() != str(self.region).upper():
            raise InvalidAnswer(f"neso answered for {key} {str(region.get(key))[:SHOWN]!r}, not {self.region!r}")
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
