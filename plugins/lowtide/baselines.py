"""Finds the stored baseline run that a run is compared with, by asset events and XCom."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import DagRunState
from airflow.sdk.api.client import ServerResponseError
from airflow.sdk.exceptions import AirflowRuntimeError
from pydantic import ValidationError

from include.errors import ArtifactError, ConfigurationError
from include.pipeline.settling.settled_record import is_record_of, settled_record
from include.records import TrainingRecord
from include.report import load_record
from lowtide.assets import BASELINE

if TYPE_CHECKING:
    from airflow.sdk import Context

_log = logging.getLogger(__name__)

BASELINE_DAG_ID = "baseline_training"
BASELINE_TASK_ID = "train"
_NOT_FOUND = 404
LOOKED_AT = 50
"""Asset events looked at, newest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundBaseline:
    """Baselines' records, newest first, with what was said about the ones passed over."""

    records: tuple[TrainingRecord, ...]
    notes: tuple[str, ...]


def named_baseline(context: Context, run_id: str) -> FoundBaseline:
    """Return the baseline that a person named.

    :raises ConfigurationError: no such run, not successful, or without a record.
    """
    state = _run_state(context, BASELINE_DAG_ID, run_id)
    if state != "success":
        found = f"is {state}" if state else "does not exist"
        raise ConfigurationError(
            f"baseline_run_id {run_id!r}: that run of {BASELINE_DAG_ID} {found};"
            " name a successful run, or leave it empty to take the newest that fits"
        )
    stored = context["ti"].xcom_pull(dag_id=BASELINE_DAG_ID, task_ids=BASELINE_TASK_ID, run_id=run_id)
    record = _record(stored)
    if record is None:
        raise ConfigurationError(
            f"baseline_run_id {run_id!r}: its XCom holds no training record; run {BASELINE_DAG_ID} again"
        )
    return FoundBaseline(records=(record,), notes=())


def newest_baselines(context: Context, comparison_key: str, *, wanted: int = 1) -> FoundBaseline:
    """Return the newest successful baselines with this comparison key; failed, deleted and other ones are passed over.

    An asset event is written when the task succeeds, even if its run fails later, and outlives a deleted run: hence the
    question for the run's state. A run that was cleared has several events and counts once.
    """
    notes: list[str] = []
    found: dict[str, TrainingRecord] = {}
    events = list(context["inlet_events"][BASELINE].ascending(False).limit(LOOKED_AT))
    for event in events:
        record = _record_of(context, event, comparison_key, notes)
        if record is not None:
            found.setdefault(record.ledger_sha256, record)
        if len(found) == wanted:
            return FoundBaseline(records=tuple(found.values()), notes=tuple(notes))
    if len(events) == LOOKED_AT:
        notes.append(f"only the newest {LOOKED_AT} baselines were looked at; name an older one with baseline_run_id")
    if found:
        notes.append(f"report.baselines asks for {wanted} baselines; {len(found)} fit")
    return FoundBaseline(records=tuple(found.values()), notes=tuple(notes))


def _record_of(context: Context, event: Any, comparison_key: str, notes: list[str]) -> TrainingRecord | None:
    extra: dict[str, Any] = dict(event.extra or {})
    if extra.get("comparison_key", comparison_key) != comparison_key:
        return None
    dag_id, run_id = event.source_dag_id, event.source_run_id
    if dag_id is None or run_id is None or _run_state(context, dag_id, run_id) != "success":
        _log.info("baseline %s passed over: its run is not a success, or was deleted", run_id)
        return None
    source = event.source_task_instance  # asks for the run: only now, since a deleted one answers 404
    record = (_record(source.xcom_pull()) if source else None) or _record_from_file(extra, notes)
    return record if record is not None and record.comparison_key == comparison_key else None


def _run_state(context: Context, dag_id: str, run_id: str) -> str | None:
    try:
        return DagRunState(context["ti"].get_dagrun_state(dag_id, run_id)).value
    except AirflowRuntimeError as error:
        if (error.error.detail or {}).get("status_code") != _NOT_FOUND:
            raise  # the API is in trouble: a retry may find the baseline, and "none" would be untrue
        return None
    except ServerResponseError as error:  # what dag.test() gives instead
        if error.response.status_code != _NOT_FOUND:
            raise
        return None


def _record(stored: Any) -> TrainingRecord | None:
    try:
        return settled_record(TrainingRecord.model_validate(stored)) if isinstance(stored, dict) else None
    except ValidationError as error:
        _log.warning("a stored baseline is not a training record of this version: %s", error.errors()[0]["msg"])
        return None


def _record_from_file(extra: dict[str, Any], notes: list[str]) -> TrainingRecord | None:
    """Take the second way: the record's file, named in the event, if its checksum still holds."""
    if not extra.get("record_path"):
        return None
    path = Path(extra["record_path"])
    try:
        if not is_record_of(path, str(extra.get("record_sha256"))):
            notes.append(f"the baseline's record {path} has changed since it was written and was not used")
            return None
        notes.append(f"the baseline's XCom is gone; its record was read from {path}, checksum verified")
        return load_record(path)
    except (OSError, ArtifactError) as error:
        notes.append(f"the baseline's record {path} cannot be read by this worker ({error})")
        return None
