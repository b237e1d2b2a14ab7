"""A ridge regression for each hour of the day, which its neighbours support.

Hours of a day obey different rules, but hours next to one another nearly the same, and a year has only 365 days to learn
an hour from. So the sums of each clock hour's regression (X'X and X'y) are mixed with those of the hours around it.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from include.scheduler.forecast.arrays import DAY, FITTED_HOURS, Floats, Integers
from include.scheduler.forecast.features import Anchor, Scale
from include.scheduler.forecast.past import HourlyPast

_PENALTY = 20.0
_PENALTY_OF_CONSTANT = 1e-3
_NEIGHBOURHOOD_H = 1.5
_ALL_HOURS = 0.05
_SEASON_DAYS = 90.0
_ANY_SEASON = 0.3
_YEAR_DAYS = 365.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Ridge:
    """Fitted weights by clock hour, an array of (24, columns, leads)."""

    anchor: Anchor
    scale: Scale
    weights: Floats

    def forecast(self, past: HourlyPast, index: int) -> Floats:
        """Return the hours from an index on that the regression tells, in g/kWh."""
        row = np.array([index])
        columns = self.anchor.columns(past, row, self.scale)[0]
        # einsum without BLAS: the same sums in the same order, whatever lies where in memory
        deviations = np.einsum("p,ph->h", columns, self.weights[past.clock_hour[index]])
        forecast: Floats = self.anchor.usual(past, row)[0] + self.scale.spread * deviations
        return forecast


def fit_ridge(past: HourlyPast, anchor: Anchor, scale: Scale, rows: Integers, index: int) -> Ridge:
    """Fit on the indices ``rows``, all of whose leads had ended by ``index``; days of its season count most."""
    rows = rows[np.argsort(past.clock_hour[rows], kind="stable")]
    columns = anchor.columns(past, rows, scale)
    ahead = past.filled[rows[:, None] + np.arange(FITTED_HOURS)]
    both = np.concatenate([columns, (ahead - anchor.usual(past, rows)) / scale.spread], axis=1)
    weighted = columns * _season_weights(index - rows)[:, None]
    bounds = np.searchsorted(past.clock_hour[rows], np.arange(DAY + 1))
    sums = np.stack([weighted[a:b].T @ both[a:b] for a, b in pairwise(bounds)])
    count = columns.shape[1]
    mixed = (_NEIGHBOURS @ sums.reshape(DAY, -1)).reshape(DAY, count, -1)
    penalty = np.full(count, _PENALTY)
    penalty[-1] = _PENALTY_OF_CONSTANT
    weights = np.linalg.solve(mixed[:, :, :count] + np.diag(penalty), mixed[:, :, count:])
    return Ridge(anchor=anchor, scale=scale, weights=weights)


def _season_weights(hours_ago: Integers) -> Floats:
    days = hours_ago / DAY % _YEAR_DAYS
    apart = np.minimum(days, _YEAR_DAYS - days)
    weights: Floats = _ANY_SEASON + (1.0 - _ANY_SEASON) * np.exp(-0.5 * (apart / _SEASON_DAYS) ** 2)
    return weights


def _neighbours() -> Floats:
    apart = np.abs(np.arange(DAY)[:, None] - np.arange(DAY))
    apart = np.minimum(apart, DAY - apart)
    weights: Floats = _ALL_HOURS + (1.0 - _ALL_HOURS) * np.exp(-0.5 * (apart / _NEIGHBOURHOOD_H) ** 2)
    return weights


_NEIGHBOURS = _neighbours()
