"""Reads a run's identity, configuration and fixed moments from a task's context."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, Param
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from lowtide.config.airflow_params import CONFIGS_FOLDER, config_path_from_params, param_schemas, settings_from_params
from lowtide.config.loader import PROJECT_ROOT, LoadedConfig, load_config
from lowtide.errors import ConfigurationError, LowtideError
from lowtide.grid.factory import replay_anchor
from lowtide.records import ReplayAnchor
from lowtide.runs.durations import ExpectedDuration, expected_duration
from lowtide.runs.folder import RunFolder
from lowtide.runs.pausing import pauses_as_json, with_pauses
from lowtide.runs.run import new_training_id
from lowtide.scheduler.job import Job, job_from_config
from lowtide.timeutil import as_utc, format_moment, parse_moment, utc_now

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from airflow.sdk import Context

    from lowtide.runs.folder import RunFolder
    from lowtide.scheduler.job import Job


# Translates the core's errors into Airflow's, so that soft_fail, retries and the UI treat them right.


@contextmanager
def airflow_errors(*, skip: bool = False) -> Iterator[None]:
    """Turn a LowtideError into an Airflow failure: final for a wrong configuration, to be retried otherwise.

    :param skip: a sensor's ``soft_fail``: skip instead of failing. Airflow itself does so only on some paths.
    """
    try:
        yield
    except LowtideError as error:
        if skip:
            raise AirflowSkipException(str(error)) from None
        if isinstance(error, ConfigurationError):
            # trying again cannot help: the same file would be as wrong. A full disk or a mirror that is away may mend.
            raise AirflowFailException(str(error)) from None
        raise AirflowException(str(error)) from error
    except AirflowFailException as error:
        if skip:
            raise AirflowSkipException(str(error)) from None
        raise


# What all operators have in common: the configuration file, and what is laid over it.


class ConfiguredOperator(BaseOperator):
    """An operator that follows a configuration file; ``run_context.configuration`` reads it when the task runs.

    :param config: configuration file. (templated)
    :param settings: dotted keys to lay over the file. (templated)
    """

    template_fields: Sequence[str] = ("config", "settings")

    def __init__(self, *, config: str, settings: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.config = config
        self.settings = dict(settings or {})


# The form of a manual trigger, made from the configuration's own schema.


def dag_params(*, without: Collection[str] = ()) -> dict[str, Param]:
    """Return nullable Params; null means as in the configuration file.

    :param without: names that mean nothing to a DAG.
    """
    return {name: Param(None, **schema) for name, schema in param_schemas().items() if name not in without}


# How often a run has paused, and how far it was, in Airflow's state store: a retry must not begin to count anew.


_STATE_KEY = "lowtide_pauses"


class PauseState:
    """The pauses of one training; those of another one under the same run are not counted."""

    def __init__(self, context: Context, training_id: str) -> None:
        self._store, self._training_id = context["task_state_store"], training_id

    def begun(self, job: Job) -> Job:
        """Return the job as its next slice begins."""
        return with_pauses(job, self._store.get(_STATE_KEY), self._training_id)

    def paused(self, job: Job) -> None:
        """Note a pause."""
        self._store.set(_STATE_KEY, pauses_as_json(job, self._training_id))

    def over(self) -> None:
        """Forget the pauses of a training that is complete: one that is cleared begins anew."""
        self._store.set(_STATE_KEY, {})


_RUN_CONTEXT_STATE_KEY = "lowtide_first_look"


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstLook:
    """The moments that neither a retry nor a restarted triggerer may move (policy time)."""

    submitted_at: datetime
    deadline: datetime | None
    anchor: ReplayAnchor | None
    expected: ExpectedDuration | None = None
    """None for a look that an earlier version stored."""

    def as_json(self) -> dict[str, Any]:
        """Return what the state store and XCom keep."""
        return {
            "submitted_at": format_moment(self.submitted_at),
            "deadline": format_moment(self.deadline) if self.deadline else None,
            "replay": self.anchor.model_dump(mode="json") if self.anchor else None,
            "expected_duration": self.expected.as_json() if self.expected else None,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> FirstLook:
        """Read what ``as_json`` wrote."""
        return cls(
            submitted_at=parse_moment(data["submitted_at"]),
            deadline=parse_moment(data["deadline"]) if data.get("deadline") else None,
            anchor=ReplayAnchor.model_validate(data["replay"]) if data.get("replay") else None,
            expected=ExpectedDuration.from_json(data["expected_duration"]) if data.get("expected_duration") else None,
        )


def configuration(context: Context, config: str, settings: Mapping[str, Any]) -> LoadedConfig:
    """Return the run's configuration: the file, the run's Params over it, and what the task fixes over both.

    :raises ConfigurationError: one sentence.
    """
    params = context["params"]
    _refuse_unknown_keys(context)
    path = config_path_from_params(params, config) if params.get("config") else _file(config)
    return load_config(path, {**settings_from_params(params), **settings}, settings_name="DAG Param or task setting")


def _refuse_unknown_keys(context: Context) -> None:
    # Airflow accepts any key in a run's conf; one that is misspelt would leave the file's value in force, unnoticed
    known = context["dag"].params
    for key in context["dag_run"].conf or {}:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.4)
            offer = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}."
            raise ConfigurationError(f"the run's conf has the unknown key {key!r}; {offer}")


def _file(config: str) -> Path:
    path = Path(config)
    return CONFIGS_FOLDER / path if path.parent == Path() else PROJECT_ROOT / path


def job_id(context: Context) -> str:
    """Return the name under which a run's decisions are taken, and its record is known."""
    run, index = context["dag_run"], _map_index(context)
    return f"{run.dag_id}/{run.run_id}" if index < 0 else f"{run.dag_id}/{run.run_id}[{index}]"


