"""Runs the demo's machinery on small DAGs: ``python -m tests.local.demo_driver FOLDER PORT [up]``. What the tests send signals to."""

import sys
from pathlib import Path

from rich.console import Console

from local.components import LocalAirflow
from local.dag_runs import PlannedRun
from local.demo import DemoPlan, run_plan
from local.display import PlainDisplay
from local.places import PROJECT_ROOT, Places
from local.runner import guarded, with_airflow
from local.up_down import up

PLAN = DemoPlan(
    runs=(
        PlannedRun(title="first", dag_id="first_small", tasks=("work",), conf={"answer": 42}),
        PlannedRun(title="second", dag_id="second_small", tasks=("wait_for_clean_grid", "train", "compare")),
    ),
    report_task="compare",
    fetch=("-c", "print('data: ready')"),
)


def places_in(folder: Path) -> Places:
    """Everything in a folder, except the code."""
    return Places(
        project_root=PROJECT_ROOT,
        home=folder / ".airflow",
        dags=folder / "dags",
        plugins=folder / "plugins",
        artifacts=folder / "artifacts",
    )


def small_demo(airflow: LocalAirflow, console: Console) -> None:
    airflow.mark("run")
    console.print(f"REPORT {run_plan(airflow, PlainDisplay(console), PLAN)}", soft_wrap=True)


def main() -> int:
    places = places_in(Path(sys.argv[1]))
    console = Console(width=200)
    keep = sys.argv[3:] == ["up"]
    job = up if keep else small_demo
    return guarded(lambda: with_airflow(places, int(sys.argv[2]), job, keep=keep, console=console))


if __name__ == "__main__":
    sys.exit(main())
