"""The baseline: the same training, started at once, whose record later runs are compared with."""

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable
from lowtide.airflow import GpuTrainingOperator
from lowtide.airflow.compare import BASELINE
from lowtide.airflow.operator import dag_params

CONFIG = "baseline.yaml"

DOC = """
### Baseline training

Trains at once, in one large batch, measured in the same way as `carbon_aware_retraining`. A successful run updates the
asset `lowtide_baseline`. Its XCom is the training record that later runs are compared with; a failed run is never used.
"""

with DAG(
    dag_id="baseline_training",
    description="Train at once under measurement and store the record as the baseline",
    doc_md=DOC,
    # Without a start_date, unpausing the DAG for the first time does not start the last missed run. run_immediately limits
    # how late a scheduled run may start; its default is a tenth of the period.
    schedule=CronTriggerTimetable("0 12 * * 0", timezone="Europe/London", run_immediately=timedelta(minutes=5)),
    catchup=False,
    max_active_runs=1,
    # a baseline does not wait
    params=dag_params(without=("policy", "threshold_gco2eq_per_kwh", "deadline", "start_now", "baseline_run_id")),
    tags=["lowtide", "carbon", "training"],
    default_args={"owner": "ml-platform", "retries": 2, "retry_delay": timedelta(minutes=1)},
) as dag:
    GpuTrainingOperator(
        task_id="train", config=CONFIG, settings={"scheduler.policy": "immediate"}, pool="gpu", outlets=[BASELINE]
    )
