"""What 1,000 waits in one triggerer cost: real triggers on one event loop, against a real HTTP server on loopback.

    .venv/bin/python -m benchmarks.shared_waits [--waits 1000] [--zones 20] [--interval 5] [--clean-after 20]

Every zone is asked through the provider electricity_maps with a connection from AIRFLOW_CONN_*. The server answers dirty,
then, at a different time in each zone, clean. Reported: requests by key and interval, lag of the event loop, memory
by wait, and the time from a zone turning clean to each event. The server is a process of its own, so that its work is not
taken for the triggers'.
"""

import argparse
import asyncio
import importlib
import json
import multiprocessing
import os
import platform
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

ROOT = Path(__file__).resolve().parent.parent
CONNECTION = "benchmark_grid"
LIMIT_G = 200.0
PROBE_S = 0.005


def serve(pipe: Connection, clean_at: dict[str, float]) -> None:
    """Answer in the shape of Electricity Maps until told to end; then send the times of all requests."""
    from tests.support.loopback import Loopback, json_answer

    asked: list[tuple[float, str]] = []

    def behave(handler: BaseHTTPRequestHandler) -> None:
        now = time.time()
        zone = parse_qs(urlsplit(handler.path).query)["zone"][0]
        asked.append((now, zone))
        value = 100 if now >= clean_at[zone] else 400
        json_answer(point(zone, value, now))(handler)

    with Loopback() as server:
        server.route("*", behave)
        pipe.send(server.url)
        pipe.recv()
    pipe.send(asked)


def point(zone: str, value: int, now: float) -> dict[str, Any]:
    hour = datetime.fromtimestamp(now, UTC).replace(minute=0, second=0, microsecond=0)
    text = hour.isoformat().replace("+00:00", ".000Z")
    return {
        "zone": zone,
        "carbonIntensity": value,
        "datetime": text,
        "updatedAt": text,
        "emissionFactorType": "lifecycle",
        "isEstimated": False,
        "estimationMethod": None,
    }


def trigger(zone: str, number: int, interval_s: float) -> Any:
    from lowtide.airflow.trigger import CarbonIntensityTrigger
    from lowtide.scheduler.job import Job
    from lowtide.timeutil import format_time, utc_now

    now = utc_now()
    job = Job(
        job_id=f"wait-{number}",
        zone=zone,
        policy="threshold",
        submitted_at=now,
        deadline=now + timedelta(hours=6),
        expected_duration=timedelta(hours=1),
        duration_margin=0.1,
        on_latest_start="start",
        threshold_gco2eq_per_kwh=LIMIT_G,
        minimum_gain_percent=2.0,
        poke_interval=timedelta(seconds=interval_s),
        failure_budget=3,
    )
    grid = {
        "zone": zone,
        "provider": "electricity_maps",
        "connection": CONNECTION,
        "threshold_gco2eq_per_kwh": LIMIT_G,
    }
    return CarbonIntensityTrigger(job=job.as_json(), grid=grid, anchor=None, not_before=format_time(now))


async def lag(samples: list[float], ended: asyncio.Event) -> None:
    """Sleep briefly, over and over; what is slept beyond it is what the loop was held up."""
    loop = asyncio.get_running_loop()
    while not ended.is_set():
        began = loop.time()
        await asyncio.sleep(PROBE_S)
        samples.append(loop.time() - began - PROBE_S)


async def wait(trigger: Any, events: list[tuple[str, float]]) -> None:
    async for event in trigger.run():
        if event.payload["decision"]["reason"] != "below_threshold":
            raise SystemExit(f"a wait ended otherwise: {event.payload}")
        events.append((trigger.grid["zone"], time.time()))
        return


