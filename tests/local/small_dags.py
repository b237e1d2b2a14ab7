"""Two small DAGs in the shape of Lowtide's: one deferral through the triggerer, one task with a child of its own."""

import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow.providers.standard.triggers.temporal import DateTimeTrigger
from airflow.sdk import DAG, BaseOperator, task


class ShortWait(BaseOperator):
    def execute(self, context):
        moment = datetime.now(UTC) + timedelta(seconds=8)
        self.defer(trigger=DateTimeTrigger(moment=moment), method_name="resume")

    def resume(self, context, event):
        return str(event)


with DAG("first_small", schedule=None):

    @task
    def work(params=None, dag_run=None):
        if dag_run.conf.get("answer") != 42:
            raise RuntimeError("the answer is another: " + str(dag_run.conf))
        # in a session of its own and without the marker, as the training child is
        code = "import time; time.sleep(600)"
        child = subprocess.Popen([sys.executable, "-c", code], start_new_session=True, env={})
        Path(__file__).with_name("child.pid").write_text(str(child.pid))
        time.sleep(4)
        child.kill()

    work()

with DAG("second_small", schedule="@hourly", start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False):

    @task(pool="gpu")
    def train():
        return "trained"

    @task
    def compare():
        return {"report": "report.json"}

    ShortWait(task_id="wait_for_clean_grid") >> train() >> compare()
