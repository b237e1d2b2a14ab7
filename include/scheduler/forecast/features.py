"""What the regression sees of an hour: the deviations of the hours before it from the usual day, and the calendar."""

from dataclasses import dataclass

import numpy as np

from include.scheduler.forecast.arrays import FITTED_HOURS, Floats, Integers
from include.scheduler.forecast.past import HourlyPast

_DIFFERENCES = 3
_DIFFERENCE_SCALE = 6.0
"""Neighbouring hours are so alike that a penalty on deviations alone would silence their differences, by which the next
hour is told: measured, a regression without this scale gets worse from knowing one hour more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """The usual day that deviations are taken from: the mean by clock hour over so many days; and how many hours of them.

    Columns are, in this order: deviations, their latest differences and the level, in g/kWh; then the past's calendar.
    """

    days: int
    lags: int

    @property
    def intensity_columns(self) -> int:
        """How many columns are in g/kWh."""
        return self.lags + _DIFFERENCES + 1

    def columns(self, past: HourlyPast, rows: Integers) -> Floats:
        """Return the explaining columns at indices; each rests on hours before its index, and on the clock."""
        before = rows[:, None] - np.arange(1, self.lags + 1)
        deviations = past.filled[before] - past.means(self.days)[rows[:, None], past.clock_hour[before]]
        changes = deviations[:, :_DIFFERENCES] - deviations[:, 1 : _DIFFERENCES + 1]
        level = past.levels(self.days)[rows, None]
        return np.concatenate([deviations, changes * _DIFFERENCE_SCALE, level, past.calendar[rows]], axis=1)

    def usual(self, past: HourlyPast, rows: Integers) -> Floats:
        """Return the usual day at indices, for the hours that the regression tells."""
        ahead = past.clock_hour[rows[:, None] + np.arange(FITTED_HOURS)]
        usual: Floats = past.means(self.days)[rows[:, None], ahead]
        return usual
