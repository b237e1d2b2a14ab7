"""NESO as a server: answers any span from a made-up grid, with an actual value for each half-hour that has passed."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler
from typing import Any

from lowtide.timeutil import parse_time

from tests.support.loopback import Behaviour, Loopback
from tests.support.neso import HALF_HOUR, slot, slot_start


def grid_value(start: datetime) -> int:
    """Cleaner at night; another figure each day."""
    return 100 + 5 * start.hour + start.timetuple().tm_yday % 7


def serve_neso(
    server: Loopback, clock: Callable[[], datetime], *, holes: Callable[[datetime], bool] = lambda _: False
) -> None:
    """Answer as NESO does at the clock's time; half-hours in ``holes`` are missing."""
    server.route("/intensity", _answering(lambda _: _slots(slot_start(clock()), clock(), clock(), holes)))
    server.route("/intensity/*", _answering(lambda path: _slots(*_span(path), clock(), holes)))


def _span(path: str) -> tuple[datetime, datetime]:
    begin, end = path.split("/")[2:4]
    start = parse_time(begin)
    return slot_start(start), start + timedelta(hours=48) if end == "fw48h" else parse_time(end)


def _slots(start: datetime, end: datetime, now: datetime, holes: Callable[[datetime], bool]) -> list[dict[str, Any]]:
    found = []
    while start <= end:  # the API includes both ends
        if not holes(start):
            actual = grid_value(start) if start + HALF_HOUR <= now else None
            found.append(slot(start, forecast=grid_value(start) + 10, actual=actual))
        start += HALF_HOUR
    return found


def _answering(slots_of: Callable[[str], list[dict[str, Any]]]) -> Behaviour:
    def behave(handler: BaseHTTPRequestHandler) -> None:
        body = json.dumps({"data": slots_of(handler.path)}).encode()
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return behave
