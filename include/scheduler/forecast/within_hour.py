"""How the intensity usually moves within an hour, for series finer than that."""

import numpy as np

from include.scheduler.forecast.arrays import DAY, HOUR_S, Floats
from include.scheduler.forecast.past import LEVEL_DAYS, HourlyPast
from include.scheduler.forecast.series import Series


class WithinHour:
    """The mean difference of each step from its hour, by clock hour, over the last four weeks before an index."""

    def __init__(self, series: Series, past: HourlyPast) -> None:
        steps = HOUR_S // series.step_s
        before = series.start_s // series.step_s % steps
        after = -(before + len(series.values)) % steps
        self._past = past
        self._steps = np.pad(series.values, (before, after), constant_values=np.nan).reshape(-1, steps)

    def spread(self, hours: Floats, index: int) -> Floats:
        """Return hours from an index on as steps; each hour keeps its mean."""
        steps = self._steps.shape[1]
        if steps == 1:
            return hours
        shape = self._shape(index)
        clock_hours = self._past.clock_hour[index : index + len(hours)]
        return np.maximum(hours[:, None] + shape[clock_hours], 0.0).ravel()

    def _shape(self, index: int) -> Floats:
        first = max(0, index - LEVEL_DAYS * DAY)
        rows = self._steps[first:index]
        rows = rows - rows.mean(axis=1, keepdims=True)  # an hour with a gap has no mean, and drops out
        hours = self._past.clock_hour[first : first + len(rows)]
        whole = ~np.isnan(rows[:, 0])
        shape = np.zeros((DAY, rows.shape[1]))
        for hour in range(DAY):
            chosen = rows[whole & (hours == hour)]
            if len(chosen):
                shape[hour] = chosen.mean(axis=0)
        return shape