async def run(options: argparse.Namespace, zones: list[str]) -> dict[str, Any]:
    samples: list[float] = []
    events: list[tuple[str, float]] = []
    await wait_for_warm_up()
    before = rss_bytes()
    ended = asyncio.Event()
    probe = asyncio.create_task(lag(samples, ended))
    began = time.time()
    triggers = [trigger(zones[n % len(zones)], n, options.interval) for n in range(options.waits)]
    tasks = [asyncio.create_task(wait(each, events)) for each in triggers]
    await asyncio.sleep(options.interval * 2)  # all have looked at least twice
    during = rss_bytes()
    await asyncio.gather(*tasks)
    ended.set()
    await probe
    return {"began": began, "samples": samples, "events": events, "per_wait_bytes": (during - before) / options.waits}


async def wait_for_warm_up() -> None:
    """Import what the first wait would import, so that memory by wait is the waits' own."""
    for module in ("requests", "tenacity", "lowtide.airflow.trigger"):
        importlib.import_module(module)
    await asyncio.sleep(0.1)


def rss_bytes() -> int:
    import psutil

    return int(psutil.Process().memory_info().rss)


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def requests_by_interval(asked: list[tuple[float, str]], zones: list[str], interval_s: float) -> int:
    """Return the most requests that one zone saw within any one interval, a request's own time on the way allowed."""
    most = 0
    for zone in zones:
        times = sorted(at for at, name in asked if name == zone)
        for at in times:
            most = max(most, sum(1 for other in times if at <= other < at + interval_s - 0.05))
    return most


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--waits", type=int, default=1000)
    parser.add_argument("--zones", type=int, default=20)
    parser.add_argument("--interval", type=float, default=5.0, help="poke interval in s")
    parser.add_argument("--clean-after", type=float, default=20.0, help="s until the first zone is clean")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    prepare()
    from lowtide.config.zones import zone_table

    zones = sorted(zone_table())[: options.zones]
    start = time.time() + options.clean_after
    clean_at = {zone: start + n * options.interval / len(zones) for n, zone in enumerate(zones)}
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs, clean_at), daemon=True)
    server.start()
    connection = {"conn_type": "carbon_intensity", "host": ours.recv(), "password": "benchmark-token"}
    os.environ[f"AIRFLOW_CONN_{CONNECTION.upper()}"] = json.dumps(connection)
    found = asyncio.run(run(options, zones))
    ours.send("end")
    report(options, zones, clean_at, found, ours.recv())
    server.join(5)


def prepare() -> None:
    sys.path[:0] = [str(ROOT), str(ROOT / "plugins")]
    os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="lowtide-benchmark-"))
    os.environ |= {"AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"), "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING"}


def report(
    options: argparse.Namespace,
    zones: list[str],
    clean_at: dict[str, float],
    found: dict[str, Any],
    asked: list[tuple[float, str]],
) -> None:
    delays_s = [at - clean_at[zone] for zone, at in found["events"]]
    lags_ms = [1000 * sample for sample in found["samples"]]
    figures = {
        "machine": f"{os.cpu_count()} cores, Python {platform.python_version()}",
        "waits": options.waits,
        "zones": len(zones),
        "interval_s": options.interval,
        "events": len(delays_s),
        "duration_s": round(time.time() - found["began"], 1),
        "requests": len(asked),
        "requests_without_sharing": round(options.waits * len(asked) / len(zones)),
        "most_requests_by_key_and_interval": requests_by_interval(asked, zones, options.interval),
        "lag_ms_p50": round(statistics.median(lags_ms), 2),
        "lag_ms_p99": round(percentile(lags_ms, 0.99), 2),
        "lag_ms_max": round(max(lags_ms), 2),
        "memory_by_wait_kib": round(found["per_wait_bytes"] / 1024, 1),
        "clean_to_event_s_p50": round(statistics.median(delays_s), 2),
        "clean_to_event_s_max": round(max(delays_s), 2),
        "clean_to_event_allowed_s": options.interval + 1,
    }
    print(json.dumps(figures) if options.json else "\n".join(f"{name:36} {value}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
