"""The types of arrays that the forecast is made of, and the lengths that all of it shares."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

HOUR_S = 3_600
DAY = 24
"""Hours."""
FITTED_HOURS = 72
"""Leads that are regressed: beyond three days the weather of today says nothing."""
FORECAST_HOURS = 168
