"""The environment of every Airflow process of a local instance: embedded defaults, loopback only."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from local.places import Places
from local.ports import HOST
from local.secrets_files import USER, keys

MARKER = "LOWTIDE_LOCAL_ID"
"""Names the instance in the environment of each of its processes, so that left-overs can be found."""

PARALLELISM = 4
"""The local executor forks this many workers of 130 MB each at once; Airflow's default would be 32."""


def airflow_environment(
    places: Places, *, port: int, instance_id: str, scheduled: bool, inherited: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the whole environment of a component.

    :param scheduled: whether DAGs also run on their own schedule; the demo wants its own two runs only.
    """
    parent = os.environ if inherited is None else inherited
    return _without_airflow(parent) | _settings(places, port, scheduled) | _process(places, instance_id, parent)


def url(port: int) -> str:
    """Return where the UI and the API are."""
    return f"http://{HOST}:{port}"


def _without_airflow(parent: Mapping[str, str]) -> dict[str, str]:
    # AIRFLOW__DATABASE__SQL_ALCHEMY_CONN in somebody's shell would migrate a production database; connections and
    # variables (AIRFLOW_CONN_*, AIRFLOW_VAR_*) are the user's own and pass.
    dropped = ("AIRFLOW__", "AIRFLOW_HOME", "AIRFLOW_CONFIG", "_AIRFLOW", "VIRTUAL_ENV", "PYTHONHOME")
    return {name: value for name, value in parent.items() if not name.startswith(dropped)}


def _settings(places: Places, port: int, scheduled: bool) -> dict[str, str]:
    secret = keys(places.keys)
    sections: dict[str, dict[str, object]] = {
        "core": {
            "executor": "LocalExecutor",
            "parallelism": PARALLELISM,
            "dags_folder": places.dags,
            "plugins_folder": places.plugins,
            "load_examples": False,
            "test_connection": "Enabled",  # one user, on loopback, behind a password
            "fernet_key": secret["fernet"],
            "execution_api_server_url": f"{url(port)}/execution/",
            "simple_auth_manager_users": f"{USER}:admin",
            "simple_auth_manager_all_admins": False,
            "simple_auth_manager_passwords_file": places.passwords,
        },
        "database": {"sql_alchemy_conn": f"sqlite:///{places.database}"},
        "api": {"host": HOST, "port": port, "base_url": url(port), "workers": 1, "secret_key": secret["session"]},
        "api_auth": {"jwt_secret": secret["jwt"]},
        "logging": {"base_log_folder": places.task_logs},
        "scheduler": {"use_job_schedule": scheduled},
        "usage_data_collection": {"enabled": False},
    }
    return {
        f"AIRFLOW__{section.upper()}__{name.upper()}": str(value)
        for section, values in sections.items()
        for name, value in values.items()
    }


def _process(places: Places, instance_id: str, parent: Mapping[str, str]) -> dict[str, str]:
    loopback = ",".join(filter(None, [parent.get("NO_PROXY") or parent.get("no_proxy"), HOST, "localhost"]))
    return {
        "AIRFLOW_HOME": str(places.home),
        "PYTHONPATH": str(places.project_root / "include"),
        "PYTHONUNBUFFERED": "1",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{parent.get('PATH', os.defpath)}",
        "NO_PROXY": loopback,  # tasks call the execution API over HTTP: a proxy must not see that
        "no_proxy": loopback,
        "LOWTIDE_ARTIFACTS_ROOT": str(places.artifacts),
        MARKER: instance_id,
    }
