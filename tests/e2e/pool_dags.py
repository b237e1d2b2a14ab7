"""DAGs for the tests beside the shipped ones: a training that pauses, a task that wants its slot, and a schedule made up for."""

from datetime import UTC, datetime
from pathlib import Path

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, CronTriggerTimetable, task
from lowtide.airflow.training import GpuTrainingOperator

with DAG("pausing_training", schedule=None):
    GpuTrainingOperator(task_id="train", config=str(Path(__file__).with_name("config.yaml")), pool="gpu")

with DAG("next_in_line", schedule=None):

    @task(pool="gpu")
    def work():
        return "done"

    work()

with DAG(
    "with_start_date",
    schedule=CronTriggerTimetable("0 0 1 1 *", timezone="UTC"),
    start_date=datetime(2020, 1, 1, tzinfo=UTC),
    catchup=False,
):
    EmptyOperator(task_id="nothing")
