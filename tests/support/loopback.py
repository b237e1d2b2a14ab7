"""A real HTTP server on loopback whose routes misbehave on demand.

with Loopback() as server:
    server.route("/intensity", status(503), json_answer({"data": []}))  # in turn; the last one repeats
    ... server.url ... server.seen ...
"""

import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

Behaviour = Callable[[BaseHTTPRequestHandler], None]


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as it arrived; header names in lower case."""

    path: str
    query: str
    headers: dict[str, str]


class Loopback:
    """Serves on a free port of 127.0.0.1 while the ``with`` block lasts; unknown paths get 404."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self._routes: dict[str, list[Behaviour]] = {}
        self._prefixes: dict[str, list[Behaviour]] = {}
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._server.block_on_close = False  # a handler in a slow drip must not hold the test up
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def route(self, path: str, *behaviours: Behaviour) -> None:
        """Answer a path; one that ends in ``*`` answers every path that begins so. Behaviours come in turn."""
        table = self._prefixes if path.endswith("*") else self._routes
        with self._lock:
            table[path.rstrip("*")] = list(behaviours)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)

    def _behaviour(self, path: str) -> Behaviour:
        with self._lock:
            prefixed = (line for prefix, line in self._prefixes.items() if path.startswith(prefix))
            line = self._routes.get(path) or next(prefixed, None)
            if not line:
                return status(404)
            return line.pop(0) if len(line) > 1 else line[0]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                headers = {name.lower(): value for name, value in self.headers.items()}
                server.seen.append(Seen(parts.path, parts.query, headers))
                try:
                    server._behaviour(parts.path)(self)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True  # the client gave up, as it should on a misbehaving server

            def log_message(self, format: str, *args: Any) -> None:
                """Keep the test's output clean; ``seen`` holds the requests."""

        return Handler


def answer(
    body: bytes, *, code: int = 200, content_type: str = "application/json", headers: dict[str, str] | None = None
) -> Behaviour:
    def behave(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        sent = {"Content-Type": content_type, "Content-Length": str(len(body))} | (headers or {})
        for name, value in sent.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return behave


def json_answer(value: Any, *, code: int = 200) -> Behaviour:
    return answer(json.dumps(value).encode(), code=code)


def status(code: int, *, retry_after: str | None = None, body: bytes = b"{}") -> Behaviour:
    """``retry_after`` is the header's text: seconds or an HTTP date."""
    return answer(body, code=code, headers={} if retry_after is None else {"Retry-After": retry_after})


def html_with_200() -> Behaviour:
    return answer(b"<!doctype html><title>Maintenance</title>", content_type="text/html")


def huge_body(size: int) -> Behaviour:
    """Declares no length, as a hostile server would not."""

    def behave(handler: BaseHTTPRequestHandler) -> None:
        _head(handler, {})
        for _ in range(size // 65_536 + 1):
            handler.wfile.write(b" " * 65_536)

    return behave


def cut_off_body(body: bytes, *, after: int) -> Behaviour:
    """Promises the whole body and hangs up after some bytes."""

    def behave(handler: BaseHTTPRequestHandler) -> None:
        _head(handler, {"Content-Length": str(len(body))})
        handler.wfile.write(body[:after])
        handler.close_connection = True

    return behave


def slow_body(body: bytes, *, pause_s: float) -> Behaviour:
    """Sends one byte per pause: each single read is in time, the whole never is."""

    def behave(handler: BaseHTTPRequestHandler) -> None:
        _head(handler, {"Content-Length": str(len(body))})
        _drip(handler, body, pause_s)

    return behave


def slow_head(*, pause_s: float, seconds: float = 10.0) -> Behaviour:
    """Never finishes its headers."""

    def behave(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.0 200 OK\r\nX-Padding: ")
        _drip(handler, b"x" * int(seconds / pause_s), pause_s)

    return behave


def silent(seconds: float) -> Behaviour:
    """Accepts the request and says nothing for a while."""

    def behave(handler: BaseHTTPRequestHandler) -> None:
        time.sleep(seconds)
        handler.close_connection = True

    return behave


def reset() -> Behaviour:
    """Ends the connection with a TCP reset before any answer."""

    def behave(handler: BaseHTTPRequestHandler) -> None:
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.connection.shutdown(socket.SHUT_RDWR)
        handler.close_connection = True

    return behave


def redirect(url: str, *, code: int = 302) -> Behaviour:
    return answer(b"", code=code, headers={"Location": url})


def refusing_url() -> str:
    """An address on loopback where nothing listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{sock.getsockname()[1]}"


@contextmanager
def full_backlog() -> Iterator[str]:
    """An address that listens but never accepts: once its queue is full, further connections hang."""
    with ExitStack() as held, socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = held.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def _head(handler: BaseHTTPRequestHandler, headers: dict[str, str]) -> None:
    handler.send_response(200)
    for name, value in ({"Content-Type": "application/json"} | headers).items():
        handler.send_header(name, value)
    handler.end_headers()


def _drip(handler: BaseHTTPRequestHandler, body: bytes, pause_s: float) -> None:
    for index in range(len(body)):
        handler.wfile.write(body[index : index + 1])
        handler.wfile.flush()
        time.sleep(pause_s)
