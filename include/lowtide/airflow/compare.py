"""Compares a run with the stored baseline run and writes the report."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, DagRunState
from airflow.sdk.api.client import ServerResponseError
from airflow.sdk.exceptions import AirflowRuntimeError
from pydantic import ValidationError

from lowtide.airflow.operator import ConfiguredOperator, airflow_errors
from lowtide.airflow.plugin import ReportLink
from lowtide.errors import ArtifactError, ConfigurationError
from lowtide.records import TrainingRecord, load_record
from lowtide.report.compare import compare_runs, write_report
from lowtide.report.text import summary_lines
from lowtide.runs.evidence import wait_evidence
from lowtide.runs.folder import RunFolder
from lowtide.runs.settlement import facts_sha256, settled_record
from lowtide.timeutil import utc_now

if TYPE_CHECKING:
    from airflow.sdk import Context

_log = logging.getLogger(__name__)

BASELINE = Asset(name="lowtide_baseline", uri="lowtide://baseline", group="lowtide")
"""The asset that a successful baseline updates, and by which a comparison finds it."""

BASELINE_DAG_ID = "baseline_training"
BASELINE_TASK_ID = "train"
NEWEST_EVENTS = 50
"""Asset events that are searched, newest first."""
_NOT_FOUND = 404


class CompareRunsOperator(ConfiguredOperator):
    """Writes ``report.json``, ``.md`` and ``.html``; the XCom is the headline, the changes and the paths, the log a summary.

    The baseline is the run named by the Param ``baseline_run_id``, else the newest successful one with the same
    comparison key, or the mean of several (``report.baselines``). Without one the report says so, and how to make one.

    :param train_task_id: the task whose XCom is the training record.
    """

    operator_extra_links = (ReportLink(),)

    def __init__(self, *, train_task_id: str = "train", **kwargs: Any) -> None:
        super().__init__(**{"inlets": [BASELINE], **kwargs})
        self.train_task_id = train_task_id

    @airflow_errors
    def execute(self, context: Context) -> dict[str, Any]:
        """Compare, write the report and return its summary.

        :raises AirflowFailException: no training record, a named baseline that cannot be used, or a root that cannot be written.
        """
        run, now = self.run_context(context), utc_now()
        settings, record = run.config.values.report, self._training_record(context)
        if named := context["params"].get("baseline_run_id"):
            baselines, notes = [named_baseline(context, named)], list[str]()
        else:
            baselines, notes = newest_baselines(context, record.comparison_key, wanted=settings.baselines)
        folder = RunFolder(Path(record.ledger_path).parent)
        evidence = wait_evidence(record, folder, run.config.artifacts_path, now=now)
        report = compare_runs(baselines, [record], settings=settings, now=now, notes=notes, evidence=[evidence])
        paths = write_report(report, run.report_folder)
        for line in summary_lines(report, paths):
            self.log.info("%s", line)
        return {
            "headline": report.headline.model_dump(mode="json"),
            "changes": report.changes.model_dump(mode="json"),
            "report": str(paths["report.json"]),
            "report_markdown": str(paths["report.md"]),
            **({"report_html": str(paths["report.html"])} if "report.html" in paths else {}),
        }

    def _training_record(self, context: Context) -> TrainingRecord:
        stored = context["ti"].xcom_pull(task_ids=self.train_task_id)
        record = _record(stored)
        if record is None:
            found = "is not a training record of this version" if stored else "holds no training record"
            raise ArtifactError(f"the XCom of task {self.train_task_id!r} {found}; clear it to train again")
        return record


def named_baseline(context: Context, run_id: str) -> TrainingRecord:
    """Return the record of the baseline that a person named.

    :raises ConfigurationError: the run does not exist, was not successful, or has no record.
    """
    state = _run_state(context, BASELINE_DAG_ID, run_id)
    if state != "success":
        found = f"is {state}" if state else "does not exist"
        raise ConfigurationError(
            f"baseline_run_id {run_id!r}: that run of {BASELINE_DAG_ID} {found};"
            " name a successful run, or leave it empty for the newest baseline that fits"
        )
    record = _record(context["ti"].xcom_pull(dag_id=BASELINE_DAG_ID, task_ids=BASELINE_TASK_ID, run_id=run_id))
    if record is None:
        raise ConfigurationError(
            f"baseline_run_id {run_id!r}: its XCom holds no training record; run {BASELINE_DAG_ID} again"
        )
    return record


def newest_baselines(
    context: Context, comparison_key: str, *, wanted: int = 1
) -> tuple[list[TrainingRecord], list[str]]:
    """Return the records of the newest successful baselines with this comparison key, and notes for the report.

    Airflow writes an asset event when the task succeeds, even if its run fails later, and keeps the event of a deleted run:
    hence the run's state is checked. A run that was cleared has several events and counts once.
    """
    notes: list[str] = []
    found: dict[str, TrainingRecord] = {}
    events = list(context["inlet_events"][BASELINE].ascending(False).limit(NEWEST_EVENTS))
    for event in events:
        record = _record_of(context, event, comparison_key, notes)
        if record is not None:
            found.setdefault(record.ledger_sha256, record)
        if len(found) == wanted:
            return list(found.values()), notes
    if len(events) == NEWEST_EVENTS:
        notes.append(f"only the newest {NEWEST_EVENTS} baselines were searched; name an older one with baseline_run_id")
    if found:
        notes.append(f"report.baselines asks for {wanted} baselines; {len(found)} fit")
    return list(found.values()), notes


def _record_of(context: Context, event: Any, comparison_key: str, notes: list[str]) -> TrainingRecord | None:
    extra: dict[str, Any] = dict(event.extra or {})
    if extra.get("comparison_key", comparison_key) != comparison_key:
        return None
    dag_id, run_id = event.source_dag_id, event.source_run_id
    if dag_id is None or run_id is None or _run_state(context, dag_id, run_id) != "success":
        _log.info("baseline %s is not used: its run is not a success, or was deleted", run_id)
        return None
    source = event.source_task_instance  # requests the run: only now, since a deleted one answers 404
    record = (_record(source.xcom_pull()) if source else None) or _record_from_file(extra, notes)
    return record if record is not None and record.comparison_key == comparison_key else None


def _run_state(context: Context, dag_id: str, run_id: str) -> str | None:
    try:
        return DagRunState(context["ti"].get_dagrun_state(dag_id, run_id)).value
    except AirflowRuntimeError as error:
        status = (error.error.detail or {}).get("status_code")
        failure: Exception = error
    except ServerResponseError as error:  # what dag.test() raises instead
        status, failure = error.response.status_code, error
    if status != _NOT_FOUND:  # the API failed: a retry may find the baseline
        raise failure
    return None


def _record(stored: Any) -> TrainingRecord | None:
    try:
        return settled_record(TrainingRecord.model_validate(stored)) if isinstance(stored, dict) else None
    except ValidationError as error:
        _log.warning("an XCom is not a training record of this version: %s", error.errors()[0]["msg"])
        return None


def _record_from_file(extra: dict[str, Any], notes: list[str]) -> TrainingRecord | None:
    """Return the record from its file, which the event names, if the checksum matches."""
    if not extra.get("record_path"):
        return None
    path = Path(extra["record_path"])
    try:
        record = load_record(path)  # compares its ledger with the record's checksum
        if facts_sha256(record) != extra.get("facts_sha256"):
            notes.append(f"the baseline's record {path} has changed since it was written and was not used")
            return None
    except (OSError, ArtifactError) as error:
        notes.append(f"the baseline's record {path} cannot be read by this worker ({error})")
        return None
    notes.append(f"the baseline's XCom is gone; its record was read from {path}, checksum verified")
    return record
