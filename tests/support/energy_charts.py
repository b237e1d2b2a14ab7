"""Answers in the shape of Energy-Charts: parallel columns, null where there is none; values are synthetic."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

QUARTER = timedelta(minutes=15)


def columns(
    start: datetime,
    measured: Sequence[float | None],
    forecast: Sequence[float | None] | None = None,
    step: timedelta = QUARTER,
) -> dict[str, Any]:
    times = [int((start + i * step).timestamp()) for i in range(len(measured))]
    return {
        "unix_seconds": times,
        "co2eq": list(measured),
        "co2eq_forecast": [None] * len(measured) if forecast is None else list(forecast),
        "deprecated": False,
    }


def day_with_trailing_nulls(start: datetime) -> dict[str, Any]:
    """As the service pads a day: measured until lately, forecast from there, then slots without either."""
    measured = [400.0 + i for i in range(24)] + [None] * 16
    forecast = [None] * 24 + [380.0 - i for i in range(12)] + [None] * 4
    return columns(start, measured, forecast)


UNKNOWN_COUNTRY = b"'xx' is not the code for an available country. Please refer to the API doc for information about available countries"
