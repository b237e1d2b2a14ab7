"""Trains in a child process of its own, measured, and returns the training record."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk.observability import stats

from lowtide.airflow.context import (
    ConfiguredOperator,
    FirstLook,
    PauseState,
    TrainingPointer,
    airflow_errors,
    configuration,
    first_look,
    job_id,
    job_of,
    run_folder,
)
from lowtide.airflow.hook import CarbonIntensityHook
from lowtide.airflow.trigger import SAFE_RESUME_S, deferral
from lowtide.errors import TrainingPaused
from lowtide.grid.clock import clock_for
from lowtide.runs.context import TrainingRun
from lowtide.runs.pausing import PauseWatch
from lowtide.runs.run import LogPace, Progress, run_training

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from airflow.sdk import Context

    from lowtide.config.loader import LoadedConfig
    from lowtide.records import TrainingRecord
    from lowtide.runs.run import Progress
    from lowtide.scheduler.job import Job
    from lowtide.scheduler.waiting import DecisionEvent


# A running training's figures as Airflow metrics: gauges through the deployment's own StatsD, Datadog or OpenTelemetry.


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


class GpuTrainingOperator(ConfiguredOperator):
    """Runs the training loop on CUDA where there is one, else on the CPU, under CodeCarbon.

    The XCom is the training record: figures and paths, never weights. Each asset among the task's outlets gets an
    event with the record's path and checksum.

    A retried or cleared task goes on from the last checkpoint of its own run, unless the run has ``fresh``; a task that had
    succeeded trains again.

    :param config: configuration file: a name in include/configs, or a path from the project's root. (templated)
    :param settings: dotted keys to lay over the file. (templated)
    :param decision_task_id: the sensor that held this run; None where there is none.
    :param grid_conn_id: connection of the provider; None for the configuration's ``grid.connection``. (templated)
    :param safe_resume_s: no sooner than this does a pause end; for tests.
    """

    template_fields: Sequence[str] = ("config", "settings", "grid_conn_id")
    ui_color = "#f3e3c3"

    def __init__(
        self,
        *,
        decision_task_id: str | None = None,
        grid_conn_id: str | None = None,
        safe_resume_s: float = SAFE_RESUME_S,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.safe_resume_s = safe_resume_s
        self.decision_task_id = decision_task_id
        self.grid_conn_id = grid_conn_id
        self._stop: threading.Event | None = None  # made in execute: an operator is copied and serialized

    def execute(self, context: Context) -> dict[str, Any]:
        """Train, or go on where an earlier try of this run stopped, and return the record.

        Under the policy ``interruptible`` the task defers while the grid is dirty: its place in the pool is free then.

        :raises AirflowException: the training or its measurement failed; the ledger keeps what was used.
        """
        self._stop = threading.Event()
        with airflow_errors():
            config = configuration(context, self.config, self.settings)
            moments = self._moments(context, config)
            folder = run_folder(context, config)
            self.log.info("training into %s; output of the training child: %s", folder.path, folder.child_log)
            pointer = TrainingPointer(context, folder)
            run = TrainingRun(
                config=config,
                run_id=job_id(context),
                folder=folder,
                submitted_at=moments.submitted_at,
                anchor=moments.anchor,
                training_id=pointer.training_id,
            )
            tags = metric_tags(context)
            tell = progress_metrics(tags, then=self._progress_logger())
            with power_ends(tags):
                record = self._train(context, run, pointer, job_of(context, config, moments), tell)
            final_metrics(record, tags)
        self._tell_assets(context, record, folder.record)
        return record.model_dump(mode="json")

    def resume(self, context: Context, event: dict[str, Any] | None = None) -> dict[str, Any]:
        """Go on after a pause; also where the wait broke: what has begun is not left lying for want of a signal."""
        with airflow_errors():
            if event and "error" not in event:
                config = configuration(context, self.config, self.settings)
                run_folder(context, config).append_decisions(event["looks"])
                self.log.info("%s", event["decision"]["text"])
            else:
                why = (event or {}).get("error", "the trigger fired without a decision")
                self.log.warning("going on at once, since the pause broke: %s", why)
        return self.execute(context)

    def _train(
        self,
        context: Context,
        run: TrainingRun,
        pointer: TrainingPointer,
        job: Job,
        tell: Callable[[Progress], None],
    ) -> TrainingRecord:
        hook = CarbonIntensityHook(self.grid_conn_id or run.config.values.grid.connection)
        signal = hook.signal(run.config.values.grid, run.anchor, artifacts=run.config.artifacts_path)
        hands: dict[str, Any] = {"stop": self._stop, "on_checkpoint": pointer.move}
        if job.policy != "interruptible":
            return run_training(run, signal, on_progress=tell, **hands)
        pauses = PauseState(context, pointer.training_id)
        watch = PauseWatch(pauses.begun(job), signal, clock_for(run.anchor), on_look=self._look_logger(run))
        hands |= {"pause": watch.request, "look": watch.look, "on_progress": watch.telling(tell)}
        try:
            record = run_training(run, signal, **hands)
        except TrainingPaused as paused:
            self.log.info("%s", paused)
            job = watch.paused()
        else:
            pauses.over()
            return record
        pauses.paused(job)
        connection = self.grid_conn_id or run.config.values.grid.connection
        trigger, timeout = deferral(
            job, run.config, run.anchor, grid_conn_id=connection, safe_resume_s=self.safe_resume_s
        )
        self.defer(trigger=trigger, method_name="resume", timeout=timeout)
        raise AssertionError("defer() always raises")

    def _look_logger(self, run: TrainingRun) -> Any:
        def log(looked: DecisionEvent) -> None:
            run.folder.append_decisions([looked.decision.as_json()])
            for line in looked.lines():
                self.log.info("%s", line)

        return log

    def on_kill(self) -> None:
        """Ask the loop to save and end: Airflow raises no exception here, and kills the worker 5 s later."""
        if self._stop:
            self._stop.set()

    def _moments(self, context: Context, config: LoadedConfig) -> FirstLook:
        if self.decision_task_id:
            decision = context["ti"].xcom_pull(task_ids=self.decision_task_id)
            if decision:
                return FirstLook.from_json(decision)
        return first_look(context, config)

    def _progress_logger(self) -> Any:
        pace = LogPace()

        def log(progress: Progress) -> None:
            if pace.is_due():
                self.log.info("%s", progress.sentence())

        return log

    def _tell_assets(self, context: Context, record: TrainingRecord, path: Path) -> None:
        for asset in self.outlets:
            context["outlet_events"][asset].extra = {
                "run_id": record.run_id,
                "comparison_key": record.comparison_key,
                "record_path": str(path),
                "ledger_sha256": record.ledger_sha256,
            }
