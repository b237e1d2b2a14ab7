"""One throw-away Airflow for the whole test session: its home is set before anything imports Airflow."""

import json
import os
import tempfile
from pathlib import Path

import pytest

PROJECT_ROOT = Path(__file__).resolve().parents[1]
_LOCAL_BUNDLE = "airflow.dag_processing.bundles.local.LocalDagBundle"
_BUNDLES = [  # dag.test() finds a DAG only in a configured bundle
    {"name": name, "classpath": _LOCAL_BUNDLE, "kwargs": {"path": str(PROJECT_ROOT / folder)}}
    for name, folder in (("dags-folder", "dags"), ("probes", "tests/airflow/dags"))
]
_HOME = tempfile.TemporaryDirectory(prefix="lowtide-tests-")

os.environ.update(
    AIRFLOW_HOME=_HOME.name,
    AIRFLOW__CORE__DAGS_FOLDER=str(PROJECT_ROOT / "dags"),
    AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST=json.dumps(_BUNDLES),
    AIRFLOW__CORE__PLUGINS_FOLDER=str(PROJECT_ROOT / "plugins"),
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    AIRFLOW__LOGGING__LOGGING_LEVEL="WARNING",
    # Two threads of torch wait for each other in a busy loop: beside another process, a training takes ten times as long.
    OMP_NUM_THREADS=os.environ.get("OMP_NUM_THREADS", "1"),
    LOWTIDE_DATA_DIR=os.environ.get("LOWTIDE_DATA_DIR", str(PROJECT_ROOT / ".data")),
)


@pytest.fixture(scope="session")
def airflow_db() -> None:
    """An initialised metadata database (SQLite) with the pool that the DAGs name."""
    from airflow.models.pool import Pool
    from airflow.utils.db import initdb
    from airflow.utils.session import create_session

    initdb()
    with create_session() as session:
        Pool.create_or_update_pool("gpu", slots=1, description="one GPU", include_deferred=False, session=session)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Our own warnings are errors; those of Airflow and its dependencies, in tests that run Airflow, are not ours."""
    for item in items:
        if item.get_closest_marker("airflow"):
            item.add_marker(pytest.mark.filterwarnings("default"))
