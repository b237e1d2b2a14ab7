"""Runs the probe DAGs with real Airflow: `dag.test()` with the execution API, the state store and inline triggers."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


@dataclass(frozen=True)
class Outcome:
    """A finished DAG run: its states and XComs."""

    state: str
    run_id: str
    states: dict[str, str]
    xcoms: dict[str, Any]


@pytest.fixture(scope="session")
def probe_dags(airflow_db: None) -> Any:
    from airflow.dag_processing.dagbag import DagBag

    folder = Path(__file__).parent / "dags"
    bag = DagBag(dag_folder=str(folder))
    assert not bag.import_errors
    return bag


@pytest.fixture(scope="session")
def run_probe(probe_dags: Any) -> Callable[..., Outcome]:
    def run(dag_id: str, **conf: Any) -> Outcome:
        from airflow.models.xcom import XComModel
        from airflow.utils.session import create_session
        from sqlalchemy import select

        # dag.test() writes a run's conf into the DAG's Params, where the next run would find it
        dag = probe_dags.dags[dag_id]
        conf = {**dict.fromkeys(dag.params), **conf}
        finished = dag.test(run_conf={k: str(v) if isinstance(v, Path) else v for k, v in conf.items()})
        with create_session() as session:
            rows = session.scalars(select(XComModel).where(XComModel.run_id == finished.run_id)).all()
            xcoms = {row.task_id: XComModel.deserialize_value(row) for row in rows if row.key == "return_value"}
        states = {ti.task_id: str(ti.state) for ti in finished.get_task_instances()}
        return Outcome(state=str(finished.state), run_id=finished.run_id, states=states, xcoms=xcoms)

    return run
