"""DAGs whose training is a stored record, so that a comparison and its page can be tried without one."""

from datetime import datetime
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, BaseOperator, Param
from lowtide.airflow.compare import BASELINE, CompareRunsOperator

PARAMS = {name: Param(None, type=["string", "null"]) for name in ("file", "record", "baseline_run_id")}


class StoredTraining(BaseOperator):
    """Returns the record in a file, as a training returns its own."""

    def execute(self, context: Any) -> Any:
        import json

        return json.loads(Path(context["params"]["record"]).read_text(encoding="utf-8"))


for dag_id in ("reported", "other_reported"):
    with DAG(dag_id, schedule=None, start_date=datetime(2026, 1, 1), params=PARAMS):  # noqa: DTZ001
        StoredTraining(task_id="train") >> CompareRunsOperator(task_id="compare", config="{{ params.file }}")

with DAG("mapped_reported", schedule=None, start_date=datetime(2026, 1, 1), params=PARAMS):  # noqa: DTZ001
    train = StoredTraining(task_id="train")
    mapped = CompareRunsOperator.partial(task_id="compare", inlets=[BASELINE])
    train >> mapped.expand(config=["{{ params.file }}", "{{ params.file }}"])
