"""Artifact roots with runs in them, without a training: real records, real reports, decisions as the pipeline writes them."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from lowtide.io import sha256_of
from lowtide.records import TrainingRecord
from lowtide.report.savings import savings_ledger
from lowtide.report.savings_model import Savings

from tests.support.comparisons import compared, waiting_run

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)


def write_training(
    root: Path,
    name: str,
    record: TrainingRecord | None,
    *,
    baseline: TrainingRecord | None = None,
    decisions: Sequence[dict[str, Any]] = (),
) -> Path:
    """Leave a run's folder, and its report against ``baseline`` where one is given; return the folder."""
    folder = root / "runs" / name
    folder.mkdir(parents=True, exist_ok=True)
    if record is not None:
        (folder / "ledger.jsonl").write_text(f'{{"run": "{name}"}}\n')
        record = record.model_copy(update={"ledger_sha256": sha256_of(folder / "ledger.jsonl")})
        (folder / "record.json").write_text(record.model_dump_json(indent=2))
    if decisions:
        (folder / "decisions.jsonl").write_text("".join(json.dumps(decision) + "\n" for decision in decisions))
    if record is not None and baseline is not None:
        report = root / "reports" / name / "report.json"
        report.parent.mkdir(parents=True, exist_ok=True)
        report.write_text(compared(baseline, record).model_dump_json(indent=2))
    return folder


def decided(action: str, at: datetime, deadline: datetime | None = None) -> dict[str, Any]:
    """Return a decision's keys that the savings ledger reads, in the order in which they are written."""
    times = {"decided_at": at.isoformat(), "deadline": deadline.isoformat() if deadline else None}
    text = 'said: "action": "wait" for {"action": "pause"}'
    return {"action": action, "reason": "threshold", "text": text, "reading": None, **times}


def waited_until_start(record: TrainingRecord, deadline: datetime | None = None) -> list[dict[str, Any]]:
    """Return the decisions of a run that waited."""
    looks = [record.submitted_at + timedelta(minutes=5 * k) for k in range(3)]
    return [decided("wait", at, deadline) for at in looks] + [decided("run", record.started_at, deadline)]


def nightly(day: int = 1, month: int = 3, **changes: Any) -> TrainingRecord:
    """Return a run of the nightly DAG that waited; each has an id, times and figures of its own."""
    submitted_at = datetime(2026, month, day, 20, 0, tzinfo=UTC)
    fields: dict[str, Any] = {"run_id": f"nightly/{month}-{day}", "submitted_at": submitted_at, "wait_s": 10_800.0}
    return waiting_run(**(fields | changes))


def savings_of(root: Path, **query: Any) -> Savings:
    """Return the savings ledger of a root at a fixed time."""
    return savings_ledger(root, now=NOW, **query)
