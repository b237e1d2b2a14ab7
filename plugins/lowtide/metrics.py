"""A running training's figures as Airflow metrics: gauges through the deployment's own StatsD, Datadog or OpenTelemetry."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow.sdk.observability import stats

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from airflow.sdk import Context

    from include.pipeline import Progress
    from include.records import TrainingRecord

PREFIX = "lowtide.training"
INTERVAL_S = 5.0
"""The length of a ledger row: nothing newer is known in between."""


def metric_tags(context: Context) -> dict[str, str]:
    """Return the tags of a task's metrics; not the run, which would make a new series every night."""
    ti = context["ti"]
    return {"dag_id": ti.dag_id, "task_id": ti.task_id}


def progress_metrics(tags: Mapping[str, str], *, then: Callable[[Progress], None]) -> Callable[[Progress], None]:
    """Return a listener that sends power, energy, emissions and the grid's intensity every few seconds, and calls another."""
    last_s = float("-inf")

    def send(progress: Progress) -> None:
        nonlocal last_s
        then(progress)
        if time.monotonic() - last_s < INTERVAL_S:
            return
        last_s = time.monotonic()
        _gauge("power_w", progress.power_w, tags)
        _gauge("energy_kwh", progress.energy_kwh, tags)
        _gauge("emissions_gco2eq", progress.emissions_gco2eq, tags)
        if progress.carbon_intensity_gco2eq_per_kwh is not None:
            _gauge("carbon_intensity_gco2eq_per_kwh", progress.carbon_intensity_gco2eq_per_kwh, tags)

    return send


def final_metrics(record: TrainingRecord, tags: Mapping[str, str]) -> None:
    """Send what the record says, so that the last figures are the account's; the power is none from now on."""
    _gauge("power_w", 0.0, tags)
    _gauge("energy_kwh", record.energy_kwh.total, tags)
    _gauge("emissions_gco2eq", record.emissions_gco2eq, tags)


@contextmanager
def power_ends(tags: Mapping[str, str]) -> Iterator[None]:
    """Send a power of 0 when what is inside fails, is stopped or pauses: a gauge keeps its last value for ever."""
    try:
        yield
    except BaseException:  # a deferral is none of Exception
        _gauge("power_w", 0.0, tags)
        raise


def _gauge(name: str, value: float, tags: Mapping[str, str]) -> None:
    stats.gauge(f"{PREFIX}.{name}", value, tags=dict(tags))
