"""Compares a run with the stored baseline run and writes the report."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, DagRunState
from airflow.sdk.api.client import ServerResponseError
from airflow.sdk.exceptions import AirflowRuntimeError
from pydantic import ValidationError

from lowtide.airflow.context import ConfiguredOperator, airflow_errors, configuration
from lowtide.airflow.plugin import ReportLink
from lowtide.errors import ArtifactError, ConfigurationError
from lowtide.records import TrainingRecord
from lowtide.report.compare import compare_replicates
from lowtide.report.files import load_record, write_report
from lowtide.report.text import summary_lines
from lowtide.runs.evidence import wait_evidence
from lowtide.runs.folder import RunFolder, report_folder
from lowtide.runs.settlement import settled_record
from lowtide.timeutil import utc_now

if TYPE_CHECKING:
    from airflow.sdk import Context


# The asset that a successful baseline updates, and by which a comparison finds it.


BASELINE = Asset(name="lowtide_baseline", uri="lowtide://baseline", group="lowtide")


# Finds the stored baseline run that a run is compared with, by asset events and XCom.


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
        record = load_record(path)  # compares its ledger with the record's checksum
        if record.ledger_sha256 != extra.get("ledger_sha256"):
            notes.append(f"the baseline's record {path} has changed since it was written and was not used")
            return None
    except (OSError, ArtifactError) as error:
        notes.append(f"the baseline's record {path} cannot be read by this worker ({error})")
        return None
    notes.append(f"the baseline's XCom is gone; its record was read from {path}, checksum verified")
    return record


class CompareRunsOperator(ConfiguredOperator):
    """Writes ``report.json``, ``.md`` and ``.html``; the XCom is the headline, the changes and the paths, the log a summary.

    The baseline is the run named by the Param ``baseline_run_id``, else the newest successful one with the same
    comparison key, or the mean of several (``report.baselines``). Without one the report says so, and how to make one.

    :param config: configuration file, for the artifact root and the report's settings. (templated)
    :param settings: dotted keys to lay over the file. (templated)
    :param train_task_id: the task whose XCom is the training record.
    """

    operator_extra_links = (ReportLink(),)
    ui_color = "#dce6f5"

    def __init__(self, *, train_task_id: str = "train", **kwargs: Any) -> None:
        super().__init__(**{"inlets": [BASELINE], **kwargs})
        self.train_task_id = train_task_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Compare, write the report and return its summary.

        :raises AirflowFailException: no training record, a named baseline that cannot be used, or a root that cannot be written.
        """
        with airflow_errors():
            config = configuration(context, self.config, self.settings)
            record = self._record(context)
            found = self._baselines(context, record, config.values.report.baselines)
            now, folder = utc_now(), RunFolder(Path(record.ledger_path).parent)
            report = compare_replicates(
                found.records,
                [record],
                settings=config.values.report,
                now=now,
                notes=found.notes,
                evidence=[wait_evidence(record, folder, config.artifacts_path, now=now)],
            )
            paths = write_report(report, self._folder(context, config.artifacts_path))
        for line in summary_lines(report, paths):
            self.log.info("%s", line)
        return {
            "headline": report.headline.model_dump(mode="json"),
            "changes": report.changes.model_dump(mode="json"),
            "report": str(paths["report.json"]),
            "report_markdown": str(paths["report.md"]),
            **({"report_html": str(paths["report.html"])} if "report.html" in paths else {}),
        }

    def _folder(self, context: Context, artifacts_root: Path) -> Path:
        run, index = context["dag_run"], context["ti"].map_index
        return report_folder(artifacts_root, run.dag_id, run.run_id, -1 if index is None else int(index))

    def _record(self, context: Context) -> TrainingRecord:
        stored = context["ti"].xcom_pull(task_ids=self.train_task_id)
        if not stored:
            raise ArtifactError(
                f"task {self.train_task_id!r} left no training record in its XCom; clear it to train again"
            )
        try:
            return settled_record(TrainingRecord.model_validate(stored))
        except ValidationError:
            raise ArtifactError(
                f"the XCom of task {self.train_task_id!r} is not a training record of this version; clear it to train again"
            ) from None

    def _baselines(self, context: Context, record: TrainingRecord, wanted: int) -> FoundBaseline:
        named = context["params"].get("baseline_run_id")
        if named:
            return named_baseline(context, named)
        return newest_baselines(context, record.comparison_key, wanted=wanted)
