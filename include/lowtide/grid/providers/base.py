"""A live provider is pure: it builds requests and parses answers. Its parsers share the guards of this file."""

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, ClassVar, Final

from lowtide.config.zones import Zone
from lowtide.errors import ConfigurationError, InvalidAnswer
from lowtide.grid.http import Credentials, Request, Session, Transport
from lowtide.records import EmissionFactorType, Forecast, IntensityKind, Reading, SignalType
from lowtide.timeutil import format_time, parse_time

STALE_FORECAST: Final = timedelta(hours=24)
"""A forecast issued longer ago is no forecast of today's weather."""
SHOWN: Final = 60
"""Characters of a strange value that an error shows."""


def decode_json(body: bytes, provider: str) -> Any:
    """Return the JSON of a body.

    :raises InvalidAnswer: not JSON (an HTML page sent with status 200, say), or nested beyond reason.
    """
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        shown = body[:40].decode("utf-8", errors="replace")
        raise InvalidAnswer(f"{provider} answered with something that is not JSON, beginning {shown!r}") from None


def as_number(value: Any, provider: str, absurd_above: float, unit: str = "g/kWh") -> float:
    """Return an intensity in the unit given.

    :raises InvalidAnswer: no number (a bool or a string is not one), negative, non-finite or absurd; never read as 0.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidAnswer(f"{provider} answered with the intensity {str(value)[:60]!r}, which is not a number")
    if not 0 <= value <= absurd_above or not math.isfinite(value):
        raise InvalidAnswer(
            f"{provider} answered with {str(value)[:60]} {unit}; an intensity lies from 0 to {absurd_above:g}"
        )
    return float(value)


def without_repeats(readings: Iterable[Reading]) -> tuple[Reading, ...]:
    """Return the readings in time order, equal repeats kept once.

    :raises InvalidAnswer: two readings overlap and are not the same.
    """
    kept: list[Reading] = []
    for reading in sorted(readings, key=lambda r: (r.start, r.end)):
        if kept and reading == kept[-1]:
            continue
        if kept and reading.start < kept[-1].end:
            raise InvalidAnswer(f"{reading.source} answered with two different values for {reading.start.isoformat()}")
        kept.append(reading)
    return tuple(kept)


def as_list(value: Any, provider: str, what: str) -> list[Any]:
    """Return a list of an answer.

    :raises InvalidAnswer: it is not; an error text in the answer is shown.
    """
    if not isinstance(value, list):
        raise InvalidAnswer(f"{provider} answered without a list of {what}")
    return value


def as_mapping(value: Any, provider: str, what: str) -> Mapping[str, Any]:
    """Return a JSON object of an answer.

    :raises InvalidAnswer: it is not.
    """
    if not isinstance(value, dict):
        raise InvalidAnswer(f"{provider} answered with {what} that is {str(value)[:SHOWN]!r}, not an object")
    return value


def as_time(value: Any, provider: str) -> datetime:
    """Return a time of an answer, in UTC; fractions beyond microseconds are cut.

    :raises InvalidAnswer: no text, not ISO-8601, or without an offset.
    """
    try:
        return parse_time(value)
    except (ValueError, TypeError, OverflowError):
        raise InvalidAnswer(
            f"{provider} answered with the time {str(value)[:SHOWN]!r}, which is not ISO-8601 with an offset"
        ) from None


def refuse_wrong_zone(answered: Any, asked: str, provider: str) -> None:
    """Check the zone that an answer names against the one that was asked for.

    :raises InvalidAnswer: they differ, or the answer names none.
    """
    if answered is None:
        raise InvalidAnswer(f"{provider} answered without naming a zone, so it may be for another than {asked!r}")
    if answered != asked:
        raise InvalidAnswer(f"{provider} answered for zone {str(answered)[:SHOWN]!r}, but {asked!r} was asked for")


def checked(readings: Iterable[Reading], provider: str, zone: str) -> tuple[Reading, ...]:
    """Return the readings in time order without repeats; the rules of docs/providers.md that all parsers share.

    :raises InvalidAnswer: none at all, only zeros, or two that contradict.
    """
    kept = without_repeats(readings)
    if not kept:
        raise InvalidAnswer(f"{provider} answered without a single value for zone {zone}")
    if all(reading.carbon_intensity_gco2eq_per_kwh == 0 for reading in kept):
        raise InvalidAnswer(f"{provider} answered only zeros for zone {zone}; no grid is that clean")
    return kept


def as_forecast(readings: Iterable[Reading], issued_at: datetime, now: datetime) -> Forecast:
    """Return what of a checked series lies ahead; values that are no forecast (an ``actual``) stay out of it.

    :raises InvalidAnswer: nothing ahead, or issued too long ago or later than the next interval.
    """
    ahead = tuple(r for r in readings if r.end > now and r.kind is IntensityKind.FORECAST)
    if not ahead:
        raise InvalidAnswer(f"the forecast has nothing after {format_time(now)}")
    source = ahead[0].source
    if now - issued_at > STALE_FORECAST:
        raise InvalidAnswer(f"{source} gave a forecast issued at {format_time(issued_at)}, which is stale")
    if issued_at - now > timedelta(hours=1):
        raise InvalidAnswer(
            f"{source} gave a forecast issued at {format_time(issued_at)}, which is dated in the future;"
            " check this machine's clock if it persists"
        )
    return Forecast(issued_at=issued_at, readings=ahead)


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
    gives_both_factor_types: ClassVar[bool] = False
    """Whether ``factor_type`` chooses; else only ``emission_factor_type`` can be had."""
    needs_login: ClassVar[bool] = False
    """Whether login and password are exchanged for a token, see ``session``."""
    can_recover: ClassVar[bool] = True
    """Whether another check may succeed after one that failed."""
    max_age: ClassVar[timedelta]
    """How long after its interval a last good reading may replace an answer."""
    resolution: ClassVar[timedelta]
    max_range: ClassVar[timedelta]
    """The longest span that one range request may ask for."""

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
        self._accept("grid.emission_factor_type", factor_type, self.emission_factor_type)
        self._accept("grid.signal_type", signal_type, self.signal_type)

    def _accept(self, key: str, wanted: StrEnum | None, given: StrEnum) -> None:
        if wanted is not None and wanted is not given:
            raise ConfigurationError(
                f"{key} is '{wanted.value}', but {self.name} gives '{given.value}' only; leave it null or choose another"
                " grid.provider"
            )

    @property
    def source(self) -> str:
        """The provider's name with the region, where one is asked for: what readings and stores are labelled with."""
        return f"{self.name}:{self.region}" if self.region else self.name

    @classmethod
    @abstractmethod
    def covers(cls, zone: Zone) -> bool:
        """Return whether the provider has a signal for a zone."""

    def check(self, zone: Zone) -> None:
        """Refuse a zone and region that cannot be asked for, before anything waits on it.

        :raises ConfigurationError: not covered, or a region that is missing or unknown.
        """
        if not self.covers(zone):
            raise ConfigurationError(
                f"grid.provider '{self.name}' does not cover zone '{zone.key}'; use provider 'auto', or a zone that it covers"
            )
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
        return as_forecast(self.parse(body, zone), now, now)

    def access_request(self) -> Request | None:
        """Return the request whose answer names what the token may use; None without such a request."""
        return None

    def grant(self, body: bytes, zone: Zone) -> None:
        """Take note of an answer to ``access_request`` (else InvalidAnswer); later requests keep to what is granted."""
        del body, zone

    def session(self, transport: Transport, credentials: Credentials) -> Session:
        """Return what requests go through: the transport, or one that exchanges login and password for a token.

        :raises ConfigurationError: credentials that are missing.
        """
        del credentials
        return transport

    def reading(self, zone: Zone, start: datetime, length: timedelta, value: float, kind: IntensityKind) -> Reading:
        """Return one interval with this provider's labels.

        :raises InvalidAnswer: an interval that runs past the end of time.
        """
        try:
            end = start + length
        except OverflowError:
            raise InvalidAnswer(f"{self.name} answered with the time {start.isoformat()}") from None
        return Reading(
            zone=zone.key,
            start=start,
            end=end,
            carbon_intensity_gco2eq_per_kwh=value,
            source=self.source,
            kind=kind,
            signal_type=self.signal_type,
            emission_factor_type=self.emission_factor_type,
        )
