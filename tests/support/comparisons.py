"""The comparisons that the golden files hold, each one a case that a reader will meet."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from include.config import ReportConfig
from include.records import TrainingRecord
from include.report import Report, compare_repeats, compare_runs
from tests.support.records import make_record

NOW = datetime(2026, 3, 3, 8, 0, tzinfo=UTC)
_ESTIMATED = {"cpu": "tdp_estimate", "gpu": "none", "ram": "constant"}


def waiting_run(**changes: object) -> TrainingRecord:
    """Return a run that waited 3 h 20 min for a cleaner grid, in smaller micro-batches at bf16."""
    fields: dict[str, object] = {
        "run_id": "scheduled__2026-03-02",
        "policy": "threshold",
        "wait_s": 12_000.0,
        "micro_batch_size": 128,
        "accumulation_steps": 4,
        "precision": "bf16",
        "submitted_at": datetime(2026, 3, 2, 20, 0, tzinfo=UTC),
        "gpu_kwh": 0.0045,
        "grid_gco2eq_per_kwh": 110.0,
        "submission_gco2eq_per_kwh": 180.0,
        "peak_memory_bytes": 260 * 1024**2,
        "test_accuracy": 0.9862,
        "configuration": "include/configs/optimized.yaml sha256:" + "c" * 64,
        "ledger_path": "artifacts/runs/scheduled__2026-03-02/ledger.jsonl",
        "ledger_sha256": "d" * 64,
    }
    return make_record(**(fields | changes))  # type: ignore[arg-type]


def compared(baseline: TrainingRecord | None, run: TrainingRecord, **settings: object) -> Report:
    """Compare at a fixed moment with the default settings."""
    return compare_runs(baseline, run, settings=ReportConfig.model_validate(settings), now=NOW)


def compared_several(baselines: Sequence[TrainingRecord], runs: Sequence[TrainingRecord], **settings: object) -> Report:
    """Compare several runs a side at a fixed moment with the default settings."""
    return compare_repeats(baselines, runs, settings=ReportConfig.model_validate(settings), now=NOW)


def golden_reports() -> dict[str, Report]:
    """Return the report of every golden case by name."""
    return {
        "lower": compared(make_record(), waiting_run()),
        "higher": compared(
            make_record(), waiting_run(grid_gco2eq_per_kwh=310.0, gpu_kwh=0.0063, test_accuracy=0.981, attempts=2)
        ),
        "simulated": compared(
            make_record(intensity_kinds={"replayed": 1.0}), waiting_run(intensity_kinds={"replayed": 1.0})
        ),
        "no_baseline": compared(None, waiting_run()),
        "estimated_energy": compared(
            make_record(methods=_ESTIMATED, gpu_kwh=0.0), waiting_run(methods=_ESTIMATED, gpu_kwh=0.0)
        ),
        "withheld": compared(
            make_record(submitted_at=NOW - timedelta(days=45), emission_factor_type="direct"),
            waiting_run(device_name="NVIDIA | <b>A100</b>\n# [x](http://evil)"),
        ),
    }
