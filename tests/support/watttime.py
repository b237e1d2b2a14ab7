"""Answers in the shapes of WattTime v3; values are synthetic, in lb/MWh."""

from datetime import datetime, timedelta
from typing import Any

FIVE_MINUTES = timedelta(minutes=5)
TOKEN = "made.up.token"
REFUSED_SCOPE = {
    "error": "Invalid query parameters",
    "message": "Invalid scope. You do not have sufficient access to this resource.",
}


def meta(**changes: Any) -> dict[str, Any]:
    return {
        "data_point_period_seconds": 300,
        "region": "CAISO_NORTH",
        "warnings": [],
        "signal_type": "co2_moer",
        "model": {"date": "2023-03-01"},
        "units": "lbs_co2_per_mwh",
    } | changes


def forecast(start: datetime, *rates: float | None, issued: datetime | None = None, **changes: Any) -> dict[str, Any]:
    data = [{"point_time": (start + i * FIVE_MINUTES).isoformat(), "value": rate} for i, rate in enumerate(rates)]
    issued_at = (issued or start).isoformat()
    return {"data": data, "meta": meta(generated_at_period_seconds=300, generated_at=issued_at, **changes)}


def historical(start: datetime, *rates: float | None, **changes: Any) -> dict[str, Any]:
    rows = forecast(start, *rates)["data"]
    return {"data": [row | {"last_updated": row["point_time"]} for row in rows], "meta": meta(**changes)}


def outage_of_zeros(start: datetime) -> dict[str, Any]:
    """The outage of 2026-04-22 in its shape: ten hours and more of zeros."""
    return forecast(start, *[0.0] * 130)