def run_folder(context: Context, config: LoadedConfig) -> RunFolder:
    """Return the run's folder under the artifact root; instances of a mapped task must not share one."""
    run = context["dag_run"]
    return RunFolder.of_run(config.artifacts_path, run.dag_id, run.run_id, _map_index(context))


def _map_index(context: Context) -> int:
    index = context["ti"].map_index
    return -1 if index is None else int(index)


def first_look(context: Context, config: LoadedConfig) -> FirstLook:
    """Return the run's fixed moments; the first try of a task fixes them, later tries read them.

    Submission is the moment from which the run was due (``run_after``); a replay begins when it is first looked at. A run
    with ``fresh`` whose task is cleared is submitted anew, at that moment.
    """
    stored = stored_look(context)
    again = stored is not None and starts_over(context, _RUN_CONTEXT_STATE_KEY)
    if stored and not again:
        return stored
    now = utc_now()
    anchor = replay_anchor(config.values.grid, now)
    due = now if again else as_utc(context["dag_run"].run_after)
    submitted_at = anchor.virtual_start if anchor else due
    job = job_from_config(config.values, job_id=job_id(context), submitted_at=submitted_at)
    expected = expected_duration(config.values, config.artifacts_path)
    look = FirstLook(submitted_at=submitted_at, deadline=job.deadline, anchor=anchor, expected=expected)
    context["task_state_store"].set(_RUN_CONTEXT_STATE_KEY, {**look.as_json(), "try_number": context["ti"].try_number})
    return look


def stored_look(context: Context) -> FirstLook | None:
    """Return the moments that an earlier look fixed; they survive retries, clearing and a resumed wait."""
    stored = context["task_state_store"].get(_RUN_CONTEXT_STATE_KEY)
    return FirstLook.from_json(stored) if isinstance(stored, dict) else None


def job_of(context: Context, config: LoadedConfig, look: FirstLook) -> Job:
    """Return the job to decide on, with deadline and expected duration as they were fixed."""
    job = job_from_config(config.values, job_id=job_id(context), submitted_at=look.submitted_at)
    expected = look.expected.duration if look.expected else job.expected_duration
    return replace(job, deadline=look.deadline, expected_duration=expected)


def starts_over(context: Context, key: str) -> bool:
    """Whether a person cleared the task of a ``fresh`` run, and this is its first look since at what ``key`` stores.

    A retry after that, or the next look of a wait in the worker, must not start over (and extend a wait) once more.
    """
    ti, retries = context["ti"], context["task"].retries or 0
    stored = context["task_state_store"].get(key)
    looked_before = isinstance(stored, dict) and stored.get("try_number") == ti.try_number
    return bool(context["params"].get("fresh")) and not looked_before and ti.try_number == ti.max_tries - retries + 1


# The pointer to a run's training in Airflow's state store: what lets a retried or cleared task go on, and only its own.
#
# The store survives retries and clearing, and belongs to one run of the database: a run that was deleted and made again under
# the same run id finds nothing there, and so cannot pick up what the deleted one left in the same folder.


_TRAINING_STATE_STATE_KEY = "lowtide_training"
_log = logging.getLogger(__name__)


class TrainingPointer:
    """The training that this task instance may go on with: an earlier try's, or a new one.

    A run with ``fresh`` that a person clears begins a new one.
    """

    def __init__(self, context: Context, folder: RunFolder) -> None:
        self._store, self._try_number = context["task_state_store"], context["ti"].try_number
        self._checkpoints = str(folder.checkpoints)
        stored = self._store.get(_TRAINING_STATE_STATE_KEY)
        known = stored if isinstance(stored, dict) and not starts_over(context, _TRAINING_STATE_STATE_KEY) else {}
        self.training_id = str(known.get("training_id") or new_training_id())
        self.optimizer_step = known.get("optimizer_step")
        self._set({key: known.get(key) for key in ("checkpoint", "optimizer_step")})

    def move(self, checkpoint: dict[str, Any]) -> None:
        """Note a checkpoint; a store that is away does not end the training, whose folder holds the checkpoint too."""
        try:
            self._set({key: checkpoint[key] for key in ("checkpoint", "optimizer_step")})
        except Exception as error:  # noqa: BLE001 whatever the execution API raises
            _log.warning("the pointer to %s could not be stored (%s)", checkpoint["checkpoint"], error)

    def _set(self, place: dict[str, Any]) -> None:
        about: dict[str, Any] = {
            "training_id": self.training_id,
            "try_number": self._try_number,
            "folder": self._checkpoints,
        }
        self._store.set(_TRAINING_STATE_STATE_KEY, about | place)
