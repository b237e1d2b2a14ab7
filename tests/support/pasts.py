"""Series of made-up pasts, and the forecasters that read them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from lowtide.grid.forecast.features import Series
from lowtide.grid.forecast.model import HistoryForecaster

from tests.support.traces import grid_like

BERLIN = ZoneInfo("Europe/Berlin")
MONDAY = datetime(2031, 2, 3, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def series_of(values: Sequence[float], start: datetime = MONDAY, step: timedelta = HOUR) -> Series:
    return Series(
        start_s=int(start.timestamp()), step_s=int(step.total_seconds()), values=np.array(values, dtype=np.float64)
    )


def forecaster_of(
    values: Sequence[float],
    start: datetime = MONDAY,
    step: timedelta = HOUR,
    timezone: ZoneInfo = BERLIN,
) -> HistoryForecaster:
    return HistoryForecaster(series_of(values, start, step), timezone)


def grid_forecaster(days: float, start: datetime = MONDAY, seed: int = 1) -> HistoryForecaster:
    return forecaster_of(grid_like(days, start=start, seed=seed), start)
