"""What a run's report says of its efficiency is held to the rules by which that report was written."""

import json
from pathlib import Path

import pytest
from lowtide.config.schema import ReportConfig
from lowtide.records import TrainingRecord
from lowtide.report.compare import compare_runs
from lowtide.report.savings_model import Savings, SavingsRun
from lowtide.report.savings_text import repeatability_remarks

from tests.support.records import make_record
from tests.support.savings import nightly, savings_of, write_training


def only(savings: Savings) -> SavingsRun:
    (run,) = savings.runs
    return run


def compared_with(root: Path, runs: list[TrainingRecord], baselines: list[TrainingRecord]) -> SavingsRun:
    """Write the first run, with a report that holds all of them against all baselines."""
    write_training(root, "nightly/a", runs[0], baseline=baselines[0])
    mine = TrainingRecord.model_validate_json((root / "runs/nightly/a/record.json").read_text())
    report = compare_runs(baselines, [mine, *runs[1:]], settings=ReportConfig(), now=mine.ended_at)
    (root / "reports/nightly/a/report.json").write_text(report.model_dump_json())
    return only(savings_of(root))


def seeds(gpu_kwh: list[float]) -> list[TrainingRecord]:
    return [
        make_record(run_id=f"b{k}", seed=k, gpu_kwh=kwh, ledger_sha256=f"{k:064x}") for k, kwh in enumerate(gpu_kwh)
    ]


def test_several_baselines_support_what_their_mean_says(tmp_path: Path) -> None:
    found = compared_with(tmp_path, [nightly()], seeds([0.0060, 0.0061, 0.0059]))
    report = json.loads((tmp_path / "reports/nightly/a/report.json").read_text())
    assert report["headline"]["status"] == "claimed"
    assert found.avoided_by_efficiency_gco2eq == pytest.approx(0.0015 * 110, rel=1e-9)


def test_each_report_is_held_to_the_repeatability_that_it_was_written_with(tmp_path: Path) -> None:
    """8.2 against 6.7 Wh: 18 % less, which is noise to who says that 20 % are."""
    write_training(tmp_path, "nightly/a", nightly(), baseline=make_record())
    path = tmp_path / "reports/nightly/a/report.json"
    report = json.loads(path.read_text())
    path.write_text(json.dumps(report | {"repeatability_percent": 20.0}))
    found = savings_of(tmp_path)
    assert only(found).avoided_by_efficiency_gco2eq is None
    assert only(found).efficiency_not_counted == ("its energy per sample has no measurable change (within 20.0 %)",)
    told = [
        "a change of energy per sample within 20 % is not measurable in 1 run, by the configuration that the report was"
    ]
    assert [line.rpartition(" written with")[0] for line in repeatability_remarks(found, 3.0)] == told
    asked = savings_of(tmp_path, repeatability_percent=5.0)
    assert only(asked).avoided_by_efficiency_gco2eq == pytest.approx(0.0015 * 110, rel=1e-9)
    assert (found.repeatability_percent, asked.repeatability_percent) == (None, 5.0)
    assert list(repeatability_remarks(asked, 3.0)) == [
        "a change of energy per sample within 5 % is not measurable, in every run"
    ]
    path.write_text(json.dumps(report))  # the default of 3 %
    assert list(repeatability_remarks(savings_of(tmp_path), 3.0)) == []


def test_a_report_of_several_runs_says_nothing_of_one_of_them(tmp_path: Path) -> None:
    other = nightly(2, ledger_sha256="e" * 64)
    found = compared_with(tmp_path, [nightly(), other], seeds([0.0060, 0.0061, 0.0059]))
    assert found.avoided_by_efficiency_gco2eq is None
    assert "several runs" in found.efficiency_not_counted[0]
