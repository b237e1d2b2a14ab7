"""Answers in the shapes of the Carbon Aware SDK's WebAPI, in both spellings; values are synthetic."""

from datetime import datetime, timedelta
from typing import Any

FIVE_MINUTES = timedelta(minutes=5)


def emission(start: datetime, rating: float = 70, location: str = "uksouth") -> dict[str, Any]:
    return {"location": location, "time": f"{start:%Y-%m-%dT%H:%M:%S}.5092741+00:00", "rating": rating}


def forecast(start: datetime, *values: float, location: str = "uksouth") -> list[dict[str, Any]]:
    points = [
        {"location": "GB", "timestamp": (start + i * FIVE_MINUTES).isoformat(), "duration": 5, "value": value}
        for i, value in enumerate(values)
    ]
    return [
        {
            "requestedAt": start.isoformat(),
            "generatedAt": start.isoformat(),
            "location": location,
            "windowSize": 5,
            "optimalDataPoint": points[0] if points else None,
            "forecastData": points,
        }
    ]


def capitalised(value: Any) -> Any:
    """The spelling of the library's own objects, with a list of optima."""
    if isinstance(value, list):
        return [capitalised(item) for item in value]
    if not isinstance(value, dict):
        return value
    renamed = {name[0].upper() + name[1:]: capitalised(item) for name, item in value.items()}
    if "OptimalDataPoint" in renamed:
        renamed["OptimalDataPoints"] = [renamed.pop("OptimalDataPoint")]
    return renamed


NOT_CONFIGURED = {
    "detail": "ForecastDataSource is not configured",
    "errors": {},
    "status": 400,
    "title": "ArgumentException",
    "traceId": "00-0-0-00",
}
