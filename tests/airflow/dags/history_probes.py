"""DAGs of the history operator's tests."""

from datetime import datetime

from airflow.sdk import DAG, Param
from lowtide.airflow.maintenance import (
    RecordGridHistoryOperator,
    RecoverRunsOperator,
    RefreshSavingsOperator,
    SettleRunsOperator,
)

with DAG(
    "record_history",
    schedule=None,
    start_date=datetime(2026, 1, 1),  # noqa: DTZ001 Airflow reads it in the timetable's zone
    params={"file": Param(None, type=["string", "null"]), "days": Param(None, type=["integer", "null"])},
):
    RecordGridHistoryOperator(task_id="record", config="{{ params.file }}", grid_conn_id="grid_history_test")

with DAG(
    "settle_runs",
    schedule=None,
    start_date=datetime(2026, 1, 1),  # noqa: DTZ001 as above
    params={"file": Param(None, type=["string", "null"]), "days": Param(None, type=["integer", "null"])},
):
    SettleRunsOperator(task_id="settle", config="{{ params.file }}", grid_conn_id="grid_history_test")

with DAG(
    "recover_runs",
    schedule=None,
    start_date=datetime(2026, 1, 1),  # noqa: DTZ001 as above
    params={"file": Param(None, type=["string", "null"])},
):
    RecoverRunsOperator(task_id="recover", config="{{ params.file }}")

with DAG(
    "refresh_savings",
    schedule=None,
    start_date=datetime(2026, 1, 1),  # noqa: DTZ001 as above
    params={"file": Param(None, type=["string", "null"])},
):
    RefreshSavingsOperator(task_id="savings", config="{{ params.file }}")
