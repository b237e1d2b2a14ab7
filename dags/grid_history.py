"""Keeps the grid's history up to date every hour, and the accounts that depend on it."""

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable, Param
from lowtide.airflow.maintenance import (
    DEFAULT_DAYS,
    RecordGridHistoryOperator,
    RecoverRunsOperator,
    RefreshSavingsOperator,
    SettleRunsOperator,
)
from lowtide.airflow.operator import dag_params

CONFIG = "optimized.yaml"
LONGEST_DAYS = 3660

DOC = """
### Grid history

**record** asks the provider of the configuration file's `grid` section for its forecast, for the last two days (providers
revise them), and for gaps of the last `days` days. Each value is stored under `history/` of the artifact root with its
source and the time when it was learnt. Running it again changes nothing.

**recover** writes the record of each run that was killed or failed and that no retry resumes. **settle** computes the
emissions of the runs of the last `days` days again if measured values have arrived, and renews their reports. **savings**
writes `savings/`: what all runs used, emitted and avoided, by month and model. It also runs for a grid without a history.

To fill the past once, trigger the DAG with `days` as far back as the provider's data go. `zone` overrides the file's zone.
"""

with DAG(
    dag_id="grid_history",
    description="Store the grid's intensity and forecasts, recover killed runs, settle accounts, sum up savings",
    doc_md=DOC,
    # 7 minutes past: providers publish a new interval a little late, and most clients ask on the hour
    # Without a start_date, unpausing the DAG for the first time does not start the last missed run. run_immediately limits
    # how late a scheduled run may start; its default is a tenth of the period.
    schedule=CronTriggerTimetable("7 * * * *", timezone="UTC", run_immediately=timedelta(minutes=5)),
    catchup=False,
    max_active_runs=1,
    params={
        **{name: param for name, param in dag_params().items() if name in ("config", "zone")},
        "days": Param(
            None,
            type=["integer", "null"],
            minimum=1,
            maximum=LONGEST_DAYS,
            description=f"how many days back to fill gaps and settle runs; null = {DEFAULT_DAYS}",
        ),
    },
    tags=["lowtide", "carbon", "history"],
    default_args={"owner": "ml-platform", "retries": 2, "retry_delay": timedelta(minutes=2)},
) as dag:
    record = RecordGridHistoryOperator(task_id="record", config=CONFIG)
    recover = RecoverRunsOperator(task_id="recover", config=CONFIG)  # does not need the provider
    settle = SettleRunsOperator(task_id="settle", config=CONFIG)
    # none_failed: a replayed grid has nothing to record or settle, so these two are skipped; its runs still count
    savings = RefreshSavingsOperator(task_id="savings", config=CONFIG, trigger_rule="none_failed")
    [record, recover] >> settle >> savings
