"""Folders of runs whose figures agree with themselves, made without a training: a real ledger, a real record."""

import csv
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from lowtide.grid.series import best_known, cover, gaps
from lowtide.io import sha256_of
from lowtide.records import (
    EmissionFactorType,
    IntensityKind,
    Phase,
    Reading,
    SignalType,
    TrainingRecord,
    ValuedRow,
    read_intensity,
)
from lowtide.runs.account import derive
from lowtide.runs.folder import RunFolder
from lowtide.timeutil import parse_time
from lowtide.tracker.emissions import value_rows
from lowtide.tracker.ledger import IntensityLog, LedgerWriter, read_ledger
from lowtide.trainer.protocol import TrainingResult

from tests.support.records import make_record
from tests.support.valuing import value_interval

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


def booked_rows(start: datetime, readings: list[Reading], *, minutes: int = 60, pue: float = 1.0) -> list[ValuedRow]:
    """One row a minute from ``start``, split at the readings' boundaries."""
    rows: list[ValuedRow] = []
    for k in range(minutes):
        begin = start + timedelta(minutes=k)
        phase = Phase.STARTUP if k == 0 else Phase.TRAIN
        rows += value_interval(
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


def write_killed_run(path: Path, rows: list[ValuedRow], details: dict[str, Any]) -> RunFolder:
    """Leave what a run leaves that was killed: an opened ledger, no end, no record."""
    folder = RunFolder(path)
    folder.create()
    with LedgerWriter(folder.ledger) as ledger:
        ledger.open_attempt(1, details)
        ledger.append(rows)
    if rows:
        date_events(folder.ledger)
        write_intensities(folder, rows)
    return folder


def date_events(ledger: Path) -> None:
    """Date the lines that open and close attempts by the rows beside them: this machine's clocks have nothing to do with theirs."""
    lines = [json.loads(line) for line in ledger.read_text().splitlines()]
    for k, line in enumerate(lines):
        if line.get("event") == "opened":
            row = lines[k + 1]
            line |= {"at": row["start"], "monotonic_s": row["monotonic_s"] - 60.0}
        elif line.get("event") == "closed":
            row = lines[k - 1]
            line |= {"at": row["end"], "monotonic_s": row["monotonic_s"]}
    ledger.write_text("".join(json.dumps(line) + "\n" for line in lines))


def write_intensities(folder: RunFolder, rows: Sequence[ValuedRow]) -> None:
    """Write the intensities of rows beside their ledger, learnt when the first of them began."""
    readings: list[Reading] = []
    for row in rows:
        reading = Reading(
            zone="GB",
            start=row.start,
            end=row.end,
            carbon_intensity_gco2eq_per_kwh=row.carbon_intensity_gco2eq_per_kwh,
            source=row.intensity_source,
            kind=row.intensity_kind,
            signal_type=row.signal_type,
            emission_factor_type=row.emission_factor_type,
        )
        last = readings[-1] if readings else None
        if (
            last is not None
            and replace(reading, start=last.start) == replace(last, end=row.end)
            and last.end == row.start
        ):
            readings[-1] = replace(last, end=row.end)
        else:
            readings.append(reading)
    IntensityLog(folder.path).append(readings, rows[0].start)


def valued_rows(folder: Path, *, pue: float = 1.0) -> tuple[ValuedRow, ...]:
    """Return a run's ledger at what is known of the grid."""
    return value_rows(read_ledger(folder / "ledger.jsonl").rows, read_intensity(folder)[0], pue=pue).rows


RESULT = make_record().model_dump(mode="json", include=set(TrainingResult.model_fields))
ACCOUNT = {"functional_unit": "epoch", "hardware_embodied_gco2eq": 12.5 * 1460 * 24, "hardware_lifespan": "1460d"}
"""12.5 g embodied emissions for a run of an hour."""


def write_run(
    path: Path,
    rows: list[ValuedRow],
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
        ledger.open_attempt(1, opening(submitted_at, pue=pue, grid=grid or GRID, account=ACCOUNT, **said))
        ledger.append(rows)
        sizes = {"micro_batch_size": 128, "accumulation_steps": 4, "effective_batch_size": 512}
        ledger.close_attempt("finished", result=RESULT | sizes)
    date_events(folder.ledger)
    write_intensities(folder, rows)
    write_grid_since_submission(folder, at_submission, rows)
    record = derive(folder)
    assert isinstance(record, TrainingRecord)
    return folder, record


def write_grid_since_submission(folder: RunFolder, readings: list[Reading], rows: Sequence[ValuedRow]) -> None:
    """Write what is known of the grid before the run's rows and between them, learnt at the run's end."""
    known = [entry.reading for entry in best_known(read_intensity(folder.path)[0])]
    spans = ((reading.start, reading.end) for reading in known)
    log = IntensityLog(folder.path)
    for start, end in gaps(spans, readings[0].start, readings[-1].end):
        log.append(cover(start, end, [lambda *_: readings]), rows[-1].end)


_BEST_FIRST = ("measured", "estimated", "forecast", "cached", "modelled", "replayed")


def check_contract(folder: RunFolder) -> None:
    """The totals of record.json and emissions.csv follow from the facts, joined here by the rule of the contract."""
    record = json.loads(folder.record.read_text())
    rows = [json.loads(line) for line in folder.ledger.read_text().splitlines()]
    rows = [row for row in rows if "start" in row]
    energy = [row["cpu_energy_kwh"] + row["gpu_energy_kwh"] + row["ram_energy_kwh"] for row in rows]
    total, pue = sum(energy), record["pue"]
    assert math.isclose(total, record["energy_kwh"]["total"], rel_tol=1e-9)
    assert not any("intensity" in key or "emission" in key for row in rows for key in row)
    entries = [json.loads(line) for line in folder.intensity.read_text().splitlines()]
    own = (record["signal_type"], record["emission_factor_type"])
    entries = [entry for entry in entries if (entry["signal_type"], entry["emission_factor_type"]) == own]
    for figures, as_of in ((record, None), (record["first_valuation"], record["first_valuation"]["as_of"])):
        grams, valued = _joined(rows, entries, as_of)
        assert math.isclose(grams * pue, figures["emissions_gco2eq"], rel_tol=1e-9)
        mean = figures["mean_carbon_intensity_gco2eq_per_kwh"]
        assert math.isclose(grams / valued if valued else 0.0, mean, rel_tol=1e-9)
        assert math.isclose(sum(figures["intensity_kinds"].values()), 1.0 if valued else 0.0, rel_tol=1e-9)
        if as_of is None:
            assert math.isclose(total - valued, record["unvalued_energy_kwh"], rel_tol=1e-9, abs_tol=1e-12)
    table = list(csv.DictReader(folder.emissions.read_text().splitlines()))
    assert math.isclose(sum(float(line["emissions_gco2eq"] or 0) for line in table), record["emissions_gco2eq"])
    assert math.isclose(sum(float(line["energy_kwh"]) for line in table), total, rel_tol=1e-9)
    assert record["effective_batch_size"] == record["micro_batch_size"] * record["accumulation_steps"]
    assert all(one["end"] <= two["start"] for one, two in pairwise(rows))
    assert record["ledger_sha256"] == sha256_of(folder.ledger)


def _joined(rows: list[Any], entries: list[Any], as_of: str | None) -> tuple[float, float]:
    """Grams before PUE, and the energy that has an intensity."""
    known = [e for e in entries if as_of is None or parse_time(e["learnt_at"]) <= parse_time(as_of)]
    known.sort(key=lambda e: (_BEST_FIRST.index(e["kind"]), -parse_time(e["learnt_at"]).timestamp()))
    spans = [(parse_time(e["start"]), parse_time(e["end"]), e["carbon_intensity_gco2eq_per_kwh"]) for e in known]
    grams = valued = 0.0
    for row in rows:
        begin, end = parse_time(row["start"]), parse_time(row["end"])
        kwh = row["cpu_energy_kwh"] + row["gpu_energy_kwh"] + row["ram_energy_kwh"]
        near = [span for span in spans if span[0] < end and span[1] > begin]
        cuts = sorted({begin, end, *(t for span in near for t in span[:2] if begin < t < end)})
        for low, high in pairwise(cuts):
            value = next((span[2] for span in near if span[0] <= low and span[1] >= high), None)
            if value is not None:
                part = kwh * ((high - low) / (end - begin))
                grams, valued = grams + part * value, valued + part
    return grams, valued
