"""Two small DAGs under the names of the demo's: one deferral through the triggerer, one child in another session."""

import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow.providers.standard.triggers.temporal import DateTimeTrigger
from airflow.sdk import DAG, BaseOperator, task


class ShortWait(BaseOperator):
    def execute(self, context):
        end = datetime.now(UTC) + timedelta(seconds=8)
        self.defer(trigger=DateTimeTrigger(moment=end), method_name="resume")

    def resume(self, context, event):
        return str(event)


with DAG("baseline_training", schedule="@hourly", start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False):

    @task
    def train(dag_run=None):
        if dag_run.conf.get("precision") != "fp32":
            raise RuntimeError("the settings of the run are others: " + str(dag_run.conf))
        # in a session of its own and with an empty environment, as a training child may be
        code = "import time; time.sleep(600)"
        child = subprocess.Popen([sys.executable, "-c", code], start_new_session=True, env={})
        Path(__file__).with_name("child.pid").write_text(str(child.pid))
        time.sleep(10)
        child.kill()
        child.wait()

    ShortWait(task_id="wait_for_clean_grid")
    train()

with DAG("carbon_aware_retraining", schedule=None):

    @task(pool="gpu")
    def compare():
        return {"report": "report.json"}

    compare()
