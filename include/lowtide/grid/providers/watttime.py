"""WattTime, API v3: the marginal operating emissions rate (co2_moer), with an account whose login gives a token of 30 minutes.

Rules beside those in docs/providers.md:

- lb/MWh become g/kWh here. Percentiles (signal-index) and any other unit are refused: they cannot be compared with grams.
- the region and the signal type that ``meta`` names must be those that were asked for.
- a forecast names when it was generated, kind ``forecast``; historical values are ``estimated``: the rate is a model's.
- single zeros are real (curtailment); an answer of zeros only is refused, as in the outage of 2026-04-22.
"""

import json
import string
import threading
from base64 import b64encode
from collections.abc import Mapping
from datetime import datetime, timedelta
from time import monotonic
from typing import Any, ClassVar, Final

from lowtide.config.zones import Zone
from lowtide.errors import ConfigurationError, InvalidAnswer, ProviderUnavailable
from lowtide.grid.http import Credentials, Request, Transport, bearer
from lowtide.grid.providers.base import SHOWN, HttpProvider, Point
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


class LoginTransport(Transport):
    """Logs in for a token, and renews it when it is old or refused. Thread-safe; the token lives in this process only.

    :raises ConfigurationError: no login or no password was given.
    """

    def __init__(self, base_url: str, credentials: Credentials, **options: Any) -> None:
        super().__init__(base_url, credentials, **options)
        if not credentials.login or not credentials.token:
            raise ConfigurationError(
                "watttime needs a login and a password; name a connection that has both in grid.connection,"
                " or set LOWTIDE_GRID_LOGIN and LOWTIDE_GRID_TOKEN"
            )
        basic = b64encode(f"{credentials.login}:{credentials.token}".encode()).decode("ascii")
        self._login_headers = {"Authorization": f"Basic {basic}"}
        self._lock = threading.Lock()
        self._token: str | None = None
        self._fetched_s = 0.0

    def get(self, request: Request) -> bytes:
        """Return the body of an answer; a refused token is renewed once.

        :raises ProviderUnavailable: no answer, or login and password are refused.
        """
        token = self._current_token()
        try:
            return self._send(request, bearer(token))
        except ProviderUnavailable as error:
            if error.status != _UNAUTHORIZED:
                raise
        return self._send(request, bearer(self._current_token(refused=token)))

    def _current_token(self, refused: str | None = None) -> str:
        with self._lock:  # many threads with an old token: one logs in, the others take what it got
            old = monotonic() - self._fetched_s >= _TOKEN_RENEWED_AFTER_S
            if self._token is None or old or self._token == refused:
                self._token = None
                self._token = token_of(self._send(Request(path="/login"), self._login_headers))
                self._fetched_s = monotonic()
            return self._token


def token_of(body: bytes) -> str:
    """Return the token of an answer to a login; nothing of it is ever shown.

    :raises InvalidAnswer: no token that is fit for a header.
    """
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        answer = None
    token = answer.get("token") if isinstance(answer, dict) else None
    if not isinstance(token, str) or not token or not set(token) <= _TOKEN_CHARACTERS:
        raise InvalidAnswer("watttime answered to the login without a token")
    return token


class WattTimeProvider(HttpProvider):
    """A region's marginal rate; combustion only. ``grid.region`` names a region of WattTime's, e.g. "PJM_NJ"."""

    name: ClassVar[str] = "watttime"
    signal_type: SignalType = SignalType.MARGINAL
    emission_factor_type: EmissionFactorType = EmissionFactorType.DIRECT
    base_url: ClassVar[str | None] = "https://api.watttime.org"
    needs_key: ClassVar[bool] = True
    needs_login: ClassVar[bool] = True
    transport: ClassVar[type[Transport]] = LoginTransport
    max_age: ClassVar[timedelta] = timedelta(minutes=30)
    resolution: ClassVar[timedelta] = timedelta(minutes=5)
    max_range: ClassVar[timedelta] = timedelta(days=30)

    def check(self, zone: Zone) -> None:
        """Refuse a zone whose region is neither known nor given."""
        if self.region is None and self.zone_name(zone) is None:
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
        return self._parsed(self._answer(body), zone)

    def parse_forecast(self, body: bytes, zone: Zone, now: datetime) -> Forecast:
        """Return what of a forecast answer lies ahead."""
        answer = self._answer(body)
        issued_at = self._time(self._meta(answer).get("generated_at"))
        return self._forecast(self._parsed(answer, zone), issued_at, now)

    def _request(self, path: str, zone: Zone, params: Mapping[str, str]) -> Request:
        return Request(path=path, params={"region": self._region(zone), "signal_type": _SIGNAL, **params})

    def _region(self, zone: Zone) -> str:
        return self.region or str(self.zone_name(zone))

    def _meta(self, answer: Mapping[str, Any]) -> Mapping[str, Any]:
        if "meta" not in answer:
            self._refuse_error(answer.get("message") or answer.get("error"))
        return self._mapping(answer.get("meta"), "a meta")

    def _parsed(self, answer: Mapping[str, Any], zone: Zone) -> tuple[Reading, ...]:
        meta = self._meta(answer)
        for key, asked in (("region", self._region(zone)), ("signal_type", _SIGNAL), ("units", _UNIT)):
            self._refuse_other(key, meta.get(key), asked)
        length = _period(meta.get("data_point_period_seconds"))
        kind = IntensityKind.FORECAST if "generated_at" in meta else IntensityKind.ESTIMATED
        points = self._list(answer.get("data"), "values")
        return self._readings(zone, [self._point(point, length, kind) for point in points])

    def _point(self, point: Any, length: timedelta, kind: IntensityKind) -> Point:
        point = self._mapping(point, "a value")
        start, rate = self._time(point.get("point_time")), point.get("value")
        if rate is not None:
            rate = gco2eq_per_kwh_from_lb_per_mwh(self._number(rate, _ABSURD_LB_PER_MWH, "lb/MWh"))
        return start, length, rate, kind


def _period(value: Any) -> timedelta:
    if isinstance(value, bool) or not isinstance(value, int) or not 60 <= value <= 3600:
        raise InvalidAnswer(f"watttime answered with intervals of {str(value)[:SHOWN]!r} s; 300 were expected")
    return timedelta(seconds=value)
