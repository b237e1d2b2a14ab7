"""WattTime, API v3: the marginal operating emissions rate (co2_moer), with an account whose login gives a token of 30 minutes.

Rules beside those in docs/providers.md:

- lb/MWh become g/kWh here. Percentiles (signal-index) and any other unit are refused: they cannot be compared with grams.
- the region and the signal type that ``meta`` names must be those that were asked for.
- a forecast names when it was generated, kind ``forecast``; historical values are ``estimated``: the rate is a model's.
- single zeros are real (curtailment); an answer of zeros only is refused, as in the outage of 2026-04-22.
"""

import string
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final

from lowtide.config.zones import Zone
from lowtide.errors import ConfigurationError, InvalidAnswer, ProviderUnavailable
from lowtide.grid.http import Credentials, Request, Transport, basic_headers, token_headers
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
from lowtide.units import gco2eq_per_kwh_from_lb_per_mwh

_SIGNAL: Final = "co2_moer"
_UNIT: Final = "lbs_co2_per_mwh"
_ABSURD_LB_PER_MWH: Final = 4_000.0
"""About 1,800 g/kWh: beyond the worst plant that could be at the margin."""
_TOKEN_RENEWED_AFTER_S: Final = 24 * 60.0
"""Of 30 minutes: clocks differ, and a request takes a while."""
_UNAUTHORIZED: Final = 401
_TOKEN_CHARACTERS: Final = frozenset(string.ascii_letters + string.digits + "-._~+/=")


class WattTimeProvider(HttpProvider):
    """A region's marginal rate; combustion only. ``grid.region`` names a region of WattTime's, e.g. "PJM_NJ"."""

    name: ClassVar[str] = "watttime"
    signal_type: SignalType = SignalType.MARGINAL
    emission_factor_type: EmissionFactorType = EmissionFactorType.DIRECT
    base_url: ClassVar[str | None] = "https://api.watttime.org"
    needs_key: ClassVar[bool] = True
    needs_login: ClassVar[bool] = True
    max_age: ClassVar[timedelta] = timedelta(minutes=30)
    resolution: ClassVar[timedelta] = timedelta(minutes=5)
    max_range: ClassVar[timedelta] = timedelta(days=30)

    @classmethod
    def covers(cls, zone: Zone) -> bool:
        """Return whether the zone is one region of WattTime's, or its best known part."""
        return zone.watttime is not None

    def check(self, zone: Zone) -> None:
        """Refuse a zone whose region is neither known nor given."""
        if self.region is None and not self.covers(zone):
            raise ConfigurationError(
                f"grid.provider 'watttime' has no single region for zone '{zone.key}'; set grid.region to the one"
                " that you mean, e.g. 'PJM_NJ', or use another provider"
            )

    def current_request(self, zone: Zone, now: datetime) -> Request:
        """Return the request for the forecast, whose first values hold now: there is no endpoint for the present alone."""
        del now
        return self._request("/v3/forecast", zone, {"horizon_hours": "48"})

    def range_request(self, zone: Zone, start: datetime, end: datetime) -> Request:
        """Return the request for historical values of a span."""
        span = {"start": f"{as_utc(start):%Y-%m-%dT%H:%M:%SZ}", "end": f"{as_utc(end):%Y-%m-%dT%H:%M:%SZ}"}
        return self._request("/v3/historical", zone, span)

    def parse(self, body: bytes, zone: Zone) -> tuple[Reading, ...]:
        """Return the intervals of a forecast or historical answer; the rules are at the head of this file."""
        return self._parsed(as_mapping(decode_json(body, self.name), self.name, "something"), zone)

    def parse_forecast(self, body: bytes, zone: Zone, now: datetime) -> Forecast:
        """Return what of a forecast answer lies ahead."""
        answer = as_mapping(decode_json(body, self.name), self.name, "something")
        issued_at = as_time(_meta(answer).get("generated_at"), self.name)
        return as_forecast(self._parsed(answer, zone), issued_at, now)

    def session(self, transport: Transport, credentials: Credentials) -> "TokenAuth":
        """Return the login that requests go through."""
        return TokenAuth(transport, credentials)

    def _request(self, path: str, zone: Zone, params: Mapping[str, str]) -> Request:
        return Request(path=path, params={"region": self._region(zone), "signal_type": _SIGNAL, **params})

    def _region(self, zone: Zone) -> str:
        return self.region or str(zone.watttime)

    def _parsed(self, answer: Mapping[str, Any], zone: Zone) -> tuple[Reading, ...]:
        meta = _meta(answer)
        refuse_wrong_zone(meta.get("region"), self._region(zone), self.name)
        for key, expected in (("signal_type", _SIGNAL), ("units", _UNIT)):
            if meta.get(key) != expected:
                raise InvalidAnswer(f"watttime answered with {key} {str(meta.get(key))[:SHOWN]!r}, not {expected!r}")
        length = _period(meta.get("data_point_period_seconds"))
        kind = IntensityKind.FORECAST if "generated_at" in meta else IntensityKind.ESTIMATED
        points = as_list(answer.get("data"), self.name, "values")
        readings = [self._point(point, zone, length, kind) for point in points]
        return checked((r for r in readings if r is not None), self.name, zone.key)

    def _point(self, point: Any, zone: Zone, length: timedelta, kind: IntensityKind) -> Reading | None:
        point = as_mapping(point, self.name, "a value")
        start, value = as_time(point.get("point_time"), self.name), point.get("value")
        if value is None:
            return None
        rate = as_number(value, self.name, _ABSURD_LB_PER_MWH, "lb/MWh")
        return self.reading(zone, start, length, gco2eq_per_kwh_from_lb_per_mwh(rate), kind)


