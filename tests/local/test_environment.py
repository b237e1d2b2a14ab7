"""Every component gets embedded defaults on loopback, whatever the shell holds."""

from pathlib import Path

import pytest

from local.environment import MARKER, airflow_environment
from local.places import Places
from local.secrets_files import keys, password

SHELL = {
    "PATH": "/usr/bin",
    "HOME": "/home/somebody",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "postgresql://production/airflow",
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
    "AIRFLOW__CORE__AUTH_MANAGER": "somebody.elses.AuthManager",
    "AIRFLOW_HOME": "/srv/airflow",
    "AIRFLOW_CONN_GRID": "http://user:token@example.org",
    "no_proxy": "intranet",
}


@pytest.fixture
def places(tmp_path: Path) -> Places:
    places = Places.of_project(tmp_path)
    places.prepare()
    return places


@pytest.fixture
def environment(places: Places) -> dict[str, str]:
    return airflow_environment(places, port=8123, instance_id="abc", scheduled=False, inherited=SHELL)


def test_settings_of_another_airflow_in_the_shell_do_not_reach_this_one(
    environment: dict[str, str], places: Places
) -> None:
    assert environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] == f"sqlite:///{places.home}/airflow.db"
    assert environment["AIRFLOW_HOME"] == str(places.home)
    assert environment["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS"] == "False"
    assert "AIRFLOW__CORE__AUTH_MANAGER" not in environment


def test_the_users_connections_pass(environment: dict[str, str]) -> None:
    assert environment["AIRFLOW_CONN_GRID"] == SHELL["AIRFLOW_CONN_GRID"]


def test_everything_listens_and_calls_on_loopback_past_any_proxy(environment: dict[str, str]) -> None:
    assert environment["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert environment["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://127.0.0.1:8123/execution/"
    assert environment["NO_PROXY"] == environment["no_proxy"] == "intranet,127.0.0.1,localhost"


def test_include_is_importable_and_the_instance_is_marked(environment: dict[str, str], places: Places) -> None:
    assert environment["PYTHONPATH"] == str(places.project_root)
    assert environment[MARKER] == "abc"


@pytest.mark.parametrize("name", ["passwords", "keys"])
def test_secrets_are_generated_once_and_only_their_owner_reads_them(places: Places, name: str) -> None:
    file = getattr(places, name)
    read = {"passwords": password, "keys": keys}[name]
    first = read(file)
    assert read(file) == first
    assert file.stat().st_mode & 0o777 == 0o600
    file.unlink()
    assert read(file) != first
