"""Which folders the nightly settlement takes for runs: also those of the command line, and what a report rests on."""

import json
import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from lowtide.config.schema import ReportConfig
from lowtide.records import IntensityKind, Reading, load_record
from lowtide.report.compare import write_report
from lowtide.runs.maintenance import SettledRuns, settle_recent_runs
from lowtide.runs.settlement import ActualFigures, settle_run
from lowtide.timeutil import utc_now

from tests.support.comparisons import compare_one
from tests.support.history import store
from tests.support.neso import HALF_HOUR, slot_start
from tests.support.runs import booked_rows, check_contract, slot_reading, write_run

NOW = utc_now()
STARTED = slot_start(NOW) - timedelta(hours=3)


def grid(kind: IntensityKind, value: float) -> list[Reading]:
    return [slot_reading(STARTED + (k - 20) * HALF_HOUR, value - k, kind) for k in range(26)]


def settle(root: Path) -> SettledRuns:
    return settle_recent_runs(root, store(root), now=utc_now(), look_back=timedelta(days=2), settings=ReportConfig())


def test_a_run_of_the_command_line_is_settled_and_its_first_valuation_stays(tmp_path: Path) -> None:
    """``--output artifacts/runs/mine`` is one folder less deep than Airflow's."""
    forecast = grid(IntensityKind.FORECAST, 200.0)
    folder, before = write_run(
        tmp_path / "runs" / "mine",
        booked_rows(STARTED, forecast),
        submitted_at=STARTED - timedelta(hours=6),
        at_submission=forecast,
    )
    store(tmp_path).add(grid(IntensityKind.ESTIMATED, 150.0), NOW)
    assert [run.folder.path for run in settle(tmp_path).settled] == [folder.path]
    store(tmp_path).add(grid(IntensityKind.MEASURED, 120.0), NOW + timedelta(minutes=1))
    done = settle(tmp_path)
    assert ([run.folder.path for run in done.settled], done.failures) == ([folder.path], [])
    after = load_record(folder.path)
    assert after.settlement is not None
    assert after.first_valuation.emissions_gco2eq == before.emissions_gco2eq
    check_contract(folder)


@pytest.mark.parametrize("place", ["mine", "nightly/a"])
def test_a_report_of_a_run_that_was_settled_by_hand_is_renewed(tmp_path: Path, place: str) -> None:
    """``lowtide settle`` values again, and nothing is left for the nightly settlement to change: the report stayed as it was."""
    forecast = grid(IntensityKind.FORECAST, 200.0)
    folder, record = write_run(
        tmp_path / "runs" / place,
        booked_rows(STARTED, forecast),
        submitted_at=STARTED - timedelta(hours=6),
        at_submission=forecast,
    )
    reports = tmp_path / "reports" / place
    own = ReportConfig(repeatability_percent=40.0)  # the nightly settlement's configuration may be another one
    chosen = ["only the newest 50 baselines were looked at; name an older one with baseline_run_id"]
    write_report(compare_one(None, record, settings=own, now=NOW, notes=chosen), reports)
    store(tmp_path).add(grid(IntensityKind.ESTIMATED, 150.0), NOW)
    assert settle_run(folder, ActualFigures(now=utc_now(), history=store(tmp_path)), now=utc_now()).changed
    done = settle(tmp_path)
    assert (done.settled, done.reports, done.failures) == ([], [reports / "report.json"], [])
    renewed = json.loads((reports / "report.json").read_text())
    assert renewed["run"]["emissions_gco2eq"] == load_record(folder.path).emissions_gco2eq != record.emissions_gco2eq
    assert renewed["repeatability_percent"] == 40.0
    assert renewed["baseline_notes"] == chosen
    assert [note.partition(" on ")[0] for note in renewed["notes"][:2]] == ["renewed", *chosen]
    assert chosen[0] in (reports / "report.md").read_text().replace("\\_", "_")
    assert settle(tmp_path).reports == []


def test_a_report_is_not_renewed_for_another_training_in_its_runs_folder(tmp_path: Path) -> None:
    """It tells of the earlier one; the new one's comparison writes its own."""
    measured = grid(IntensityKind.MEASURED, 200.0)
    folder = tmp_path / "runs" / "nightly" / "a"
    for started_at in (STARTED, STARTED + timedelta(minutes=30)):
        shutil.rmtree(folder, ignore_errors=True)
        rows = booked_rows(started_at, measured)
        _, record = write_run(folder, rows, submitted_at=STARTED, at_submission=measured)
        if started_at == STARTED:
            write_report(compare_one(None, record, settings=ReportConfig(), now=NOW), tmp_path / "reports/nightly/a")
    assert settle(tmp_path).reports == []
