"""What a task's context says of its run: identity, configuration, folder, and what Airflow's state store keeps of it."""

from __future__ import annotations

import difflib
import logging
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict

from lowtide.config.airflow_params import CONFIGS_FOLDER, config_path_from_params, settings_from_params
from lowtide.config.loader import PROJECT_ROOT, load_config
from lowtide.errors import ConfigurationError
from lowtide.grid.factory import replay_anchor
from lowtide.records import Clock, ReplayAnchor
from lowtide.runs.durations import ExpectedDuration, expected_job
from lowtide.runs.folder import RunFolder, report_folder
from lowtide.runs.run import new_training_id
from lowtide.scheduler.job import Job, job_from_config
from lowtide.timeutil import as_utc, utc_now

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.sdk import Context

_log = logging.getLogger(__name__)

FIRST_CHECK_KEY = "lowtide_first_check"
TRAINING_KEY = "lowtide_training"
"""Keys of Airflow's task state store, which survives retries and clearing and belongs to one run of the database."""


class FirstCheck(BaseModel):
    """The times that neither a retry nor a restarted triggerer may move, in policy time; part of the sensor's XCom."""

    model_config = ConfigDict(frozen=True)

    submitted_at: AwareDatetime
    deadline: AwareDatetime | None
    replay: ReplayAnchor | None
    expected_duration: ExpectedDuration


class RunContext:
    """The run of a task instance.

    :param config: configuration file: a name in include/configs, or a path from the project's root.
    :param settings: dotted keys that the task fixes; they override the file and the run's Params.
    :raises ConfigurationError: the file, a Param, a setting, or an unknown key in the run's conf.
    """

    def __init__(self, context: Context, config: str, settings: Mapping[str, Any]) -> None:
        self._context = context
        _refuse_unknown_keys(context)
        params = context["params"]
        folder = CONFIGS_FOLDER if Path(config).parent == Path() else PROJECT_ROOT
        path = config_path_from_params(params, config) if params.get("config") else folder / config
        values = {**settings_from_params(params), **settings}
        self.config = load_config(path, values, settings_name="DAG Param or task setting")
        run, index = context["dag_run"], context["ti"].map_index
        self._ids = (run.dag_id, run.run_id, -1 if index is None else int(index))

    @property
    def run_id(self) -> str:
        """The name of the run in decisions and in its record."""
        dag_id, run_id, map_index = self._ids
        return f"{dag_id}/{run_id}" if map_index < 0 else f"{dag_id}/{run_id}[{map_index}]"

    @property
    def folder(self) -> RunFolder:
        """The run's folder under the artifact root; each instance of a mapped task has one."""
        return RunFolder.of_run(self.config.artifacts_path, *self._ids)

    @property
    def report_folder(self) -> Path:
        """The folder of the run's report."""
        return report_folder(self.config.artifacts_path, *self._ids)

    @cached_property
    def first_check(self) -> FirstCheck:
        """The run's fixed times: the first try of a task stores them, later tries read them.

        Submission is the time at which the run was due (``run_after``); a replay starts at its first check. If a person
        clears the task of a run with ``fresh``, it is submitted again at that time.
        """
        store, ti = self._context["task_state_store"], self._context["ti"]
        stored = store.get(FIRST_CHECK_KEY)
        known = isinstance(stored, dict)
        again = known and starts_over(self._context, FIRST_CHECK_KEY)
        if known and not again:
            return FirstCheck.model_validate(stored)
        now = utc_now()
        replay = replay_anchor(self.config.values.grid, now)
        due = now if again else as_utc(self._context["dag_run"].run_after)
        submitted_at = replay.virtual_start if replay is not None else due
        job, expected = expected_job(self.config, job_id=self.run_id, submitted_at=submitted_at)
        first = FirstCheck(
            submitted_at=job.submitted_at, deadline=job.deadline, replay=replay, expected_duration=expected
        )
        store.set(FIRST_CHECK_KEY, {**first.model_dump(mode="json"), "try_number": ti.try_number})
        return first

    @property
    def clock(self) -> Clock:
        """The clock of the run's policy time."""
        return Clock(self.first_check.replay)

    @property
    def job(self) -> Job:
        """The job to decide on, with deadline and expected duration as they were fixed."""
        first = self.first_check
        job = job_from_config(self.config.values, job_id=self.run_id, submitted_at=first.submitted_at)
        return replace(job, deadline=first.deadline, expected_duration=first.expected_duration.duration)


def _refuse_unknown_keys(context: Context) -> None:
    # Airflow accepts any key in a run's conf; a misspelt one would leave the file's value in force, unnoticed
    known = context["dag"].params
    for key in context["dag_run"].conf or {}:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.4)
            offer = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}."
            raise ConfigurationError(f"the run's conf has the unknown key {key!r}; {offer}")


def starts_over(context: Context, key: str) -> bool:
    """Whether a person cleared the task of a run with ``fresh``, and ``key`` was stored by an earlier try.

    A retry after that, or the next check of a wait in the worker, must not start over (and extend a wait) again.
    """
    ti, retries = context["ti"], context["task"].retries or 0
    stored = context["task_state_store"].get(key)
    of_this_try = isinstance(stored, dict) and stored.get("try_number") == ti.try_number
    return bool(context["params"].get("fresh")) and not of_this_try and ti.try_number == ti.max_tries - retries + 1


class TrainingState:
    """The training that a task instance may resume: an earlier try's, or a new one.

    A run that was deleted and made again under its id finds nothing in the store, so it cannot resume what the deleted one
    left in the same folder. A run with ``fresh`` that a person clears starts a new training.
    """

    def __init__(self, context: Context, folder: RunFolder) -> None:
        self._store, self._try_number = context["task_state_store"], context["ti"].try_number
        self._checkpoints = str(folder.checkpoints)
        stored = self._store.get(TRAINING_KEY)
        known = stored if isinstance(stored, dict) and not starts_over(context, TRAINING_KEY) else {}
        self.training_id = str(known.get("training_id") or new_training_id())
        self._set(known)

    def move(self, checkpoint: dict[str, Any]) -> None:
        """Store a checkpoint's name; if the store is unavailable, the training continues: its folder has the checkpoint."""
        try:
            self._set(checkpoint)
        except Exception as error:  # noqa: BLE001 whatever the execution API raises
            _log.warning("the pointer to %s could not be stored (%s)", checkpoint["checkpoint"], error)

    def _set(self, checkpoint: Mapping[str, Any]) -> None:
        values: dict[str, Any] = {key: checkpoint.get(key) for key in ("checkpoint", "optimizer_step")}
        values |= {"training_id": self.training_id, "try_number": self._try_number, "folder": self._checkpoints}
        self._store.set(TRAINING_KEY, values)
