"""How wrong forecasts were in the last weeks, and the interval that this gives an expected saving."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import lru_cache, partial

import numpy as np

from lowtide.errors import LowtideError
from lowtide.grid.forecast.features import DAY, FORECAST_HOURS, HOUR_S, Floats, HourlyPast, Integers, Series
from lowtide.grid.history import HistoryStore
from lowtide.grid.series import IntensityCurve, hour_of
from lowtide.records import IntensityKind, Reading
from lowtide.timeutil import as_utc

_DAYS = 56
_EVERY_HOURS = 3
_NEAR_HOURS = 3
"""Errors of forecasts made at about the same hour of the day count: at night a grid errs otherwise than at noon."""
_FEWEST = 40
_LEAST_KNOWN = 0.75
_QUANTILES = (0.1, 0.9)
LEAST_FORECASTS = 10
"""From fewer of a provider's forecasts no interval is given: two quantiles of nine numbers are two of the numbers."""
DAYS = 28
_AHEAD = timedelta(hours=72)


class LeadErrors:
    """What was minus what was expected, in g/kWh, by origin (hours since 1970) and lead in hours; NaN where unknown."""

    def __init__(self, origins: Integers, errors: Floats, *, fewest: int = _FEWEST) -> None:
        self._origins = origins
        self._errors = errors
        self._fewest = fewest

    def saving_interval_percent(
        self, curve: IntensityCurve, now_s: float, start_s: float, duration_s: float
    ) -> tuple[float, float] | None:
        """Return the 10 % and 90 % quantile of 100 x (1 - block / block from now) with past errors laid over the curve.

        Each past forecast's errors move both blocks, so what errs alike in both cancels. None where the curve or the
        errors do not reach as far, or too few forecasts are known.
        """
        expected_now = curve.mean_over(now_s, now_s + duration_s)
        expected_then = curve.mean_over(start_s, start_s + duration_s)
        if expected_now is None or expected_then is None:
            return None
        origin_s = now_s // HOUR_S * HOUR_S
        apart_h = np.abs(self._origins - int(origin_s // HOUR_S)) % DAY
        near = self._errors[np.minimum(apart_h, DAY - apart_h) <= _NEAR_HOURS]
        now = expected_now + _block_means(near, now_s - origin_s, duration_s)
        then = expected_then + _block_means(near, start_s - origin_s, duration_s)
        usable = ~np.isnan(now) & ~np.isnan(then) & (now > 0)
        if usable.sum() < self._fewest:
            return None
        low, high = np.quantile(100.0 * (1.0 - np.maximum(then[usable], 0.0) / now[usable]), _QUANTILES)
        return float(low), float(high)


def past_errors_before(past: HourlyPast, index: int, forecast: Callable[[int], Floats | None]) -> LeadErrors | None:
    """Return the errors of the forecasts whose week had ended by an index; None where there are too few.

    :param forecast: the forecast as it was at an earlier index.
    """
    first, last = index - FORECAST_HOURS - _DAYS * DAY, index - FORECAST_HOURS
    origins, errors = [], []
    for origin in range(max(0, first), last + 1, _EVERY_HOURS):
        expected = forecast(origin)
        if expected is not None:
            origins.append(origin + past.first_hour)
            errors.append(past.values[origin : origin + FORECAST_HOURS] - expected)
    if len(errors) < _FEWEST:
        return None
    return LeadErrors(np.array(origins, dtype=np.int64), np.stack(errors))


def _block_means(errors: Floats, begin_s: float, duration_s: float) -> Floats:
    """Return each row's mean over ``[begin_s, begin_s + duration_s)`` after its origin; NaN where a quarter is unknown."""
    hours = np.arange(errors.shape[1] + 1) * HOUR_S
    end_s = begin_s + duration_s
    if begin_s < 0 or end_s > hours[-1]:
        return np.full(len(errors), np.nan)
    weights = np.clip(np.minimum(hours[1:], end_s) - np.maximum(hours[:-1], begin_s), 0.0, None)
    known = (~np.isnan(errors)) @ weights
    means = np.full(len(errors), np.nan)
    np.divide(np.nan_to_num(errors) @ weights, known, out=means, where=known >= _LEAST_KNOWN * duration_s)
    return means


def stored_forecast_errors(store: HistoryStore) -> Callable[[datetime], LeadErrors | None]:
    """Return what says how wrong the provider's forecasts of the four weeks before a time were; None: the store cannot be read.

    Of each day it is the forecast as it was known at the hour of the day that is asked about.
    """
    # reading four weeks takes a good part of a second; jobs ask many times an hour
    errors_before = lru_cache(maxsize=1)(partial(_errors_before, store))
    return lambda now: errors_before(hour_of(as_utc(now)).astimezone(store.timezone))


def _errors_before(store: HistoryStore, hour: datetime) -> LeadErrors | None:
    origins = [hour - timedelta(days=day) for day in range(1, DAYS + 1)]
    try:
        errors = np.stack([_errors_of(store, origin) for origin in origins])
    except LowtideError:
        return None
    hours = np.array([origin.timestamp() // HOUR_S for origin in origins], dtype=np.int64)
    return LeadErrors(hours, errors, fewest=LEAST_FORECASTS)


def _errors_of(store: HistoryStore, origin: datetime) -> Floats:
    """Return actual minus forecast of each hour from an origin on, in g/kWh; NaN where either is unknown."""
    end = origin + _AHEAD
    forecast = [r for r in store.known(origin, end, origin) if r.kind is IntensityKind.FORECAST]
    actual = [r for r in store.known(origin, end) if r.kind is not IntensityKind.FORECAST]
    first_hour = int(origin.timestamp()) // HOUR_S
    return _hours_from(first_hour, actual) - _hours_from(first_hour, forecast)


def _hours_from(first_hour: int, readings: Sequence[Reading]) -> Floats:
    hours = np.full(_AHEAD // timedelta(hours=1), np.nan)
    if readings:
        begin, means = Series.from_readings(readings).hourly()
        index = first_hour - begin + np.arange(len(hours))
        inside = (index >= 0) & (index < len(means))
        hours[inside] = means[index[inside]]
    return hours
