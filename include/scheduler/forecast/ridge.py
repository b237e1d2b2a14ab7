"""A ridge regression for each hour of the day, which its neighbours support.

Hours of a day obey different rules, but hours next to one another nearly the same, and a year has only 365 days to learn
an hour from. So the sums of each clock hour's regression (X'X and X'y) are mixed with those of the hours around it.
"""

from dataclasses import dataclass

import numpy as np

from include.scheduler.forecast.arrays import DAY, Floats
from include.scheduler.forecast.features import Anchor
from include.scheduler.forecast.past import SEASON_COLUMNS, HourlyPast

_PENALTY = 20.0
"""In units of the past's variance, so that a clean grid is treated as a dirty one."""
_PENALTY_OF_CONSTANT = 1e-3
_NEIGHBOURHOOD_H = 1.5
_ALL_HOURS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Ridge:
    """Fitted weights by clock hour, an array of (24, columns, leads)."""

    anchor: Anchor
    weights: Floats

    def forecast(self, past: HourlyPast, index: int) -> Floats:
        """Return the hours from an index on that the regression tells, in g/kWh."""
        row = np.array([index])
        # einsum without BLAS: the same sums in the same order, whatever lies where in memory
        deviations = np.einsum("p,ph->h", self.anchor.columns(past, row)[0], self.weights[past.clock_hour[index]])
        forecast: Floats = self.anchor.usual(past, row)[0] + deviations
        return forecast


def solve_ridge(anchor: Anchor, sums: Floats, variance: float, *, season: bool) -> Ridge:
    """Solve from sums of (24, columns, columns + leads).

    :param season: whether the season's waves take part: with less than most of a year they would tell a trend.
    """
    count = sums.shape[1]
    mixed: Floats = (_NEIGHBOURS @ sums.reshape(DAY, -1)).reshape(DAY, count, -1)
    penalty = np.full(count, _PENALTY)
    penalty[: anchor.intensity_columns] *= variance
    penalty[-1] = _PENALTY_OF_CONSTANT
    if not season:
        waves = slice(count - 1 - SEASON_COLUMNS, count - 1)
        mixed[:, waves, :] = mixed[:, :, waves] = 0.0
    weights = np.linalg.solve(mixed[:, :, :count] + np.diag(penalty), mixed[:, :, count:]).astype(
        np.float64, copy=False
    )
    return Ridge(anchor=anchor, weights=weights)


def _neighbours() -> Floats:
    apart = np.abs(np.arange(DAY)[:, None] - np.arange(DAY))
    apart = np.minimum(apart, DAY - apart)
    weights: Floats = _ALL_HOURS + (1.0 - _ALL_HOURS) * np.exp(-0.5 * (apart / _NEIGHBOURHOOD_H) ** 2)
    return weights


_NEIGHBOURS = _neighbours()
