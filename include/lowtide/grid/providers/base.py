"""A live provider is pure: it builds requests and parses answers. Its parsers share the guards of this file."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, ClassVar, Final

from lowtide.config.zones import Zone
from lowtide.errors import ConfigurationError, InvalidAnswer
from lowtide.grid.http import Request, Transport
from lowtide.records import EmissionFactorType, Forecast, IntensityKind, Reading, SignalType
from lowtide.timeutil import format_time, parse_time

STALE_FORECAST: Final = timedelta(hours=24)
"""A forecast issued longer ago is no forecast of today's weather."""
SHOWN: Final = 60
"""Characters of a strange value that an error shows."""

Point = tuple[datetime, timedelta, Any, IntensityKind]
"""An interval's start and length, its intensity in g/kWh as the answer has it (None: a gap), and its kind."""


class HttpProvider(ABC):
    """A live provider: facts as class variables, pure functions, no input or output.

    :param region: the part of a zone to ask for, where the provider knows parts (``grid.region``).
    :param factor_type: which emission factors to ask for, where the provider offers a choice; None = its own.
    :param signal_type: likewise average or marginal.
    :raises ConfigurationError: a factor or signal type that this provider cannot give.
    """

    name: ClassVar[str]
    signal_type: SignalType
    emission_factor_type: EmissionFactorType
    base_url: ClassVar[str | None]
    """The public address; None where everyone runs their own."""
    token_header: ClassVar[str | None] = None
    needs_key: ClassVar[bool] = False
    needs_login: ClassVar[bool] = False
    """Whether its key is a login and a password, not a token."""
    transport: ClassVar[type[Transport]] = Transport
    """How requests are sent; another one exchanges login and password for a token."""
    gives_both_factor_types: ClassVar[bool] = False
    """Whether ``factor_type`` chooses; else only ``emission_factor_type`` can be had."""
    max_age: ClassVar[timedelta]
    """How long after its interval a last good reading may replace an answer."""
    resolution: ClassVar[timedelta]
    max_range: ClassVar[timedelta]
    """The longest span that one range request may ask for."""
    absurd_above_gco2eq_per_kwh: ClassVar[float] = 2_000.0
    """Beyond lignite's lifecycle factor with a wide margin."""

    def __init__(
        self,
        *,
        region: str | None = None,
        factor_type: EmissionFactorType | None = None,
        signal_type: SignalType | None = None,
    ) -> None:
        self.region = region
        if factor_type and self.gives_both_factor_types:
            self.emission_factor_type = factor_type
        wanted = {"emission_factor_type": factor_type, "signal_type": signal_type}
        for key, value in wanted.items():
            given = getattr(self, key)
            if value not in (None, given):
                raise ConfigurationError(
                    f"grid.{key} is '{value}', but {self.name} gives '{given}' only; leave it null or choose another"
                    " grid.provider"
                )

    @property
    def source(self) -> str:
        """The provider's name with the region, where one is asked for: what readings and stores are labelled with."""
        return f"{self.name}:{self.region}" if self.region else self.name

    @classmethod
    def zone_name(cls, zone: Zone) -> str | None:
        """Return what the provider calls a zone: its column in the zone table (None: not covered), else the key."""
        name: str | None = getattr(zone, cls.name, zone.key)
        return name

    def check(self, zone: Zone) -> None:
        """Refuse a zone and region that cannot be asked for, before anything waits on it.

        :raises ConfigurationError: not covered, or a region that is missing or unknown.
        """
        if self.zone_name(zone) is None:
            raise ConfigurationError(
                f"grid.provider '{self.name}' does not cover zone '{zone.key}'; use provider 'auto', or a zone that it covers"
            )
        self._check_region(zone)

    def _check_region(self, zone: Zone) -> None:
        if self.region is not None:
            raise ConfigurationError(
                f"grid.region is {self.region!r}, but {self.name} knows no parts of zone {zone.key}; leave it null"
            )

    @abstractmethod
    def current_request(self, zone: Zone, now: datetime) -> Request:
        """Return the request for what holds now."""

    @abstractmethod
    def range_request(self, zone: Zone, start: datetime, end: datetime) -> Request:
        """Return the request for ``[start, end)``, past and where it can future, at most ``max_range`` long."""

    @abstractmethod
    def parse(self, body: bytes, zone: Zone) -> tuple[Reading, ...]:
        """Return the readings of a current or range answer in time order, without overlap, at least one.

        :raises InvalidAnswer: anything that is not such an answer; never another exception, whatever the bytes.
        """

    def forecast_request(self, zone: Zone, now: datetime) -> Request | None:
        """Return the request for the hours to come; None where there is no forecast.

        By default that for the present, of a provider whose answer holds both: then one body serves both parsers.
        """
        return self.current_request(zone, now)

    def parse_forecast(self, body: bytes, zone: Zone, now: datetime) -> Forecast:
        """Return the forecast of an answer to ``forecast_request``; its horizon may be short, and it may have gaps.

        By default one of the form that ``parse`` reads, which does not say when it was issued, so ``now`` is taken.

        :raises InvalidAnswer: anything that is not such an answer, or one that ends before ``now``.
        """
        return self._forecast(self.parse(body, zone), now, now)

    def access_request(self) -> Request | None:
        """Return the request whose answer names what the token may use; None where there is none or it has been granted."""
        return None

    def grant(self, body: bytes, zone: Zone) -> None:
        """Take note of an answer to ``access_request`` (else InvalidAnswer); later requests keep to what is granted."""
        del body, zone

    # The guards: each returns what it checked, or raises InvalidAnswer with a sentence that shows the value.

    def _refusal(self, what: str) -> InvalidAnswer:
        return InvalidAnswer(f"{self.name} answered {what}")

    def _decoded(self, body: bytes) -> Any:
        try:
            return json.loads(body)
        except (ValueError, RecursionError):  # an HTML page sent with status 200, say, or nested beyond reason
            shown = body[:40].decode("utf-8", errors="replace")
            raise self._refusal(f"with something that is not JSON, beginning {shown!r}") from None

    def _answer(self, body: bytes) -> Mapping[str, Any]:
        return self._mapping(self._decoded(body), "something")

    def _mapping(self, value: Any, what: str) -> Mapping[str, Any]:
        if not isinstance(value, dict):
            raise self._refusal(f"with {what} that is {str(value)[:SHOWN]!r}, not an object")
        return value

    def _list(self, value: Any, what: str) -> list[Any]:
        if not isinstance(value, list):
            raise self._refusal(f"without a list of {what}")
        return value

    def _number(self, value: Any, most: float, unit: str = "g/kWh") -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._refusal(f"with the intensity {str(value)[:SHOWN]!r}, which is not a number")
        if not 0 <= value <= most:  # not-a-number and infinity are refused here, too
            raise self._refusal(f"with {str(value)[:SHOWN]} {unit}; an intensity lies from 0 to {most:g}")
        return float(value)

    def _time(self, value: Any) -> datetime:
        try:
            return parse_time(value)
        except (ValueError, TypeError, OverflowError):
            shown = str(value)[:SHOWN]
            raise self._refusal(f"with the time {shown!r}, which is not ISO-8601 with an offset") from None

    def _refuse_other(self, what: str, answered: Any, asked: str) -> None:
        if answered is None:
            raise self._refusal(f"without naming its {what}, so it may be for another than {asked!r}")
        if answered != asked:
            raise self._refusal(f"for {what} {str(answered)[:SHOWN]!r}, but {asked!r} was asked for")

    def _refuse_error(self, message: Any) -> None:
        if message:
            raise self._refusal(f"with an error: {str(message)[:120]!r}")

    def _readings(self, zone: Zone, points: Iterable[Point]) -> tuple[Reading, ...]:
        """Return the readings in time order, without gaps and repeats; the rules of docs/providers.md that all parsers share.

        :raises InvalidAnswer: no value or an impossible one, only zeros, or two that contradict.
        """
        found = [self._reading(zone, *point) for point in points if point[2] is not None]
        kept = tuple(dict.fromkeys(sorted(found, key=lambda reading: (reading.start, reading.end))))
        for earlier, later in pairwise(kept):
            if later.start < earlier.end:
                raise self._refusal(f"with two different values for {later.start.isoformat()}")
        if not kept:
            raise self._refusal(f"without a single value for zone {zone.key}")
        if all(reading.carbon_intensity_gco2eq_per_kwh == 0 for reading in kept):
            raise self._refusal(f"only zeros for zone {zone.key}; no grid is that clean")
        return kept

    def _reading(self, zone: Zone, start: datetime, length: timedelta, value: Any, kind: IntensityKind) -> Reading:
        intensity = self._number(value, self.absurd_above_gco2eq_per_kwh)
        try:
            end = start + length
        except OverflowError:
            raise self._refusal(f"with the time {start.isoformat()}") from None
        return Reading(
            zone=zone.key,
            start=start,
            end=end,
            carbon_intensity_gco2eq_per_kwh=intensity,
            source=self.source,
            kind=kind,
            signal_type=self.signal_type,
            emission_factor_type=self.emission_factor_type,
        )

    def _forecast(self, readings: Iterable[Reading], issued_at: datetime, now: datetime) -> Forecast:
        """Return what of a series lies ahead; values that are no forecast (an ``actual``) stay out of it.

        :raises InvalidAnswer: nothing ahead, or issued too long ago or later than the next interval.
        """
        ahead = tuple(r for r in readings if r.end > now and r.kind is IntensityKind.FORECAST)
        if not ahead:
            raise InvalidAnswer(f"the forecast has nothing after {format_time(now)}")
        issued = f"{self.source} gave a forecast issued at {format_time(issued_at)}, which is"
        if now - issued_at > STALE_FORECAST:
            raise InvalidAnswer(f"{issued} stale")
        if issued_at - now > timedelta(hours=1):
            raise InvalidAnswer(f"{issued} dated in the future; check this machine's clock if it persists")
        return Forecast(issued_at=issued_at, readings=ahead)
