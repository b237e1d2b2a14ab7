"""Nightly retraining that waits for a clean grid, trains, and is compared with the stored baseline."""

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable
from lowtide.airflow import CarbonIntensitySensor, CompareRunsOperator, GpuTrainingOperator
from lowtide.airflow.operator import dag_params

CONFIG = "optimized.yaml"

DOC = """
### Carbon-aware retraining

1. **wait_for_clean_grid** checks the grid. If it is dirty, the task defers: it holds no worker until the grid is clean or
   the deadline leaves no more time to wait.
2. **train** trains in a child process under CodeCarbon, in pool `gpu`. A retry, or clearing the unfinished task, resumes
   from the last checkpoint; clearing a finished task trains again.
3. **compare** compares the run with the newest successful run of `baseline_training` that has the same model, data, zone
   and effective batch size, and writes the report under the artifact root. The button "Report" on the task opens it.

Every field of the trigger form may stay empty: then the configuration file decides. `start_now` starts at once and still
measures and compares. `fresh` matters when a task is cleared: submission and deadline are fixed again, and the training
starts over.
"""

with DAG(
    dag_id="carbon_aware_retraining",
    description="Wait for a clean grid, train under measurement, compare with the stored baseline",
    doc_md=DOC,
    # Without a start_date, unpausing the DAG for the first time does not start the last missed run. run_immediately limits
    # how late a scheduled run may start; its default is a tenth of the period.
    schedule=CronTriggerTimetable("0 22 * * *", timezone="Europe/London", run_immediately=timedelta(minutes=5)),
    catchup=False,
    max_active_runs=4,  # a run that starts now must not queue behind one that waits
    params=dag_params(),
    tags=["lowtide", "carbon", "training"],
    default_args={"owner": "ml-platform", "retries": 2, "retry_delay": timedelta(minutes=1)},
) as dag:
    wait = CarbonIntensitySensor(task_id="wait_for_clean_grid", config=CONFIG, deferrable=True)
    train = GpuTrainingOperator(task_id="train", config=CONFIG, decision_task_id=wait.task_id, pool="gpu")
    compare = CompareRunsOperator(task_id="compare", config=CONFIG)
    wait >> train >> compare
