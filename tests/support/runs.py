"""Folders of runs whose figures agree with themselves, made without a training: a real ledger, a real record."""

import json
import math
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from lowtide.io import sha256_of
from lowtide.records import EmissionFactorType, IntensityKind, LedgerRow, Phase, Reading, SignalType, TrainingRecord
from lowtide.runs.folder import RunFolder
from lowtide.tracker.emissions import book_interval, counterfactual, sci_score, summarise
from lowtide.tracker.ledger import LedgerWriter
from lowtide.tracker.uncertainty import emissions_interval

from tests.support.records import make_record

METHODS = {"cpu": "rapl", "gpu": "nvml", "ram": "constant"}
GRID = {"zone": "GB", "provider": "neso"}
ENERGY_KWH = (2e-4, 6e-4, 1e-4)


def slot_reading(
    start: datetime, value: float, kind: IntensityKind, length: timedelta = timedelta(minutes=30)
) -> Reading:
    return Reading(
        zone="GB",
        start=start,
        end=start + length,
        carbon_intensity_gco2eq_per_kwh=value,
        source="neso",
        kind=kind,
        signal_type=SignalType.AVERAGE,
        emission_factor_type=EmissionFactorType.DIRECT,
    )


def booked_rows(start: datetime, readings: list[Reading], *, minutes: int = 60, pue: float = 1.0) -> list[LedgerRow]:
    """One row a minute from ``start``, split at the readings' boundaries."""
    rows: list[LedgerRow] = []
    for k in range(minutes):
        begin = start + timedelta(minutes=k)
        phase = Phase.STARTUP if k == 0 else Phase.TRAIN
        rows += book_interval(
            begin,
            begin + timedelta(minutes=1),
            ENERGY_KWH,
            readings,
            phase=phase,
            attempt=1,
            monotonic_s=60.0 * (k + 1),
            pue=pue,
        )
    return rows


def opening(submitted_at: datetime, **changes: Any) -> dict[str, Any]:
    """What the pipeline writes into the opening of a ledger."""
    details = {
        "run_id": "nightly/2026",
        "comparison_key": "model=shop.models:net; data=shop.data:digits; zone=GB; effective_batch_size=512",
        "configuration": "nightly.yaml sha256:" + "a" * 64,
        "grid": GRID,
        "zone": "GB",
        "signal_type": "average",
        "emission_factor_type": "direct",
        "policy": "threshold",
        "submitted_at": submitted_at.isoformat(),
        "replay": None,
        "interval_s": 60.0,
        "pue": 1.0,
        "measuring_scope": "machine",
        "methods": METHODS,
        "versions": {"codecarbon": "3.3.2"},
        "precision": "fp32",
        "micro_batch_size": 128,
        "accumulation_steps": 4,
        "effective_batch_size": 512,
        "seed": 0,
    }
    return details | changes


def write_killed_run(path: Path, rows: list[LedgerRow], details: dict[str, Any]) -> RunFolder:
    """Leave what a run leaves that was killed: an opened ledger, no end, no record."""
    folder = RunFolder(path)
    folder.create()
    with LedgerWriter(folder.ledger) as ledger:
        ledger.open_attempt(1, details)
        ledger.append(rows)
    if rows:
        _open_with_the_first_row(folder.ledger)
    return folder


def _open_with_the_first_row(ledger: Path) -> None:
    """Date the opening line by the rows' own clocks: this machine's uptime has nothing to do with theirs."""
    first, *rest = ledger.read_text().splitlines(keepends=True)
    row = json.loads(rest[0])
    begun = {"at": row["start"], "monotonic_s": row["monotonic_s"] - 60.0}
    ledger.write_text("".join([json.dumps(json.loads(first) | begun) + "\n", *rest]))


def write_run(
    path: Path,
    rows: list[LedgerRow],
    *,
    submitted_at: datetime,
    at_submission: list[Reading],
    pue: float = 1.0,
    grid: dict[str, Any] | None = None,
    report: dict[str, Any] | None = None,
) -> tuple[RunFolder, TrainingRecord]:
    """Leave what a finished run leaves."""
    folder = RunFolder(path)
    folder.create()
    with LedgerWriter(folder.ledger) as ledger:
        said = {} if report is None else {"report": report}
        ledger.open_attempt(1, opening(submitted_at, pue=pue, grid=grid or GRID, **said))
        ledger.append(rows)
        ledger.close_attempt("finished")
    folder.submission_readings.write_text("".join(json.dumps(r.as_json()) + "\n" for r in at_submission))
    found = counterfactual(rows, submitted_at, at_submission)
    assert found is not None
    summary = summarise(rows)
    record = make_record(
        run_id="nightly/2026",
        cpu_kwh=summary.cpu_energy_kwh,
        gpu_kwh=summary.gpu_energy_kwh,
        ram_kwh=summary.ram_energy_kwh,
        emission_factor_type="direct",
        policy="threshold",
        submitted_at=submitted_at,
        started_at=rows[0].start,
        ended_at=rows[-1].end,
        pue=pue,
        micro_batch_size=128,
        accumulation_steps=4,
        emissions_gco2eq=summary.emissions_gco2eq,
        emissions_train_gco2eq=summary.train.emissions_gco2eq,
        mean_carbon_intensity_gco2eq_per_kwh=summary.mean_carbon_intensity_gco2eq_per_kwh,
        intensity_kinds=summary.intensity_kinds,
        counterfactual=found.model_copy(
            update={
                "readings_path": str(folder.submission_readings),
                "readings_sha256": sha256_of(folder.submission_readings),
            }
        ),
        uncertainty=emissions_interval(rows, METHODS),
        sci=sci_score(summary.emissions_gco2eq, 12.5, unit="epoch", units=3.0),
        ledger_path=str(folder.ledger),
        ledger_sha256=sha256_of(folder.ledger),
    )
    folder.record.write_text(record.model_dump_json(indent=2))
    return folder, record


def check_contract(folder: RunFolder) -> None:
    """The totals of record.json follow from the rows of ledger.jsonl, as anyone reads them."""
    record = json.loads(folder.record.read_text())
    rows = [json.loads(line) for line in folder.ledger.read_text().splitlines()]
    rows = [row for row in rows if "start" in row]
    energy = [row["cpu_energy_kwh"] + row["gpu_energy_kwh"] + row["ram_energy_kwh"] for row in rows]
    grams = [row["emissions_gco2eq"] for row in rows]
    assert math.isclose(sum(energy), record["energy_kwh"]["total"], rel_tol=1e-9)
    assert math.isclose(sum(grams), record["emissions_gco2eq"], rel_tol=1e-9)
    assert math.isclose(sum(grams) / sum(energy), record["mean_carbon_intensity_gco2eq_per_kwh"], rel_tol=1e-9)
    for row, kwh, g in zip(rows, energy, grams, strict=True):
        assert math.isclose(g, kwh * row["carbon_intensity_gco2eq_per_kwh"] * record["pue"], rel_tol=1e-9)
    assert math.isclose(sum(record["intensity_kinds"].values()), 1.0, rel_tol=1e-9)
    assert record["effective_batch_size"] == record["micro_batch_size"] * record["accumulation_steps"]
    assert all(one["end"] <= two["start"] for one, two in pairwise(rows))
    assert record["ledger_sha256"] == sha256_of(folder.ledger)
