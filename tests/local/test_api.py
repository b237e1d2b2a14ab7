"""The API's client, against a real HTTP server on loopback."""

import json
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from local.airflow import Api
from local.bootstrap import LocalError


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
        if self.path.endswith("/monitor/health"):
            return self.answer(200, self.server.health)  # type: ignore[attr-defined]
        if self.headers.get("Authorization") != f"Bearer token-{self.server.valid}":  # type: ignore[attr-defined]
            return self.answer(401, {"detail": "Invalid JWT token"})
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


HEALTHY = {
    "metadatabase": {"status": "healthy"},
    "scheduler": {"status": "healthy", "latest_scheduler_heartbeat": "2026-04-15T12:00:05+00:00"},
    "triggerer": {"status": "healthy", "latest_triggerer_heartbeat": "2026-04-15T12:00:05+00:00"},
    "dag_processor": {"status": "healthy", "latest_dag_processor_heartbeat": "2026-04-15T12:00:05+00:00"},
}
START = datetime(2026, 4, 15, 12, 0, tzinfo=UTC).timestamp()
DAG = "api/v2/dags/x"


@pytest.fixture
def api(server: Any, tmp_path: Path) -> Api:
    return api_of(server, tmp_path)


def api_of(server: Any, home: Path, word: str = "right") -> Api:
    (home / "passwords.json").write_text(json.dumps({"admin": word}), encoding="utf-8")
    return Api(f"http://127.0.0.1:{server.server_address[1]}", home)


def nobody() -> Api:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return Api(f"http://127.0.0.1:{probe.getsockname()[1]}")


def test_it_logs_in_once_and_again_when_the_token_expired(server: Any, api: Api) -> None:
    assert api.call("GET", DAG)["state"] == "running"
    assert api.call("GET", DAG)["state"] == "running"
    assert server.logins == 1
    server.valid = 2
    assert api.call("GET", DAG)["state"] == "running"
    assert server.logins == 2


def test_a_refused_login_says_so_without_the_password(server: Any, tmp_path: Path) -> None:
    with pytest.raises(LocalError) as raised:
        api_of(server, tmp_path, word="hunter2").call("GET", DAG)
    assert "answered 401" in str(raised.value)
    assert "hunter2" not in str(raised.value)


def test_a_server_that_is_not_there_is_one_sentence_and_not_healthy() -> None:
    api = nobody()
    assert not api.is_healthy(START)
    with pytest.raises(LocalError, match="does not answer") as raised:
        api.call("GET", DAG)
    assert raised.value.status == 1


def test_a_proxy_in_the_environment_is_not_used(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert api.call("GET", DAG)["state"] == "running"


def test_only_open_runs_whose_ids_start_as_the_demos_are_failed(server: Any, api: Api) -> None:
    """A user's own run must not be among them."""
    api.end_demo(["x"])
    changes = [call for call in server.seen if call[0] != "/auth/token"]
    assert changes == [
        ("/api/v2/dags/x/dagRuns/demo__2026", {"state": "failed"}),
        ("/api/v2/dags/x", {"is_paused": True}),
    ]


def test_a_call_that_airflow_could_not_write_is_repeated(server: Any, api: Api) -> None:
    """On SQLite, its API server may lock the database against itself; that call alone has failed."""
    server.locked = 3
    api.call("PATCH", DAG, {"is_paused": True})
    assert server.seen == [("/api/v2/dags/x", {"is_paused": True})] * 4


def test_a_call_that_fails_every_time_is_an_error_in_the_end(server: Any, api: Api) -> None:
    server.locked = 100
    with pytest.raises(LocalError, match=r"answered 500 to PATCH .*: database is locked"):
        api.call("PATCH", DAG, {"is_paused": True})
    assert server.locked == 95, "asked five times"


def test_all_parts_with_a_heartbeat_since_the_start_are_healthy(server: Any, api: Api) -> None:
    server.health = HEALTHY
    assert api.is_healthy(START)


def test_heartbeats_of_an_earlier_instance_do_not_count(server: Any, api: Api) -> None:
    server.health = HEALTHY
    assert not api.is_healthy(START + 60)


@pytest.mark.parametrize("part", HEALTHY)
@pytest.mark.parametrize("status", ["unhealthy", None])
def test_each_part_must_be_healthy(server: Any, api: Api, part: str, status: str | None) -> None:
    server.health = HEALTHY | {part: HEALTHY[part] | {"status": status}}
    assert not api.is_healthy(START)


@pytest.mark.parametrize("part", HEALTHY)
def test_a_part_that_is_not_known_yet_is_not_healthy(server: Any, api: Api, part: str) -> None:
    server.health = {name: values for name, values in HEALTHY.items() if name != part} | {part: {"status": None}}
    assert not api.is_healthy(START)
