"""Answers in the shape of NESO's Carbon Intensity API; values are synthetic."""

from datetime import datetime, timedelta
from typing import Any

HALF_HOUR = timedelta(minutes=30)


def slot(start: datetime, *, forecast: float | None = 200, actual: float | None = None) -> dict[str, Any]:
    return {
        "from": f"{start:%Y-%m-%dT%H:%MZ}",
        "to": f"{start + HALF_HOUR:%Y-%m-%dT%H:%MZ}",
        "intensity": {"forecast": forecast, "actual": actual, "index": "moderate"},
    }


def slots(start: datetime, *values: float) -> dict[str, Any]:
    """Half-hours in a row that have their ``actual``."""
    return {"data": [slot(start + i * HALF_HOUR, actual=value) for i, value in enumerate(values)]}


def slot_start(time: datetime) -> datetime:
    """The half-hour that a time lies in."""
    return time.replace(minute=30 * (time.minute // 30), second=0, microsecond=0)


def region(number: int, postcode: str, *half_hours: dict[str, Any]) -> dict[str, Any]:
    """A region with its half-hours, which have no ``actual``; both forms wrap this under ``data``."""
    bare = [{**s, "intensity": {k: v for k, v in s["intensity"].items() if k != "actual"}} for s in half_hours]
    return {"regionid": number, "dnoregion": "", "shortname": "", "postcode": postcode, "data": bare}
