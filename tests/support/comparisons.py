"""The comparisons that the golden files hold, each one a case that a reader will meet."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from lowtide.config.schema import ReportConfig
from lowtide.records import EmissionsInterval, IntensityKind, Phase, Reading, TrainingRecord
from lowtide.report.compare import compare_runs
from lowtide.report.model import Report
from lowtide.report.waiting import NO_EVIDENCE, Delay, WaitEvidence

from tests.support.records import make_record
from tests.support.valuing import value_interval

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


def compare_one(
    baseline: TrainingRecord | None,
    run: TrainingRecord,
    *,
    settings: ReportConfig,
    now: datetime,
    evidence: WaitEvidence = NO_EVIDENCE,
    notes: Sequence[str] = (),
) -> Report:
    """Compare one run with its baseline, or alone."""
    baselines = [] if baseline is None else [baseline]
    return compare_runs(baselines, [run], settings=settings, now=now, notes=notes, evidence=[evidence])


def compared(baseline: TrainingRecord | None, run: TrainingRecord, **settings: object) -> Report:
    """Compare at a fixed time with the default settings; two records that a test made are of two trainings."""
    if baseline and baseline.ledger_sha256 == run.ledger_sha256:
        baseline = baseline.model_copy(update={"ledger_sha256": "a" * 64})
    return compare_one(baseline, run, settings=ReportConfig.model_validate(settings), now=NOW)


def compared_several(baselines: Sequence[TrainingRecord], runs: Sequence[TrainingRecord], **settings: object) -> Report:
    """Compare several runs a side at a fixed time with the default settings."""
    return compare_runs(baselines, runs, settings=ReportConfig.model_validate(settings), now=NOW)


def night(run: TrainingRecord) -> WaitEvidence:
    """Return the evidence of a run's wait: its ledger in minutes, the grid from 20:00 to 06:00, and that deadline."""
    hours = (180.0, 170.0, 150.0, 130.0, 110.0, 100.0, 90.0, 95.0, 120.0, 160.0)
    grid = [
        Reading(
            zone=run.zone,
            start=run.submitted_at + timedelta(hours=k),
            end=run.submitted_at + timedelta(hours=k + 1),
            carbon_intensity_gco2eq_per_kwh=value,
            source="neso",
            kind=IntensityKind.MEASURED,
            signal_type=run.signal_type,
            emission_factor_type=run.emission_factor_type,
        )
        for k, value in enumerate(hours)
    ]
    minutes = round((run.ended_at - run.started_at) / timedelta(minutes=1))
    energy = run.energy_kwh
    rows = [
        row
        for k in range(minutes)
        for row in value_interval(
            run.started_at + timedelta(minutes=k),
            run.started_at + timedelta(minutes=k + 1),
            (energy.cpu / minutes, energy.gpu / minutes, energy.ram / minutes),
            grid,
            phase=Phase.TRAIN,
            attempt=1,
            monotonic_s=60.0 * (k + 1),
            pue=run.pue,
        )
    ]
    return WaitEvidence(rows=rows, readings=grid, delay=Delay(deadline=run.submitted_at + timedelta(hours=10)))


def known_bounds(run: TrainingRecord, error: float = 0.4) -> TrainingRecord:
    """Return a record with the bounds of a meter that may err by so much, at measured intensity (5 %)."""
    bounds = EmissionsInterval(
        energy_low_kwh=run.energy_kwh.total * (1 - error),
        energy_high_kwh=run.energy_kwh.total * (1 + error),
        emissions_low_gco2eq=run.emissions_gco2eq * (1 - error) * 0.95,
        emissions_high_gco2eq=run.emissions_gco2eq * (1 + error) * 1.05,
        basis=("100.0 % of energy cpu by rapl: -40 % to +40 % (a golden case)",),
    )
    return run.model_copy(update={"uncertainty": bounds})


def _waited() -> Report:
    base, run = make_record(test_samples=10_000), waiting_run(wait_s=4 * 3600.0, test_samples=10_000)
    base, run = known_bounds(base), known_bounds(run)
    return compare_one(base, run, settings=ReportConfig(), now=NOW, evidence=night(run))


def _seeds() -> Report:
    bases = [make_record(gpu_kwh=0.006 + 1e-4 * k, seed=k, ledger_sha256=f"a{k:063}") for k in range(3)]
    runs = [
        waiting_run(
            gpu_kwh=0.0045 + 5e-5 * k,
            seed=k,
            run_id=f"scheduled__2026-03-02_{k}",
            test_accuracy=0.986 + 1e-3 * k,
            ledger_sha256=f"c{k:063}",
        )
        for k in range(3)
    ]
    return compared_several(bases, runs)


def golden_reports() -> dict[str, Report]:
    """Return the report of every golden case by name."""
    return {
        "lower": compared(make_record(), waiting_run()),
        "higher": compared(
            make_record(test_samples=10_000),
            waiting_run(
                grid_gco2eq_per_kwh=310.0, gpu_kwh=0.0063, test_accuracy=0.981, test_samples=10_000, attempts=2
            ),
        ),
        "simulated": compared(
            make_record(intensity_kinds={"replayed": 1.0}), waiting_run(intensity_kinds={"replayed": 1.0})
        ),
        "no_baseline": compared(None, waiting_run()),
        "waited": _waited(),
        "several_seeds": _seeds(),
        "estimated_energy": compared(
            make_record(methods=_ESTIMATED, gpu_kwh=0.0), waiting_run(methods=_ESTIMATED, gpu_kwh=0.0)
        ),
        "withheld": compared(
            make_record(submitted_at=NOW - timedelta(days=45), emission_factor_type="direct"),
            waiting_run(device_name="NVIDIA | <b>A100</b>\n# [x](http://evil)"),
        ),
    }
