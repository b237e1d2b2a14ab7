"""DAGs of the plugin tests: each exercises one adapter with a configuration file named in a Param."""

import os
import signal
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, BaseOperator, Param
from airflow.sdk.bases.operator import TRIGGER_FAIL_REPR, TriggerFailureReason
from lowtide.airflow.compare import BASELINE, CompareRunsOperator
from lowtide.airflow.sensor import CarbonIntensitySensor
from lowtide.airflow.training import GpuTrainingOperator
from lowtide.runs.run import last_checkpoint


class RaisingOperator(BaseOperator):
    """Fails after the baseline's training has succeeded and its asset event has been written."""

    def execute(self, context: Any) -> None:
        raise RuntimeError("a later task of the baseline fails")


FILE = "{{ params.file }}"
PARAMS = {
    "file": Param(None, type=["string", "null"]),
    "policy": Param(None, type=["string", "null"]),
    "fresh": Param(None, type=["boolean", "null"]),
    "baseline_run_id": Param(None, type=["string", "null"]),
}
COMMON: dict[str, Any] = {"schedule": None, "start_date": datetime(2026, 1, 1), "params": PARAMS}  # noqa: DTZ001


class QuickSensor(CarbonIntensitySensor):
    """Resumes at once: dag.test() has no race between a deferral and its resume."""

    safe_resume_s = 0.0


class TimedOutSensor(CarbonIntensitySensor):
    """Is resumed as Airflow resumes a deferral that ran into its timeout."""

    def execute(self, context: Any) -> Any:
        self.run_context(context).first_check  # noqa: B018 stored by reading it
        return self.resume_execution(TRIGGER_FAIL_REPR, {"error": TriggerFailureReason.TRIGGER_TIMEOUT}, context)


class FailingOnceSensor(CarbonIntensitySensor):
    """Fixes the run's times, fails, and returns them on the retry."""

    def execute(self, context: Any) -> Any:
        first = self.run_context(context).first_check
        if context["ti"].try_number == 1:
            raise RuntimeError("the first try fails after its first check")
        return first.model_dump(mode="json")


class KilledOnceOperator(GpuTrainingOperator):
    """Loses its training child, as to the kernel's out-of-memory killer, once it has saved something; only in its first try."""

    def execute(self, context: Any) -> Any:
        if context["ti"].try_number == 1:
            folder = self.run_context(context).folder
            _kill_once(lambda: last_checkpoint(folder) is not None)
        return super().execute(context)


class KilledAfterPauseOperator(GpuTrainingOperator):
    """Loses its training child in its first try, resumed after a pause; writes how many pauses each check counts."""

    safe_resume_s = 0.0

    def execute(self, context: Any) -> Any:
        self.try_number = context["ti"].try_number
        return super().execute(context)

    def resume(self, context: Any, event: Any = None) -> Any:
        if context["ti"].try_number == 1:
            folder = self.run_context(context).folder
            _kill_once(lambda: bool(folder.resumed_from()))
        return super().resume(context, event)

    def log_check(self, run: Any, event: Any) -> None:
        with (run.folder.path / "checks.txt").open("a") as file:
            file.write(f"{self.try_number} {event.job.progress.pauses}\n")
        super().log_check(run, event)


def _kill_once(is_time: Callable[[], bool]) -> None:
    def kill() -> None:
        while not is_time() or not _kill_children():
            time.sleep(0.01)

    threading.Thread(target=kill, daemon=True).start()


def _kill_children() -> int:
    killed = 0
    for path in Path(f"/proc/{os.getpid()}/task").glob("*/children"):
        for pid in path.read_text().split():
            if b"lowtide.trainer.worker" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(int(pid), signal.SIGKILL)
                killed += 1
    return killed


with DAG("deferrable", **COMMON):
    QuickSensor(task_id="wait", config=FILE)

with DAG("poking", **COMMON):
    CarbonIntensitySensor(task_id="wait", config=FILE, deferrable=False)

with DAG("soft_fail", **COMMON):
    QuickSensor(task_id="wait", config=FILE, soft_fail=True)

with DAG("timed_out", **COMMON):
    TimedOutSensor(task_id="wait", config=FILE)

with DAG("failing_once", **COMMON):
    FailingOnceSensor(task_id="wait", config=FILE, retries=1, retry_delay=timedelta(seconds=0))

with DAG("baseline", **COMMON):
    GpuTrainingOperator(task_id="train", config=FILE, outlets=[BASELINE], settings={"scheduler.policy": "immediate"})

with DAG("killed_once", **COMMON):
    KilledOnceOperator(task_id="train", config=FILE, retries=1, retry_delay=timedelta(seconds=0))

with DAG("killed", **COMMON):
    KilledOnceOperator(task_id="train", config=FILE)

with DAG("failed_baseline", **COMMON):
    trained = GpuTrainingOperator(task_id="train", config=FILE, outlets=[BASELINE])
    trained >> RaisingOperator(task_id="later")

with DAG("fixed_policy", **COMMON):
    CarbonIntensitySensor(task_id="wait", config=FILE, settings={"scheduler.policy": "immediate"})

with DAG("pipeline", **COMMON):
    wait = QuickSensor(task_id="wait_for_clean_grid", config=FILE)
    train = GpuTrainingOperator(task_id="train", config=FILE, decision_task_id=wait.task_id)
    compare = CompareRunsOperator(task_id="compare", config=FILE)
    wait >> train >> compare

with DAG("killed_after_pause", **COMMON):
    KilledAfterPauseOperator(task_id="train", config=FILE, retries=1, retry_delay=timedelta(seconds=0))

with DAG("mapped", **COMMON):
    GpuTrainingOperator.partial(task_id="train", config=FILE).expand(
        settings=[{"training.seed": seed, "scheduler.policy": "immediate"} for seed in (0, 1)]
    )

with DAG("mapped_wait", **COMMON):
    CarbonIntensitySensor.partial(task_id="wait").expand(config=[FILE]) >> GpuTrainingOperator(
        task_id="train", config=FILE
    )
