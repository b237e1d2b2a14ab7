"""The API's client, against a real HTTP server on loopback."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from local.api import AirflowApi, ApiError
from local.components import LocalAirflow
from local.open_runs import unpaused
from local.places import Places
from local.ports import free_port


class Handler(BaseHTTPRequestHandler):
    def do_PATCH(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.seen.append((self.path, body))  # type: ignore[attr-defined]
        if self.server.locked > 0:  # type: ignore[attr-defined]
            self.server.locked -= 1  # type: ignore[attr-defined]
            return self.answer(500, {"detail": "database is locked"})
        return self.answer(200, {})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.seen.append((self.path, body))  # type: ignore[attr-defined]
        if self.path == "/auth/token":
            if body["password"] != "right":
                return self.answer(401, {"detail": "Invalid credentials"})
            self.server.logins += 1  # type: ignore[attr-defined]
            return self.answer(201, {"access_token": f"token-{self.server.logins}"})  # type: ignore[attr-defined]
        return self.answer(200, {})

    def do_GET(self) -> None:
        if self.headers.get("Authorization") != f"Bearer token-{self.server.valid}":  # type: ignore[attr-defined]
            return self.answer(401, {"detail": "Invalid JWT token"})
        if self.path.endswith("/missing"):
            return self.answer(404, {"detail": "not found"})
        if (
            "run_id_prefix_pattern=demo__" in self.path
        ):  # as Airflow answers: it strips the underscores from the pattern
            ids = ("demo__2026", "demolition", "demo-of-mine")
            return self.answer(200, {"dag_runs": [{"dag_id": "x", "dag_run_id": run_id} for run_id in ids]})
        return self.answer(200, {"import_errors": [], "dag_id": "x", "state": "running"})

    def answer(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments: object) -> None:
        """Keep the tests' output clean."""


@pytest.fixture
def server() -> Iterator[Any]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.daemon_threads = True
        running.logins, running.valid, running.seen, running.locked = 0, 1, [], 0  # type: ignore[attr-defined]
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def api_of(server: Any, word: str = "right") -> AirflowApi:
    return AirflowApi(f"http://127.0.0.1:{server.server_address[1]}", "admin", word)


def test_it_logs_in_once_and_again_when_the_token_has_run_out(server: Any) -> None:
    api = api_of(server)
    assert api.import_errors() == []
    assert api.import_errors() == []
    assert server.logins == 1
    server.valid = 2
    assert api.run_state("x", "y") == "running"
    assert server.logins == 2


def test_a_run_is_triggered_without_a_logical_date(server: Any) -> None:
    api_of(server).trigger("some_dag", "demo__1", {"config": "demo.yaml"})
    path, body = server.seen[-1]
    assert path == "/api/v2/dags/some_dag/dagRuns"
    assert body == {"dag_run_id": "demo__1", "logical_date": None, "conf": {"config": "demo.yaml"}}


def test_a_dag_that_is_not_parsed_yet_is_none(server: Any) -> None:
    api = api_of(server)
    assert api.dag("missing") is None
    assert api.dag("x") is not None


def test_a_refused_login_says_so_without_the_password(server: Any) -> None:
    with pytest.raises(ApiError) as raised:
        api_of(server, word="hunter2").import_errors()
    assert "answered 401" in str(raised.value)
    assert "hunter2" not in str(raised.value)


def test_a_server_that_is_not_there_is_one_sentence_and_no_health() -> None:
    api = AirflowApi(f"http://127.0.0.1:{free_port()}", "admin", "x")
    assert api.health() is None
    with pytest.raises(ApiError, match="does not answer"):
        api.import_errors()


def test_a_proxy_in_the_environment_is_not_used(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    assert api_of(server).import_errors() == []


def test_of_the_open_runs_only_those_are_meant_whose_ids_begin_so(server: Any) -> None:
    """They are marked as failed at the next start, and a user's own run must not be among them."""
    assert [run["dag_run_id"] for run in api_of(server).open_runs("demo__")] == ["demo__2026"]


def test_a_call_that_airflow_could_not_write_down_is_made_again(server: Any) -> None:
    """On SQLite, its API server may lock the database against itself; that call alone has failed."""
    server.locked = 3
    api_of(server).fail_run("x", "demo__1")
    patched = [call for call in server.seen if call[0] == "/api/v2/dags/x/dagRuns/demo__1"]
    assert patched == [("/api/v2/dags/x/dagRuns/demo__1", {"state": "failed"})] * 4


def test_a_call_that_fails_every_time_is_an_error_in_the_end(server: Any) -> None:
    server.locked = 100
    with pytest.raises(ApiError, match=r"answered 500 to PATCH .*: database is locked"):
        api_of(server).fail_run("x", "demo__1")
    assert server.locked == 95, "asked five times"


def test_runs_that_cannot_be_ended_are_told_of_and_left_to_the_next_start(
    server: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = Places.of_project(tmp_path)
    places.prepare()
    airflow = LocalAirflow(places, port=free_port(), scheduled=False)
    with unpaused(airflow, api_of(server), ["x"]):
        server.locked = 100
    said = capsys.readouterr().err
    assert said.startswith("What the demo began may still be open in Airflow: Airflow's API answered 500")
    assert said.endswith("database is locked. The next start ends it.\n")
    assert places.unpaused.exists()
