"""Many triggers in one event loop: shared requests, no file or socket touched on the loop, no secret stored."""

import asyncio
import json
import logging
import sys
import threading
import time
from datetime import timedelta
from typing import Any

import pytest
from lowtide.timeutil import format_time, utc_now

from tests.support.grid import job
from tests.support.loopback import Behaviour, Loopback, json_answer, status
from tests.support.neso import slot, slot_start

INTERVAL = timedelta(seconds=1)
TOKEN = "token-secret-of-the-grid"


@pytest.fixture
def server(monkeypatch):
    with Loopback() as running:
        connection = {"conn_type": "carbon_intensity", "host": running.url, "password": TOKEN}
        monkeypatch.setenv("AIRFLOW_CONN_GRID", json.dumps(connection))
        yield running


def answer(value: float) -> Behaviour:
    return json_answer({"data": [slot(slot_start(utc_now()), actual=value)]})


def triggers(count: int, **changes: Any) -> list[Any]:
    from lowtide.airflow.trigger import CarbonIntensityTrigger

    now = utc_now()
    values = {"submitted_at": now, "deadline": now + timedelta(hours=9), "poke_interval": INTERVAL, **changes}
    grid = {"zone": "GB", "provider": "neso", "connection": "grid", "threshold_gco2eq_per_kwh": 120.0}
    return [
        CarbonIntensityTrigger(
            job=job(job_id=f"job-{n}", **values).as_json(),
            grid=grid,
            anchor=None,
            not_before=format_time(now),
        )
        for n in range(count)
    ]


async def events(waiting: list[Any]) -> list[dict[str, Any]]:
    return [event.payload for event in await asyncio.gather(*(anext(trigger.run()) for trigger in waiting))]


def test_forty_waits_ask_once_an_interval_and_all_wake_at_the_answer(server):
    server.route("/intensity", answer(300), answer(300), answer(90))
    waiting = triggers(40)
    began = time.monotonic()
    payloads = asyncio.run(events(waiting))
    assert {payload["decision"]["reason"] for payload in payloads} == {"below_threshold"}
    assert len(server.seen) == 3
    assert time.monotonic() - began < 2 * INTERVAL.total_seconds() + 2.0
    assert [check["action"] for check in payloads[0]["checks"]] == ["wait", "wait", "run"]


def test_when_the_provider_stays_away_all_waits_count_the_same_failures_and_fall_back_together(server):
    server.route("/intensity", status(500))
    payloads = asyncio.run(events(triggers(10, deadline=utc_now() + timedelta(hours=2), failure_budget=1)))
    for payload in payloads:
        assert payload["decision"]["reason"] in {"forecast_minimum", "deadline"}
        steps = payload["decision"]["steps"]
        assert [step.split(":")[0] for step in steps[:1]] == ["neso"]
        assert "history" in " ".join(steps)


def test_a_fallback_is_one_log_line_with_all_its_steps(server, caplog):
    server.route("/intensity", status(404))
    (trigger,) = triggers(1, deadline=utc_now() + timedelta(hours=2), failure_budget=1)
    trigger._log = logging.getLogger("a_task_s_log")  # the tests' Airflow logs warnings only
    with caplog.at_level(logging.INFO, logger="a_task_s_log"):
        asyncio.run(events([trigger]))
    (line,) = [record.getMessage() for record in caplog.records if "status 404" in record.getMessage()]
    assert [part in line for part in ("neso:", "last good reading:", "history:", "profile:")] == [True] * 4
    assert TOKEN not in caplog.text


def test_neither_the_stored_arguments_nor_the_event_nor_the_key_hold_the_token(server):
    server.route("/intensity", answer(90))
    (trigger,) = triggers(1)
    (payload,) = asyncio.run(events([trigger]))
    assert server.seen[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert TOKEN not in json.dumps(trigger.serialize()) + json.dumps(payload)


TOUCHED: list[str] = []
WATCHED_THREAD: list[int] = []


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    blocking = ("open", "socket.connect", "socket.getaddrinfo", "os.listdir", "os.scandir", "time.sleep")
    if WATCHED_THREAD and threading.get_ident() == WATCHED_THREAD[0] and event in blocking:
        TOUCHED.append(f"{event} {arguments[:1]}")


def test_nothing_is_opened_read_or_connected_on_the_event_loop(server):
    sys.addaudithook(_watch)  # for good: there is no way to take one off
    server.route("/intensity", answer(300), answer(90))
    waiting = triggers(5)

    async def watched() -> None:
        WATCHED_THREAD.append(threading.get_ident())
        await events(waiting)

    try:
        asyncio.run(watched())
    finally:
        WATCHED_THREAD.clear()
    assert len(server.seen) == 2
    assert TOUCHED == []


def test_the_watch_would_notice_a_file_opened_on_the_loop(tmp_path):
    sys.addaudithook(_watch)

    async def careless() -> None:
        WATCHED_THREAD.append(threading.get_ident())
        (tmp_path / "x").write_text("")

    try:
        asyncio.run(careless())
        assert TOUCHED
    finally:
        WATCHED_THREAD.clear()
        TOUCHED.clear()


@pytest.mark.parametrize("provider", [answer(300), status(500)], ids=["answers", "fails"])
def test_three_hundred_waits_do_not_hold_the_loop_up(server, provider):
    server.route("/intensity", provider)
    waiting = triggers(300)

    async def gaps() -> list[float]:
        tasks = [asyncio.create_task(anext(trigger.run())) for trigger in waiting]
        await asyncio.sleep(0.5)  # all have begun
        found = []
        ends = time.monotonic() + 3.0
        while time.monotonic() < ends:
            began = time.monotonic()
            await asyncio.sleep(0.005)
            found.append(time.monotonic() - began - 0.005)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return sorted(found)

    lags = asyncio.run(gaps())
    assert lags[int(len(lags) * 0.99)] < 0.05
