"""Hands a waiting job to the triggerer: the sensor before a training, the operator in a pause of it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from include.moments import format_moment, utc_now
from include.scheduler import clock_for
from lowtide.triggers.carbon_intensity import CarbonIntensityTrigger

if TYPE_CHECKING:
    from include.config import LoadedConfig
    from include.records import ReplayAnchor
    from include.scheduler import Job

SAFE_RESUME_S = 30.0
"""A task that resumes sooner after deferring may be failed by Airflow (apache/airflow #71580, #72716)."""
SAFETY_NET = timedelta(minutes=10)
"""By how much the deferral's own timeout lies behind the latest start, at which the trigger fires by itself."""


def deferral(
    job: Job,
    config: LoadedConfig,
    anchor: ReplayAnchor | None,
    *,
    grid_conn_id: str | None,
    safe_resume_s: float = SAFE_RESUME_S,
) -> tuple[CarbonIntensityTrigger, timedelta]:
    """Return the trigger that ends a job's wait, and the deferral's timeout."""
    remaining_s = clock_for(anchor).seconds_until(job.latest_start) if job.latest_start else 0.0
    trigger = CarbonIntensityTrigger(
        job=job.as_json(),
        grid=config.values.grid.model_dump(mode="json"),
        anchor=anchor.model_dump(mode="json") if anchor else None,
        grid_conn_id=grid_conn_id,
        not_before=format_moment(utc_now() + timedelta(seconds=safe_resume_s)),
        artifacts=str(config.artifacts_path),
    )
    return trigger, timedelta(seconds=remaining_s + safe_resume_s) + SAFETY_NET
