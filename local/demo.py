"""``make run``: the baseline, a run that waits for a clean grid, and their comparison, on a real Airflow."""

import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from local.api import AirflowApi
from local.comparison import print_comparison
from local.components import LocalAirflow
from local.dag_runs import PlannedRun, execute, wait_until_parsed
from local.display import Display, display_for
from local.environment import url
from local.open_runs import RUN_ID_PREFIX, unpaused
from local.problems import last_lines
from local.stages import StageText
from local.startup import client, migrate, start_healthy


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoPlan:
    """What is fetched first, what is run, and whose result names the report."""

    runs: tuple[PlannedRun, ...]
    report_task: str
    fetch: tuple[str, ...] | None


DEMO = DemoPlan(
    runs=(
        PlannedRun(
            title="baseline",
            dag_id="baseline_training",
            tasks=("train",),
            conf={"config": "demo.yaml", "micro_batch_size": 512, "accumulation_steps": 1, "precision": "fp32"},
        ),
        PlannedRun(
            title="carbon-aware",
            dag_id="carbon_aware_retraining",
            tasks=("wait_for_clean_grid", "train", "compare"),
            conf={"config": "demo.yaml"},
        ),
    ),
    report_task="compare",
    fetch=("-m", "lowtide.trainer.mnist"),
)


def run_demo(airflow: LocalAirflow, console: Console, plan: DemoPlan = DEMO) -> None:
    """Run the plan to its printed comparison.

    :raises LowtideError: a component, a task or the data set failed; the message is for a person.
    """
    airflow.mark("run")
    with display_for(console) as display:
        report = run_plan(airflow, display, plan)
    print_comparison(console, report)


def run_plan(airflow: LocalAirflow, display: Display, plan: DemoPlan) -> Path:
    """Start Airflow, run the plan's DAGs one after the other, and return the path that the last task named.

    :raises LowtideError: as ``run_demo``.
    """
    dag_ids = [planned.dag_id for planned in plan.runs]
    api = _start(airflow, display, plan, dag_ids)
    run_id = f"{RUN_ID_PREFIX}{datetime.now(UTC):%Y-%m-%dT%H-%M-%S}"
    with unpaused(airflow, api, dag_ids):
        for planned in plan.runs:
            execute(airflow, api, display, planned, run_id)
    result = api.xcom(plan.runs[-1].dag_id, run_id, plan.report_task)
    return airflow.places.project_root / str(result["report"])


def _start(airflow: LocalAirflow, display: Display, plan: DemoPlan, dag_ids: list[str]) -> AirflowApi:
    """Fetch the data set while Airflow starts; both take seconds, and neither needs the other."""
    fetching = airflow.spawn("data", [sys.executable, *plan.fetch]) if plan.fetch else None
    _line(display, "airflow", "preparing the metadata database")
    migrate(airflow)
    _line(display, "airflow", "starting scheduler, DAG processor, API server and triggerer")
    api = client(airflow)
    start_healthy(airflow, api)
    _line(display, "airflow", "reading the DAG files")
    wait_until_parsed(airflow, api, dag_ids)
    _line(display, "airflow", f"ready at {url(airflow.port)}", done=True)
    if fetching:
        _line(display, "data", "fetching MNIST and checking its sums")
        airflow.finish("data", fetching)
        _line(display, "data", " ".join(last_lines(airflow.log_of("data"), 1)), done=True)
    return api


def _line(display: Display, stage: str, text: str, *, done: bool = False) -> None:
    display.show(stage, StageText(text, text), done=done)
