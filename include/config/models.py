"""The typed configuration of one run: what a YAML file in ``include/configs`` may say."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from include.config.account import AccountConfig
from include.config.batching import check_batching
from include.config.checks import check_clean, check_jitter, check_pausing
from include.config.grid import GridConfig
from include.config.scheduler import SchedulerConfig
from include.config.section import Section
from include.config.times import Duration, parse_duration
from include.config.tracker import TrackerConfig
from include.config.training import TrainingConfig


class ReportConfig(Section):
    """What the comparison accepts."""

    baseline_max_age: Annotated[Duration, Field(description="an older baseline is used, and the report says so")] = (
        parse_duration("30d")
    )
    baselines: Annotated[
        int, Field(ge=1, le=50, description="how many of the newest baselines a run is held against")
    ] = 1
    repeatability_percent: Annotated[
        float, Field(ge=0, le=100, description="a change within this is 'no measurable change'")
    ] = 3.0


class LowtideConfig(Section):
    """One YAML file."""

    artifacts_root: Annotated[
        str, Field(min_length=1, description="where runs and reports go; relative to the project")
    ] = "artifacts"
    grid: GridConfig
    scheduler: SchedulerConfig
    training: TrainingConfig
    tracker: TrackerConfig = TrackerConfig()
    account: AccountConfig = AccountConfig()
    report: ReportConfig = ReportConfig()

    @model_validator(mode="after")
    def _possible(self) -> "LowtideConfig":
        for check in (_check_grid, _check_waiting, _check_deadline_fits, _check_precision, _check_batches):
            check(self)
        check_clean(self.grid, self.scheduler)
        check_pausing(self.scheduler)
        check_jitter(self.scheduler)
        return self

    def artifacts_path(self, project_root: Path) -> Path:
        """Return the artifact root as an absolute path."""
        return artifacts_folder(self.artifacts_root, project_root)


def artifacts_folder(text: str, project_root: Path) -> Path:
    """Return the folder that an artifact root means; relative ones lie in the project.

    :raises ValueError: an object store.
    """
    if "://" in text and not text.startswith("file://"):
        raise ValueError(f"artifacts_root '{text}' is an object store, which is not supported yet; give a folder")
    return (project_root / text.removeprefix("file://")).resolve()


def _check_grid(config: LowtideConfig) -> None:
    grid = config.grid
    if grid.provider == "replay" and grid.replay is None:
        raise ValueError("grid.provider is 'replay' but grid.replay is missing; add grid.replay.virtual_start")
    artifacts_folder(config.artifacts_root, Path())


def _check_waiting(config: LowtideConfig) -> None:
    scheduler = config.scheduler
    if scheduler.policy == "immediate":
        return
    if scheduler.deadline is None:
        raise ValueError(
            f"scheduler.policy '{scheduler.policy}' waits, so it needs scheduler.deadline; add one, e.g. '06:00' or '12h'"
        )
    if scheduler.policy == "threshold" and config.grid.threshold_gco2eq_per_kwh is None:
        raise ValueError("scheduler.policy 'threshold' needs grid.threshold_gco2eq_per_kwh; add it, e.g. 150")


def _check_deadline_fits(config: LowtideConfig) -> None:
    scheduler = config.scheduler
    try:
        slack = parse_duration(scheduler.deadline)
    except ValueError:
        return  # a clock time or a moment: judged at submission, when it becomes one
    if slack < scheduler.expected_duration:
        raise ValueError(
            f"scheduler.deadline '{scheduler.deadline}' after submission is shorter than scheduler.expected_duration;"
            " give more time or expect less"
        )


def _check_precision(config: LowtideConfig) -> None:
    training = config.training
    if training.precision == "fp16" and training.device == "cpu":
        raise ValueError("training.precision 'fp16' needs a GPU, but training.device is 'cpu'; use 'bf16' or 'fp32'")


def _check_batches(config: LowtideConfig) -> None:
    training = config.training
    check_batching(training.micro_batch_size, training.accumulation_steps, training.effective_batch_size)
