"""Trains in a child process under measurement, and returns the training record."""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from airflow.sdk.observability import stats

from lowtide.airflow.context import FirstCheck, RunContext, TrainingState
from lowtide.airflow.operator import ConfiguredOperator, airflow_errors
from lowtide.runs.context import TrainingRun
from lowtide.runs.pausing import earlier_pauses, train_slice
from lowtide.runs.run import LogThrottle, Progress
from lowtide.runs.settlement import facts_sha256
from lowtide.scheduler.job import Job

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.sdk import Context

    from lowtide.records import TrainingRecord

METRICS_PREFIX = "lowtide.training"
METRICS_INTERVAL_S = 5.0
"""The length of a ledger row: no newer figure exists in between."""


class TrainingMetrics:
    """A training's figures as gauges of Airflow's own StatsD, Datadog or OpenTelemetry, while the block runs.

    Power is 0 at its end, also where it fails, is stopped or pauses: a gauge keeps its last value for ever.
    """

    def __init__(self, tags: Mapping[str, str]) -> None:
        self._tags = dict(tags)
        self._sent_s = float("-inf")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.send(power_w=0.0)

    def progress(self, progress: Progress) -> None:
        """Send power, energy, emissions and intensity, every few seconds."""
        if time.monotonic() - self._sent_s >= METRICS_INTERVAL_S:
            self._sent_s = time.monotonic()
            names = ("power_w", "energy_kwh", "emissions_gco2eq", "carbon_intensity_gco2eq_per_kwh")
            self.send(**{name: getattr(progress, name) for name in names})

    def send(self, **figures: float | None) -> None:
        """Send each figure that there is."""
        for name, value in figures.items():
            if value is not None:
                stats.gauge(f"{METRICS_PREFIX}.{name}", value, tags=self._tags)


class GpuTrainingOperator(ConfiguredOperator):
    """Runs the training loop on CUDA if there is a device, else on the CPU, under CodeCarbon.

    The XCom is the training record: figures and paths, never weights. Each asset among the task's outlets gets an event with
    the record's path and checksum.

    A retried or cleared task resumes from the last checkpoint of its own run, unless the run has ``fresh``; a task that had
    succeeded trains again. Further arguments are those of ``ConfiguredOperator``.

    :param decision_task_id: the sensor that held this run; None if there is none.
    """

    def __init__(self, *, decision_task_id: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.decision_task_id = decision_task_id
        self._stop: threading.Event | None = None  # made in execute: an operator is copied and serialized

    @airflow_errors
    def execute(self, context: Context) -> dict[str, Any]:
        """Train, or resume where an earlier try of this run stopped, and return the record.

        Under the policy ``interruptible`` the task defers while the grid is dirty, and its slot in the pool is free.

        :raises AirflowException: the training or its measurement failed; the ledger keeps what was used.
        """
        self._stop = threading.Event()
        run, ti = self._run(context), context["ti"]
        folder = run.folder
        self.log.info("training into %s; output of the training child: %s", folder.path, folder.child_log)
        # not tagged with the run, which would make a new series every night
        with TrainingMetrics({"dag_id": ti.dag_id, "task_id": ti.task_id}) as metrics:
            record = self._train(run, TrainingState(context, folder), metrics)
            metrics.send(energy_kwh=record.energy_kwh.total, emissions_gco2eq=record.emissions_gco2eq)
        for asset in self.outlets:
            context["outlet_events"][asset].extra = {
                "run_id": record.run_id,
                "comparison_key": record.comparison_key,
                "record_path": str(folder.record),
                "facts_sha256": facts_sha256(record),
            }
        return record.model_dump(mode="json")

    @airflow_errors
    def resume(self, context: Context, event: dict[str, Any] | None = None) -> dict[str, Any]:
        """Resume after a pause; also if the wait failed: a training that has begun does not depend on a signal."""
        if event and "error" not in event:
            self.decision_of(self._run(context), event)
        else:
            why = (event or {}).get("error", "the trigger fired without a decision")
            self.log.warning("resuming at once, because the pause failed: %s", why)
        return self.execute(context)

    def on_kill(self) -> None:
        """Ask the loop to save and end: Airflow raises no exception here, and kills the worker 5 s later."""
        if self._stop:
            self._stop.set()

    def _run(self, context: Context) -> RunContext:
        """Return the run, with the times that the sensor fixed."""
        run = self.run_context(context)
        decision = context["ti"].xcom_pull(task_ids=self.decision_task_id) if self.decision_task_id else None
        if decision:
            run.first_check = FirstCheck.model_validate(decision)
        return run

    def _train(self, run: RunContext, state: TrainingState, metrics: TrainingMetrics) -> TrainingRecord:
        first, pace = run.first_check, LogThrottle()

        def on_progress(progress: Progress) -> None:
            metrics.progress(progress)
            if pace.is_due():
                self.log.info("%s", progress.sentence())

        client = self.intensity_client(run, first.replay)
        training = TrainingRun(
            config=run.config,
            run_id=run.run_id,
            folder=run.folder,
            submitted_at=first.submitted_at,
            anchor=first.replay,
            training_id=state.training_id,
        )
        ended = train_slice(
            training,
            earlier_pauses(run.folder, run.job, state.training_id),
            client,
            run.clock,
            on_decision=partial(self.log_check, run),
            on_progress=on_progress,
            stop=self._stop,
            on_checkpoint=state.move,
        )
        if isinstance(ended, Job):
            raise self.deferral(run, ended, method_name="resume")
        return ended
