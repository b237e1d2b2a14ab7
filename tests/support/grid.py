"""Readings, jobs and outlooks for tests."""

from datetime import UTC, datetime, timedelta
from typing import Any

from lowtide.grid.series import IntensityCurve, Prediction
from lowtide.records import EmissionFactorType, IntensityKind, Reading, SignalType
from lowtide.scheduler.job import Job

T0 = datetime(2026, 3, 2, 22, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def reading(value: float = 100.0, start: datetime = T0, length: timedelta = HOUR, **changes: Any) -> Reading:
    values: dict[str, Any] = {
        "zone": "GB",
        "start": start,
        "end": start + length,
        "carbon_intensity_gco2eq_per_kwh": value,
        "source": "neso",
        "kind": IntensityKind.ESTIMATED,
        "signal_type": SignalType.AVERAGE,
        "emission_factor_type": EmissionFactorType.DIRECT,
    }
    return Reading(**values | changes)


def curve(values: list[float], start: datetime = T0) -> tuple[Reading, ...]:
    """A modelled, hourly curve."""
    lifecycle = EmissionFactorType.LIFECYCLE
    return tuple(
        reading(
            value, start + i * HOUR, kind=IntensityKind.MODELLED, source="profile:2023", emission_factor_type=lifecycle
        )
        for i, value in enumerate(values)
    )


def job(**changes: Any) -> Job:
    values: dict[str, Any] = {
        "job_id": "nightly",
        "zone": "GB",
        "policy": "threshold",
        "submitted_at": T0,
        "deadline": T0 + 10 * HOUR,
        "expected_duration": 2 * HOUR,
        "duration_margin": 0.0,
        "on_latest_start": "start",
        "threshold_gco2eq_per_kwh": 120.0,
        "minimum_gain_percent": 2.0,
        "poke_interval": timedelta(minutes=5),
        "failure_budget": 3,
    }
    return Job(**values | changes)


def prediction(
    values: list[float],
    start: datetime = T0,
    step: timedelta = HOUR,
    *,
    source: str = "neso",
    issued_at: datetime | None = None,
    **changes: Any,
) -> Prediction:
    """A prediction of equal steps, issued when it begins."""
    edges = [start.timestamp() + i * step.total_seconds() for i in range(len(values) + 1)]
    return Prediction(
        curve=IntensityCurve(edges, values), source=source, issued_at=issued_at or max(start, T0), **changes
    )
