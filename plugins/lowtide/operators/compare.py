"""Compares a run with the stored baseline run and writes the report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from include.errors import ArtifactError
from include.moments import utc_now
from include.pipeline import RunFolder, report_folder
from include.pipeline.settling.settled_record import settled_record
from include.pipeline.waiting.evidence import wait_evidence
from include.records import TrainingRecord
from include.report import compare_repeats, write_report
from include.report.text.summary import summary_lines
from lowtide.assets import BASELINE
from lowtide.baselines import FoundBaseline, named_baseline, newest_baselines
from lowtide.errors import airflow_errors
from lowtide.operators.configured import ConfiguredOperator
from lowtide.report_link import ReportLink
from lowtide.run_context import configuration

if TYPE_CHECKING:
    from airflow.sdk import Context


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
            report = compare_repeats(
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
