"""A training record that agrees with itself; tests change what they are about and the sums follow."""

from datetime import UTC, datetime, timedelta
from typing import Any

from lowtide.records import Counterfactual, EnergyTotals, TrainingRecord

SUBMITTED = datetime(2026, 3, 1, 20, 0, tzinfo=UTC)


def make_record(
    *,
    cpu_kwh: float = 0.002,
    gpu_kwh: float = 0.006,
    ram_kwh: float = 0.0002,
    methods: dict[str, str] | None = None,
    grid_gco2eq_per_kwh: float = 200.0,
    submission_gco2eq_per_kwh: float | None = None,
    submission_kinds: dict[str, float] | None = None,
    **changes: Any,
) -> TrainingRecord:
    """Return a record of a run that started at once; any field of TrainingRecord may be given by name.

    Emissions, mean intensity, effective batch, train-only figures, times and wait follow from the rest unless given.
    With ``submission_gco2eq_per_kwh`` the record has a counterfactual at that intensity.
    """
    total = cpu_kwh + gpu_kwh + ram_kwh
    pue = changes.get("pue", 1.0)
    grams = total * pue * grid_gco2eq_per_kwh
    submitted = changes.get("submitted_at", SUBMITTED)
    started = changes.get("started_at", submitted + timedelta(seconds=changes.get("wait_s", 0.0)))
    counterfactual = None
    if submission_gco2eq_per_kwh is not None:
        counterfactual = Counterfactual.model_validate(
            {
                "start": submitted,
                "carbon_intensity_gco2eq_per_kwh": submission_gco2eq_per_kwh,
                "emissions_gco2eq": total * pue * submission_gco2eq_per_kwh,
                "intensity_kinds": submission_kinds or {"measured": 1.0},
            }
        )
    energy = EnergyTotals.model_validate(
        {
            "total": total,
            "cpu": cpu_kwh,
            "gpu": gpu_kwh,
            "ram": ram_kwh,
            "methods": methods or {"cpu": "rapl", "gpu": "nvml", "ram": "constant"},
        }
    )
    fields = _plain_fields() | {
        "submitted_at": submitted,
        "started_at": started,
        "ended_at": started + timedelta(seconds=changes.get("duration_s", 600.0)),
        "wait_s": (started - submitted).total_seconds(),
        "effective_batch_size": changes.get("micro_batch_size", 512) * changes.get("accumulation_steps", 1),
        "energy_kwh": energy,
        "energy_train_kwh": 0.9 * total,
        "emissions_gco2eq": grams,
        "emissions_train_gco2eq": 0.9 * grams,
        "mean_carbon_intensity_gco2eq_per_kwh": grid_gco2eq_per_kwh,
        "counterfactual": counterfactual,
    }
    fields |= changes
    first = {
        "as_of": fields["ended_at"],
        "emissions_gco2eq": fields["emissions_gco2eq"],
        "mean_carbon_intensity_gco2eq_per_kwh": fields["mean_carbon_intensity_gco2eq_per_kwh"],
        "intensity_kinds": fields["intensity_kinds"],
    }
    return TrainingRecord.model_validate({"first_valuation": first} | fields)


def _plain_fields() -> dict[str, Any]:
    return {
        "run_id": "manual__2026-03-01",
        "comparison_key": "model=shop.models:net; data=shop.data:digits; zone=GB; effective_batch_size=512",
        "configuration": "include/configs/baseline.yaml sha256:" + "a" * 64,
        "zone": "GB",
        "signal_type": "average",
        "emission_factor_type": "lifecycle",
        "policy": "immediate",
        "duration_s": 600.0,
        "train_duration_s": 540.0,
        "attempts": 1,
        "replay": None,
        "device": "cuda",
        "device_name": "NVIDIA H200",
        "precision": "fp32",
        "micro_batch_size": 512,
        "accumulation_steps": 1,
        "seed": 0,
        "epochs": 3,
        "optimizer_steps": 354,
        "samples": 180_000,
        "train_loss": 0.05,
        "test_accuracy": 0.985,
        "measuring_scope": "machine",
        "pue": 1.0,
        "intensity_kinds": {"measured": 1.0},
        "foreign_signal_share": 0.0,
        "problems": [],
        "peak_memory_bytes": 800 * 1024**2,
        "peak_memory_kind": "cuda_allocated",
        "peak_memory_method": "torch's allocator",
        "peak_memory_reserved_bytes": 900 * 1024**2,
        "base_rss_bytes": 400 * 1024**2,
        "ledger_path": "artifacts/runs/manual__2026-03-01/ledger.jsonl",
        "ledger_sha256": "b" * 64,
        "versions": {"lowtide": "0.1.0", "python": "3.11.7", "torch": "2.13.0", "codecarbon": "3.3.2"},
    }
