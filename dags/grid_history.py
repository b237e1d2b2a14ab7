"""Keeps the grid's history up to date, hour by hour."""

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable, Param
from lowtide.airflow.maintenance import (
    DEFAULT_DAYS,
    ReadBackRunsOperator,
    RecordGridHistoryOperator,
    RefreshSavingsOperator,
    SettleRunsOperator,
)
from lowtide.airflow.operator import dag_params

CONFIG = "optimized.yaml"
LONGEST_DAYS = 3660

DOC = """
### Grid history

Asks the provider of the configuration file's `grid` section for the hours to come, for the last two days (which are
revised), and for gaps of the last `days` days, and keeps every value with its origin and the moment when it was learnt
under `history/` of the artifact root. Then it merges small files. Clearing or running it again changes nothing.
**read_back** makes an account of each run that was killed, that left no record, and that nobody goes on with. **settle** books
the runs of the last `days` days again where actual figures have come in, keeps what was booked first, and renews the reports
that rest on them. **savings** then renews `savings/`: what all runs used, emitted and avoided, by month and model, also on a
grid without a history.

To fill the past once, trigger it with `days` as far back as the provider goes; `zone` chooses another zone than the file.
"""

with DAG(
    dag_id="grid_history",
    description="Store what the grid emitted, what was forecast, and when it was learnt",
    doc_md=DOC,
    # seven past: providers turn to a new interval a little late, and everybody else asks on the hour
    # No start_date: with one, Airflow makes up for the last scheduled run as soon as the DAG is unpaused for the first time.
    # Without run_immediately it still would for a tenth of the period; some minutes are for a scheduler that is late.
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
            description=f"how many days back gaps are filled; null = {DEFAULT_DAYS}",
        ),
    },
    tags=["lowtide", "carbon", "history"],
    default_args={"owner": "ml-platform", "retries": 2, "retry_delay": timedelta(minutes=2)},
) as dag:
    record = RecordGridHistoryOperator(task_id="record", config=CONFIG)
    read_back = ReadBackRunsOperator(task_id="read_back", config=CONFIG)  # also while the provider is away
    settle = SettleRunsOperator(task_id="settle", config=CONFIG)
    # none_failed: a replayed grid has nothing to record or settle, and those two are skipped; its runs are accounted all the same
    savings = RefreshSavingsOperator(task_id="savings", config=CONFIG, trigger_rule="none_failed")
    [record, read_back] >> settle >> savings