def _meta(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    if "meta" not in answer and (answer.get("error") or answer.get("message")):
        raise InvalidAnswer(f"watttime answered with an error: {str(answer.get('message') or answer['error'])[:120]!r}")
    return as_mapping(answer.get("meta"), "watttime", "a meta")


def _period(value: Any) -> timedelta:
    if isinstance(value, bool) or not isinstance(value, int) or not 60 <= value <= 3600:
        raise InvalidAnswer(f"watttime answered with intervals of {str(value)[:SHOWN]!r} s; 300 were expected")
    return timedelta(seconds=value)


class TokenAuth:
    """Logs in for a token, and renews it when it is old or refused. Thread-safe; the token lives in this process only.

    :raises ConfigurationError: no login or no password was given.
    """

    def __init__(
        self, transport: Transport, credentials: Credentials, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        if not credentials.login or not credentials.token:
            raise ConfigurationError(
                "watttime needs a login and a password; name a connection that has both in grid.connection,"
                " or set LOWTIDE_GRID_LOGIN and LOWTIDE_GRID_TOKEN"
            )
        self._transport = transport
        self._basic = basic_headers(credentials.login, credentials.token)
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._token: str | None = None
        self._fetched_s = 0.0

    def get(self, request: Request) -> bytes:
        """Return the body of an answer; a refused token is renewed once.

        :raises ProviderUnavailable: no answer, or login and password are refused.
        """
        token = self._current_token()
        try:
            return self._transport.get(request, token_headers(token))
        except ProviderUnavailable as error:
            if error.status != _UNAUTHORIZED:
                raise
        return self._transport.get(request, token_headers(self._current_token(refused=token)))

    def _current_token(self, refused: str | None = None) -> str:
        with self._lock:  # many threads with an old token: one logs in, the others take what it got
            old = self._monotonic() - self._fetched_s >= _TOKEN_RENEWED_AFTER_S
            if self._token is None or old or self._token == refused:
                self._token = None
                self._token = token_of(self._transport.get(Request(path="/login"), self._basic))
                self._fetched_s = self._monotonic()
            return self._token


def token_of(body: bytes) -> str:
    """Return the token of an answer to a login; nothing of it is ever shown.

    :raises InvalidAnswer: no token that is fit for a header.
    """
    try:
        answer = decode_json(body, "watttime")
    except InvalidAnswer:
        answer = None
    token = answer.get("token") if isinstance(answer, dict) else None
    if not isinstance(token, str) or not token or not set(token) <= _TOKEN_CHARACTERS:
        raise InvalidAnswer("watttime answered to the login without a token")
    return token
