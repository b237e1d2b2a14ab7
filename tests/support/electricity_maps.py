"""Answers in the shapes of Electricity Maps v3; values are synthetic."""

from datetime import datetime, timedelta
from typing import Any

HOUR = timedelta(hours=1)


def stamp(time: datetime) -> str:
    return f"{time:%Y-%m-%dT%H:%M:%S}.000Z"


def point(start: datetime, value: float | None = 216, *, zone: str = "US-CAL-CISO", **changes: Any) -> dict[str, Any]:
    return {
        "zone": zone,
        "carbonIntensity": value,
        "datetime": stamp(start),
        "updatedAt": stamp(start),
        "createdAt": stamp(start),
        "emissionFactorType": "lifecycle",
        "isEstimated": True,
        "estimationMethod": "TIME_SLICER_AVERAGE",
    } | changes


def history(start: datetime, *values: float | None, zone: str = "US-CAL-CISO") -> dict[str, Any]:
    hours = [point(start + i * HOUR, value, zone=zone) for i, value in enumerate(values)]
    return {"zone": zone, "history": hours, "temporalGranularity": "hourly"}


def past_range(start: datetime, *values: float | None, zone: str = "US-CAL-CISO") -> dict[str, Any]:
    hours = history(start, *values, zone=zone)["history"]
    return {"zone": zone, "data": hours, "temporalGranularity": "hourly", "aggregationPeriod": None}


def forecast(
    start: datetime, *values: float | None, zone: str = "US-CAL-CISO", issued: datetime | None = None
) -> dict[str, Any]:
    hours = [{"carbonIntensity": v, "datetime": stamp(start + i * HOUR)} for i, v in enumerate(values)]
    return {"zone": zone, "forecast": hours} | ({"updatedAt": stamp(issued)} if issued else {})
