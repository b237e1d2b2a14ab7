"""The forecast of a few days' history: the usual day, moved to the level of the last hour, which fades."""

import numpy as np

from include.scheduler.forecast.arrays import FORECAST_HOURS, Floats
from include.scheduler.forecast.past import LEVEL_DAYS, LEVEL_DECAY_H, HourlyPast

_FADING = np.exp(-(np.arange(FORECAST_HOURS) + 1.0) / LEVEL_DECAY_H)


def levelled_mean(past: HourlyPast, index: int) -> Floats:
    """Return a week of hours from an index on, in g/kWh.

    Each is the mean of its clock hour over four weeks, plus what is left of the last hour's deviation from its own mean:
    24 hours make it 1/e.
    """
    usual = past.means(LEVEL_DAYS)[index]
    deviation = past.filled[index - 1] - usual[past.clock_hour[index - 1]]
    forecast: Floats = usual[past.clock_hour[index : index + FORECAST_HOURS]] + deviation * _FADING
    return forecast
