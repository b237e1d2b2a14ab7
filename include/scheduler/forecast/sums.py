"""The sums that a regression is solved from, gathered block by block so that another week costs a week."""

import numpy as np

from include.scheduler.forecast.arrays import DAY, FITTED_HOURS, Floats, Integers
from include.scheduler.forecast.features import Anchor
from include.scheduler.forecast.past import HourlyPast

SEASON_MEAN = 0.65
SEASON_SWING = 0.35
"""A day half a year away weighs 0.3 of one of the same season: mean plus swing times the cosine between them."""


def block_sums(past: HourlyPast, anchor: Anchor, rows: Integers) -> Floats:
    """Return X'X and X'y side by side by clock hour, as they are and times the season's cosine and sine.

    An array of (24, 3, columns, columns + leads); the cosine of a difference of angles is made of the last two, so days can
    be weighted by their distance in the year from any other day later on.
    """
    rows = rows[np.argsort(past.clock_hour[rows], kind="stable")]
    columns = anchor.columns(past, rows)
    ahead = past.filled[rows[:, None] + np.arange(FITTED_HOURS)] - anchor.usual(past, rows)
    both = np.concatenate([columns, ahead], axis=1)
    wave = past.season[rows]
    weighted = np.concatenate([columns, columns * wave[:, :1], columns * wave[:, 1:2]], axis=1).T
    bounds = np.searchsorted(past.clock_hour[rows], np.arange(DAY + 1))
    sums = np.empty((DAY, weighted.shape[0], both.shape[1]))
    for hour in range(DAY):
        part = slice(bounds[hour], bounds[hour + 1])
        np.matmul(weighted[:, part], both[part], out=sums[hour])
    return sums.reshape(DAY, 3, columns.shape[1], both.shape[1])


def seasonal(sums: Floats, wave: Floats) -> Floats:
    """Return sums in which the days near a season count most; ``wave`` is that season's cosine and sine."""
    weights = np.array([SEASON_MEAN, SEASON_SWING * wave[0], SEASON_SWING * wave[1]])
    weighted: Floats = np.tensordot(weights, sums, axes=(0, 1))
    return weighted
