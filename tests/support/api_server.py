"""Airflow's own API server in a thread: the real app with its plugins, its auth manager and its middlewares, on loopback."""

import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


@dataclass(frozen=True)
class ApiServer:
    port: int

    def get(self, path: str, **headers: str) -> Answer:
        """Ask for a path byte for byte: http.client does not tidy ``..`` away as other clients do."""
        return self._ask("GET", path, None, headers)

    def login(self, user: str) -> str:
        from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

        credentials = {"username": user, "password": SimpleAuthManager.get_passwords()[user]}
        answer = self._ask("POST", "/auth/token", json.dumps(credentials), {"Content-Type": "application/json"})
        assert answer.status == 201, answer.text
        return str(json.loads(answer.body)["access_token"])

    def _ask(self, method: str, path: str, body: str | None, headers: dict[str, str]) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body=body, headers=headers)
            found = connection.getresponse()
            return Answer(found.status, {k.lower(): v for k, v in found.getheaders()}, found.read())
        finally:
            connection.close()


@contextlib.contextmanager
def running_api_server() -> Iterator[ApiServer]:
    import uvicorn
    from airflow.api_fastapi.app import create_app, purge_cached_app

    purge_cached_app()
    config: Any = uvicorn.Config(create_app(apps="core"), log_level="error", lifespan="on")
    server = uvicorn.Server(config)
    listening = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.02)
    try:
        yield ApiServer(listening.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join(timeout=20)
        listening.close()
        purge_cached_app()
