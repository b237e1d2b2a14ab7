"""The settling task in real Airflow: recent runs of this grid, and only they, are valued again from the stored history."""

import json
import os
from datetime import timedelta
from pathlib import Path

import pytest
from lowtide.config.schema import ReportConfig
from lowtide.records import IntensityKind, Reading, TrainingRecord, load_record, read_record
from lowtide.report.compare import write_report
from lowtide.runs.folder import RunFolder
from lowtide.runs.settlement import settle_run, settled_record
from lowtide.timeutil import utc_now

from tests.support.comparisons import compare_one
from tests.support.config_files import write_config
from tests.support.history import store
from tests.support.neso import HALF_HOUR, slot_start
from tests.support.runs import booked_rows, check_contract, opening, slot_reading, write_killed_run, write_run

CONNECTION = "grid_history_test"
NOW = utc_now()
STARTED = slot_start(NOW) - timedelta(hours=3)


def grid(kind: IntensityKind, value: float) -> list[Reading]:
    return [slot_reading(STARTED + (k - 20) * HALF_HOUR, value - k, kind) for k in range(26)]


def finished(root: Path, name: str, **changes: timedelta) -> tuple[RunFolder, TrainingRecord]:
    started = STARTED - changes.get("ago", timedelta(0))
    forecast = [slot_reading(started + (k - 20) * HALF_HOUR, 200 - k, IntensityKind.FORECAST) for k in range(26)]
    return write_run(
        root / "runs" / "nightly" / name,
        booked_rows(started, forecast),
        submitted_at=started - timedelta(hours=6),
        at_submission=forecast,
    )


def killed(root: Path, name: str = "killed", **details: object) -> RunFolder:
    forecast = grid(IntensityKind.FORECAST, 200.0)
    opened = opening(STARTED - timedelta(hours=6), **details)
    folder = write_killed_run(root / "runs" / "nightly" / name, booked_rows(STARTED, forecast), opened)
    two_hours_ago = NOW.timestamp() - 7200
    os.utime(folder.ledger, (two_hours_ago, two_hours_ago))
    return folder


@pytest.mark.airflow
def test_recent_runs_are_settled_and_their_reports_renewed(run_probe, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv(f"AIRFLOW_CONN_{CONNECTION.upper()}", "carbon-intensity://127.0.0.1:1/http")
    root = tmp_path / "artifacts"
    config = write_config(tmp_path, grid={"zone": "GB", "provider": "neso", "threshold_gco2eq_per_kwh": 120})
    recent, before = finished(root, "recent")
    base, _ = finished(root, "base", ago=timedelta(minutes=30))  # another ledger: a run is not its own baseline
    old, _ = finished(root, "old", ago=timedelta(days=9))
    other, record = finished(root, "other")
    elsewhere = record.model_copy(update={"zone": "DE"})
    other.record.write_text(elsewhere.model_dump_json())
    report = root / "reports" / "nightly" / "recent"
    write_report(compare_one(load_record(base.path), before, settings=ReportConfig(), now=NOW), report)
    store(root, connection=CONNECTION).add(grid(IntensityKind.ESTIMATED, 150.0), NOW)

    outcome = run_probe("settle_runs", file=config, days=2)

    assert outcome.states == {"settle": "success"}
    xcom = outcome.xcoms["settle"]
    assert (xcom["checked"], xcom["failures"]) == (2, [])
    assert {run["record"] for run in xcom["settled"]} == {str(recent.record), str(base.record)}
    assert xcom["reports"] == [str(report / "report.json")]
    renewed = json.loads((report / "report.json").read_text())
    assert renewed["run"]["emissions_gco2eq"] == load_record(recent.path).emissions_gco2eq < before.emissions_gco2eq
    assert "actual figures of the grid had come in" in renewed["notes"][0]
    assert (renewed["headline"]["status"], renewed["run"]["intensity_kinds"]) == ("claimed", {"estimated": 1.0})
    check_contract(recent)
    assert load_record(old.path).settlement is None
    assert run_probe("settle_runs", file=config, days=2).xcoms["settle"]["settled"] == []


@pytest.mark.airflow
def test_a_killed_run_is_recovered_and_then_settled_like_any_other(run_probe, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv(f"AIRFLOW_CONN_{CONNECTION.upper()}", "carbon-intensity://127.0.0.1:1/http")
    root = tmp_path / "artifacts"
    config = write_config(tmp_path, grid={"zone": "GB", "provider": "neso", "threshold_gco2eq_per_kwh": 120})
    folder = killed(root)
    damaged = killed(root, "damaged", policy=None)
    store(root, connection=CONNECTION).add(grid(IntensityKind.ESTIMATED, 150.0), NOW)

    found = run_probe("recover_runs", file=config).xcoms["recover"]
    xcom = run_probe("settle_runs", file=config, days=2).xcoms["settle"]

    assert found["recovered"] == [str(folder.record)]
    assert [run["record"] for run in xcom["settled"]] == [str(folder.record)]
    (failure,) = found["failures"]
    assert str(damaged.ledger) in failure
    check_contract(folder)
    assert run_probe("recover_runs", file=config).xcoms["recover"]["recovered"] == []


@pytest.mark.airflow
def test_under_a_replay_killed_runs_are_recovered_though_there_is_nothing_to_settle(
    run_probe, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setenv(f"AIRFLOW_CONN_{CONNECTION.upper()}", "carbon-intensity://127.0.0.1:1/http")
    folder = killed(tmp_path / "artifacts")
    config = write_config(tmp_path)
    assert run_probe("recover_runs", file=config).xcoms["recover"]["recovered"] == [str(folder.record)]
    assert run_probe("settle_runs", file=config, days=2).states == {"settle": "skipped"}
    assert not read_record(folder.record).energy_complete


def test_an_xcom_gives_way_to_the_settled_record_of_the_same_training_only(tmp_path: Path) -> None:
    folder, before = finished(tmp_path, "one")
    assert settled_record(before) == before
    after = settle_run(folder, lambda *_: grid(IntensityKind.ESTIMATED, 150.0), now=NOW).after
    assert settled_record(before) == after
    another = before.model_copy(update={"ledger_sha256": "0" * 64})
    assert settled_record(another) == another
    gone = before.model_copy(update={"ledger_path": str(tmp_path / "gone" / "ledger.jsonl")})
    assert settled_record(gone) == gone
