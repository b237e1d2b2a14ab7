"""Reads a run's identity, configuration and fixed moments from a task's context."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.config import PROJECT_ROOT, LoadedConfig, config_path_from_params, load_config, settings_from_params
from include.config.params import CONFIGS_FOLDER
from include.errors import ConfigurationError
from include.moments import as_utc, format_moment, parse_moment, utc_now
from include.pipeline.durations import ExpectedDuration, expected_duration
from include.pipeline.run_folder import RunFolder
from include.records import ReplayAnchor
from include.scheduler import Job, job_from_config, replay_anchor

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from airflow.sdk import Context

_STATE_KEY = "lowtide_first_look"


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
    again = stored is not None and starts_over(context, _STATE_KEY)
    if stored and not again:
        return stored
    now = utc_now()
    anchor = replay_anchor(config.values.grid, now)
    due = now if again else as_utc(context["dag_run"].run_after)
    submitted_at = anchor.virtual_start if anchor else due
    job = job_from_config(config.values, job_id=job_id(context), submitted_at=submitted_at)
    expected = expected_duration(config.values, config.artifacts_path)
    look = FirstLook(submitted_at=submitted_at, deadline=job.deadline, anchor=anchor, expected=expected)
    context["task_state_store"].set(_STATE_KEY, {**look.as_json(), "try_number": context["ti"].try_number})
    return look


def stored_look(context: Context) -> FirstLook | None:
    """Return the moments that an earlier look fixed; they survive retries, clearing and a resumed wait."""
    stored = context["task_state_store"].get(_STATE_KEY)
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
