"""The connection type in real Airflow: found by the installed package's entry point, its form, its test, its secrets."""

import asyncio
import json
import logging
import os
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import jsonschema
import pytest
from lowtide.config.loader import PROJECT_ROOT
from lowtide.timeutil import utc_now

from tests.support.loopback import Loopback, json_answer, status
from tests.support.neso import slot, slot_start

pytestmark = pytest.mark.airflow

ASK_AIRFLOW = """
import json
from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService
from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime
(found,) = [meta for meta in HookMetaService.hook_meta_data() if meta.connection_type == "carbon_intensity"]
hook = ProvidersManagerTaskRuntime().hooks["carbon_intensity"]
print("\\nANSWER" + json.dumps({"form": found.model_dump(), "hook": hook.hook_class_name, "testable": hook.connection_testable}))
"""


@pytest.fixture
def server():
    with Loopback() as running:
        running.route("/intensity", json_answer({"data": [slot(slot_start(utc_now()), actual=137)]}))
        yield running


@pytest.fixture
def connect(monkeypatch):
    def connection(conn_id: str, **fields: object) -> str:
        value = {"conn_type": "carbon_intensity"} | fields
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(value))
        return conn_id

    return connection


def hook(conn_id: str):
    from lowtide.airflow.hook import CarbonIntensityHook

    return CarbonIntensityHook(conn_id)


def test_airflow_finds_the_type_and_its_form_by_the_entry_point(tmp_path: Path):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")} | {
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT_ROOT / "plugins"),
        "PYTHONPATH": str(PROJECT_ROOT / "include"),
    }
    done = subprocess.run(
        [sys.executable, "-c", ASK_AIRFLOW], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert "\nANSWER" in done.stdout, done.stderr
    answer = json.loads(done.stdout.rpartition("\nANSWER")[2])
    assert answer["hook"] == "lowtide.airflow.hook.CarbonIntensityHook"
    assert answer["testable"]
    fields = answer["form"]["standard_fields"]
    assert fields["host"]["title"] == "Address"
    assert fields["password"]["title"] == "Token or password"
    assert "neso" in answer["form"]["extra_fields"]["provider"]["schema"]["enum"]
    assert answer["form"]["extra_fields"]["zone"]["schema"]["title"] == "Zone to test"


def test_the_provider_info_keeps_airflow_s_schema_and_agrees_with_the_code():
    import airflow
    from lowtide.airflow.hook import CarbonIntensityHook
    from lowtide.airflow.provider_info import get_provider_info

    schema = json.loads((Path(airflow.__file__).parent / "provider_info.schema.json").read_text())
    jsonschema.validate(get_provider_info(), schema)
    (announced,) = get_provider_info()["connection-types"]
    assert announced["connection-type"] == CarbonIntensityHook.conn_type
    assert announced["hook-name"] == CarbonIntensityHook.hook_name
    project = (PROJECT_ROOT / "pyproject.toml").read_text()
    assert f'version = "{distribution("lowtide").version}"' in project


@pytest.mark.parametrize(
    ("fields", "address"),
    [
        ({"host": "grid.example"}, "https://grid.example"),
        ({"host": "grid.example", "schema": "http", "port": 81}, "http://grid.example:81"),
        ({"host": "https://grid.example/v3", "port": 444}, "https://grid.example:444/v3"),
        ({"host": "https://grid.example:445/v3", "port": 444}, "https://grid.example:445/v3"),
        ({"port": 443}, None),
    ],
)
def test_address_login_and_token_are_read_in_both_ways(connect, fields, address):
    conn_id = connect("grid", login="me", password="token-secret", **fields)
    for access in (hook(conn_id).get_conn(), asyncio.run(hook(conn_id).aget_conn())):
        assert (access.base_url, access.login, access.token) == (address, "me", "token-secret")
        assert access.place == "connection grid"
        assert "secret" not in repr(access)


def test_a_connection_may_be_written_as_a_uri(monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_GRID", "carbon-intensity://:token-secret@grid.example")
    access = hook("grid").get_conn()
    assert (access.base_url, access.token) == ("https://grid.example", "token-secret")


def test_the_test_asks_the_provider_and_returns_the_reading(connect, server):
    conn_id = connect("grid", host=server.url, extra={"provider": "neso", "zone": "GB"})
    worked, message = hook(conn_id).test_connection()
    assert worked
    assert "zone GB had 137 gCO2eq/kWh (estimated, average, direct factors)" in message


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        ({"provider": "neso", "zone": "GB"}, "status 401"),
        ({"provider": "neso", "zone": "DE"}, "does not cover"),
        ({"provider": "neso", "zone": "XX-NOWHERE"}, "not in the zone table"),
        ({"provider": "profile", "zone": "GB"}, "choose what to test"),
        ({}, "choose what to test"),
    ],
)
def test_a_failed_test_gives_the_reason_in_a_sentence_without_the_token(connect, server, extra, reason):
    server.route("/intensity", status(401))
    conn_id = connect("grid", host=server.url, password="token-secret", extra=extra)
    worked, message = hook(conn_id).test_connection()
    assert not worked
    assert reason in message
    assert "secret" not in message
    assert "\n" not in message


def test_the_token_is_masked_in_airflow_s_logs(connect, caplog):
    from airflow.sdk._shared.secrets_masker import redact

    token = "token-that-is-long-enough-to-be-masked"
    access = hook(connect("grid", password=token)).get_conn()
    assert access.token == token
    logging.getLogger("airflow.task").warning("a careless line")
    assert token not in str(redact(f"a careless line with {token}"))
