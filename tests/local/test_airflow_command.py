"""Every process of Airflow starts through bin/airflow: embedded defaults on loopback, whatever the shell holds."""

import json
import subprocess
from configparser import ConfigParser
from pathlib import Path

import pytest

from local.bootstrap import ROOT

SHELL = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": "/home/somebody",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "postgresql://production/airflow",
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
    "AIRFLOW__CORE__AUTH_MANAGER": "somebody.elses.AuthManager",
    "AIRFLOW_HOME": "/srv/airflow",
    "AIRFLOW_CONFIG": "/srv/airflow/airflow.cfg",
    "AIRFLOW_CONN_GRID": "http://user:token@example.org",
    "no_proxy": "intranet",
    "LOCAL_PORT": "8123",
}


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """Stands in for the interpreter: writes down with which arguments and environment it was started."""
    script = tmp_path / "python"
    script.write_text(f'#!/bin/sh\necho "$@" >{tmp_path}/arguments\nenv -0 >{tmp_path}/environment\n', encoding="utf-8")
    script.chmod(0o755)
    return script


def start(python: Path, *arguments: str) -> tuple[str, dict[str, str]]:
    home = python.parent / "home"
    settings = SHELL | {"LOCAL_PYTHON": str(python), "LOCAL_HOME": str(home)}
    subprocess.run([ROOT / "local" / "bin" / "airflow", *arguments], env=settings, check=True)
    pairs = (python.parent / "environment").read_text(encoding="utf-8").split("\0")
    environment = dict(pair.split("=", 1) for pair in pairs if pair)
    return (python.parent / "arguments").read_text(encoding="utf-8").strip(), environment


def test_settings_of_another_airflow_in_the_shell_do_not_reach_this_one(python: Path) -> None:
    arguments, environment = start(python, "db", "check")
    assert arguments == "-m airflow db check"
    assert [name for name in environment if name.startswith("AIRFLOW__")] == []
    assert environment["AIRFLOW_HOME"] == str(python.parent / "home")
    assert environment["AIRFLOW_CONFIG"] == str(ROOT / "local" / "airflow.cfg")
    assert environment["PATH"].startswith(f"{ROOT}/local/bin:"), "standalone starts the components through it"


def test_the_users_connections_pass(python: Path) -> None:
    assert start(python, "info")[1]["AIRFLOW_CONN_GRID"] == SHELL["AIRFLOW_CONN_GRID"]


def test_calls_to_loopback_pass_no_proxy(python: Path) -> None:
    environment = start(python, "info")[1]
    assert environment["NO_PROXY"] == environment["no_proxy"] == "intranet,127.0.0.1,localhost"


@pytest.mark.parametrize("component", ["scheduler", "triggerer"])
def test_no_component_serves_logs_to_the_network(python: Path, component: str) -> None:
    assert start(python, component)[0] == f"-m airflow {component} --skip-serve-logs"


@pytest.mark.parametrize("name", ["passwords.json", "key"])
def test_secrets_are_generated_once_and_only_their_owner_reads_them(python: Path, name: str) -> None:
    start(python, "info")
    file = python.parent / "home" / name
    first = file.read_text(encoding="utf-8")
    start(python, "info")
    assert file.read_text(encoding="utf-8") == first
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    file.unlink()
    environment = start(python, "info")[1]
    assert file.read_text(encoding="utf-8") != first
    password = json.loads((python.parent / "home" / "passwords.json").read_text(encoding="utf-8"))["admin"]
    assert password not in environment.values()


def test_the_configuration_is_on_loopback_and_has_no_secret() -> None:
    configuration = ConfigParser(interpolation=None)
    configuration.read(ROOT / "local" / "airflow.cfg")
    assert configuration["api"]["host"] == "127.0.0.1"
    assert configuration["core"]["execution_api_server_url"].startswith("http://127.0.0.1:$LOCAL_PORT/")
    for section, name in (("core", "fernet_key"), ("api", "secret_key"), ("api_auth", "jwt_secret")):
        assert "$LOCAL_KEY" in configuration[section][name]
