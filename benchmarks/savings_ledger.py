"""How long the savings of many runs take: every report reads all records.

Each run has a record, a report of a real comparison, a day's decisions (one every five minutes, as the sensor keeps them) and a
ledger file; a third is simulated. The whole command is timed, with Python's start.
Usage: python benchmarks/savings_ledger.py [--runs 1000] [--looks 288]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lowtide.config.loader import PROJECT_ROOT
from lowtide.config.schema import ReportConfig
from lowtide.records import IntensityKind, TrainingRecord
from lowtide.timeutil import format_time

from tests.support.comparisons import compare_one, waiting_run
from tests.support.records import make_record
from tests.support.runs import slot_reading

FIRST = datetime(2024, 1, 1, 20, 0, tzinfo=UTC)
LOOK = timedelta(minutes=5)


def record_of(number: int) -> TrainingRecord:
    model = f"model=shop.models:net{number % 7}; data=shop.data:digits; zone=GB; effective_batch_size=512"
    kinds = {"replayed": 1.0} if number % 3 == 0 else {"measured": 1.0}
    return waiting_run(
        run_id=f"nightly/scheduled__{number}",
        submitted_at=FIRST + number * timedelta(hours=16),
        wait_s=86_400.0 + number,
        comparison_key=model,
        intensity_kinds=kinds,
        ledger_sha256=f"{number:064x}",
        uncertainty={
            "energy_low_kwh": 0.004,
            "energy_high_kwh": 0.01,
            "emissions_low_gco2eq": 0.4,
            "emissions_high_gco2eq": 1.2,
            "basis": ["100.0 % of energy gpu by nvml: -40 % to +40 % (Fischer 2025)"] * 4,
        },
    )


def decision(record: TrainingRecord, at: datetime, action: str) -> dict[str, Any]:
    reading = slot_reading(at, 211.0, IntensityKind.FORECAST).as_json()
    return {
        "action": action,
        "reason": "forecast_minimum",
        "text": "waiting: GB has 211 g/kWh (forecast, neso); the cleanest block before the deadline begins at 03:30 UTC",
        "reading": reading,
        "threshold_gco2eq_per_kwh": None,
        "steps": ["neso: 211 g/kWh (forecast)"],
        "expected_saving_percent": 21.0,
        "expected_saving_interval_percent": [9.0, 31.0],
        "forecast_source": "neso",
        "segments": [[format_time(record.started_at), format_time(record.ended_at)]],
        "decided_at": format_time(at),
        "until": format_time(at + LOOK),
        "planned_start": format_time(record.started_at),
        "deadline": format_time(record.ended_at + timedelta(hours=1)),
        "latest_start": format_time(record.started_at + timedelta(hours=1)),
    }


def write_run(root: Path, number: int, looks: int) -> None:
    record, name = record_of(number), f"nightly/scheduled__{number}"
    run, report = root / "runs" / name, root / "reports" / name
    run.mkdir(parents=True)
    report.mkdir(parents=True)
    (run / "record.json").write_text(record.model_dump_json(indent=2))
    (run / "ledger.jsonl").write_text("{}\n")
    taken = [decision(record, record.submitted_at + k * LOOK, "wait") for k in range(looks)]
    taken.append(decision(record, record.started_at, "run"))
    (run / "decisions.jsonl").write_text("".join(json.dumps(look) + "\n" for look in taken))
    baseline = make_record(comparison_key=record.comparison_key)
    compared = compare_one(baseline, record, settings=ReportConfig(), now=record.ended_at)
    (report / "report.json").write_text(compared.model_dump_json(indent=2))


def timed(root: Path, *arguments: str) -> tuple[float, float, dict[str, Any]]:
    """Return wall and CPU seconds of the command, and what it printed."""
    command = [sys.executable, "-m", "lowtide.cli", "report", str(root), "--since", "2020-01-01", "--json", *arguments]
    before, start = os.times(), time.perf_counter()
    answer = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, check=True)
    wall_s, after = time.perf_counter() - start, os.times()
    cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
    return wall_s, cpu_s, json.loads(answer.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description="time the savings ledger of many runs")
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--looks", type=int, default=288, help="decisions of each run: a day at one every five minutes")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for number in range(options.runs):
            write_run(root, number, options.looks)
        size = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
        print(f"{options.runs} runs, {size / 1e6:.0f} MB of records, reports and decisions")
        csv = ("--csv", str(root / "savings.csv"), "--runs-csv", str(root / "runs.csv"))
        wall_s, cpu_s, found = timed(root, *csv)
        bases = ", ".join(f"{group['basis']} {group['total']['runs']}" for group in found["groups"])
        claimed = sum(run["avoided_by_efficiency_gco2eq"] is not None for run in found["runs"])
        print(f"all read      {wall_s:6.2f} s, CPU {cpu_s:5.2f} s   ({bases}; {claimed} reports claim efficiency)")


if __name__ == "__main__":
    main()
