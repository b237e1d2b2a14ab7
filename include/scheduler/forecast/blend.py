"""How much of which forecast: the more history there is, the more regressions, and the less of the levelled mean."""

from dataclasses import dataclass

import numpy as np

from include.scheduler.forecast.arrays import DAY, FITTED_HOURS, FORECAST_HOURS, Floats
from include.scheduler.forecast.features import Anchor
from include.scheduler.forecast.learning import Learning, last_monday
from include.scheduler.forecast.levelled import levelled_mean
from include.scheduler.forecast.past import LEVEL_DECAY_H, HourlyPast
from include.scheduler.forecast.ridge import Ridge, solve_ridge

_ANCHORS = (
    (35, Anchor(days=7, lags=24)),
    (42, Anchor(days=14, lags=24)),
    (90, Anchor(days=28, lags=48)),
)
"""From so many known days on, a regression takes part: several usual days err differently, and their mean errs less."""
_SEASON_DAYS = 300
_LEVELLED_DAYS = 30.0
_LEAST_LEVELLED = 0.15
_FADING = np.exp(-np.arange(1.0, FORECAST_HOURS - FITTED_HOURS + 1) / LEVEL_DECAY_H)


@dataclass(frozen=True, slots=True, kw_only=True)
class Blend:
    """Regressions fitted at one moment; the share of the levelled mean, 1 where there is none of them."""

    ridges: tuple[Ridge, ...] = ()
    levelled_share: float = 1.0

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


class Blends:
    """The blends of a past, fitted anew every Monday 00:00 UTC."""

    def __init__(self, past: HourlyPast) -> None:
        self._past = past
        self._learning = [(least, anchor, Learning(past, anchor)) for least, anchor in _ANCHORS]
        self._fitted: dict[int, Blend] = {}

    def at(self, index: int) -> Blend:
        """Return the blend that holds at an index."""
        monday = last_monday(self._past, index)
        if monday <= 0:
            return Blend()
        if monday not in self._fitted:
            self._fitted[monday] = self._fit(monday)
        return self._fitted[monday]

    def _fit(self, index: int) -> Blend:
        past = self._past
        days = past.known_hours(index) / DAY
        values = past.values[past.begin(index) : index]
        variance = float(np.nanvar(values)) if days else 0.0
        if variance == 0.0:
            return Blend()
        ridges = []
        for least, anchor, learning in self._learning:
            sums = learning.sums(index) if days >= least else None
            if sums is not None:
                ridges.append(solve_ridge(anchor, sums, variance, season=days >= _SEASON_DAYS))
        if not ridges:
            return Blend()
        return Blend(ridges=tuple(ridges), levelled_share=min(1.0, max(_LEAST_LEVELLED, _LEVELLED_DAYS / days)))
