"""How much of which forecast: the more history there is, the more regressions, and the less of the levelled mean."""

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from include.scheduler.forecast.arrays import DAY, FITTED_HOURS, FORECAST_HOURS, Floats, Integers
from include.scheduler.forecast.features import Anchor, Scale
from include.scheduler.forecast.levelled import levelled_mean
from include.scheduler.forecast.past import LEVEL_DECAY_H, HourlyPast
from include.scheduler.forecast.ridge import Ridge, fit_ridge

FIT_HOURS = 364 * DAY
_ANCHORS = (
    (35, Anchor(days=7, lags=24)),
    (42, Anchor(days=14, lags=24)),
    (90, Anchor(days=28, lags=48)),
)
"""From so many known days on, a regression takes part: several usual days err differently, and their mean errs less."""
_SEASON_DAYS = 300
_LEVELLED_DAYS = 30.0
_LEAST_LEVELLED = 0.15
_LEAST_KNOWN_BEFORE = 0.75
_LEAST_KNOWN_AHEAD = 0.9
_MOST_DAYS_LEFT_OUT = 14
_FADING = np.exp(-np.arange(1.0, FORECAST_HOURS - FITTED_HOURS + 1) / LEVEL_DECAY_H)


@dataclass(frozen=True, slots=True, kw_only=True)
class Blend:
    """Regressions fitted at one moment; the share of the levelled mean, 1 where there is none of them."""

    ridges: tuple[Ridge, ...]
    levelled_share: float

    @property
    def method(self) -> str:
        """The forecast's name for people."""
        return "ridge" if self.ridges else "mean of the same hour"

    def forecast(self, past: HourlyPast, index: int) -> Floats:
        """Return a week of hours from an index on, in g/kWh; where the regressions end, their correction fades."""
        forecast = levelled_mean(past, index)
        if self.ridges:
            told = sum((ridge.forecast(past, index) for ridge in self.ridges), np.zeros(FITTED_HOURS))
            change = (1.0 - self.levelled_share) * (told / len(self.ridges) - forecast[:FITTED_HOURS])
            forecast[:FITTED_HOURS] += change
            forecast[FITTED_HOURS:] += change[-1] * _FADING
        return np.maximum(forecast, 0.0)


def fit_blend(past: HourlyPast, index: int) -> Blend:
    """Fit what the hours before an index allow."""
    days = past.known_hours(index, FIT_HOURS) / DAY
    begin = max(past.first_known, index - FIT_HOURS if past.limit_hours is None else index - past.limit_hours)
    values = past.values[max(begin, index - FIT_HOURS) : index]
    values = values[~np.isnan(values)]
    spread = float(values.std()) if len(values) else 0.0
    if spread <= 0.0:
        return Blend(ridges=(), levelled_share=1.0)
    scale = Scale(spread=spread, mean=float(values.mean()), season=days >= _SEASON_DAYS)
    ridges = [_fitted(past, anchor, scale, begin, index) for least, anchor in _ANCHORS if days >= least]
    found = tuple(ridge for ridge in ridges if ridge is not None)
    share = min(1.0, max(_LEAST_LEVELLED, _LEVELLED_DAYS / days)) if found else 1.0
    return Blend(ridges=found, levelled_share=share)


def _fitted(past: HourlyPast, anchor: Anchor, scale: Scale, begin: int, index: int) -> Ridge | None:
    rows = _rows(past, anchor, begin, index)
    return fit_ridge(past, anchor, scale, rows, index) if len(rows) >= _MOST_DAYS_LEFT_OUT * DAY else None


def _rows(past: HourlyPast, anchor: Anchor, begin: int, index: int) -> Integers:
    """Return the indices to learn from: with a usual day before them, and next to no gap before or after."""
    first = max(begin + min(anchor.days, _MOST_DAYS_LEFT_OUT) * DAY, index - FIT_HOURS)
    rows: Integers = np.arange(first, index - FITTED_HOURS + 1, dtype=np.int64)
    if not len(rows):
        return rows
    before = sliding_window_view(past.known, anchor.lags)[rows - anchor.lags].mean(axis=1)
    ahead = sliding_window_view(past.known, FITTED_HOURS)[rows].mean(axis=1)
    return rows[(before >= _LEAST_KNOWN_BEFORE) & (ahead >= _LEAST_KNOWN_AHEAD)]
