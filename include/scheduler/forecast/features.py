"""What the regression sees of an hour: the deviations of the hours before it from the usual day, and the calendar."""

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from include.scheduler.forecast.arrays import DAY, FITTED_HOURS, Floats, Integers
from include.scheduler.forecast.past import HourlyPast

_YEAR_H = 365.25 * DAY
_DIFFERENCES = 3
_DIFFERENCE_SCALE = 6.0
"""Neighbouring hours are so alike that a penalty on deviations alone would silence their differences, by which the next
hour is told: measured, a regression without this scale gets worse from knowing one hour more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Makes columns comparable, so that one penalty suits all of them: the past's spread and mean in g/kWh."""

    spread: float
    mean: float
    season: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """The usual day that deviations are taken from: the mean by clock hour over so many days; and how many hours of them."""

    days: int
    lags: int

    def columns(self, past: HourlyPast, rows: Integers, scale: Scale) -> Floats:
        """Return the explaining columns at the indices ``rows``; each rests on hours before its index, and the clock."""
        means = past.means(self.days)
        before = rows[:, None] - np.arange(1, self.lags + 1)
        deviations = (past.filled[before] - means[rows[:, None], past.clock_hour[before]]) / scale.spread
        changes = deviations[:, :_DIFFERENCES] - deviations[:, 1 : _DIFFERENCES + 1]
        level = (means[rows].mean(axis=1) - scale.mean) / scale.spread
        return np.concatenate(
            [deviations, changes * _DIFFERENCE_SCALE, level[:, None], *_calendar(past, rows, scale.season)], axis=1
        )

    def usual(self, past: HourlyPast, rows: Integers) -> Floats:
        """Return the usual day at each index, for the hours that the regression tells."""
        ahead = sliding_window_view(past.clock_hour, FITTED_HOURS)[rows]
        return past.means(self.days)[rows[:, None], ahead]


def _calendar(past: HourlyPast, rows: Integers, season: bool) -> list[Floats]:
    """Return the weekday by the zone's clock, the season's waves if there is enough past to tell them, and a constant."""
    columns: list[Floats] = [np.eye(7)[past.weekday[rows]]]
    if season:
        angle = 2.0 * np.pi * (rows + past.first_hour) / _YEAR_H
        columns.append(np.stack([np.cos(angle), np.sin(angle), np.cos(2 * angle), np.sin(2 * angle)], axis=1))
    columns.append(np.ones((len(rows), 1)))
    return columns
