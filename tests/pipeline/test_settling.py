"""A run's folder before and after its actual figures arrive, after a kill, and after a kill of the settlement itself."""

import json
import multiprocessing
import os
import signal
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from include.config import ReportConfig, load_config
from include.errors import ArtifactError
from include.files import sha256_of
from include.pipeline import RunFolder, TrainingRun, goes_on, new_training_id, settle_run, unfinished
from include.pipeline.accounts import files as account_files
from include.pipeline.accounts.files import load_account
from include.pipeline.accounts.reading_back import account_of
from include.pipeline.running.beginning import begin
from include.records import IncompleteRecord, IntensityKind, Reading, TrainingRecord
from include.report import compare_runs, load_record
from include.tracker import LedgerWriter, counterfactual, read_ledger
from tests.support.config_files import write_config
from tests.support.runs import booked_rows, check_contract, opening, slot_reading, write_killed_run, write_run

SUBMITTED = datetime(2026, 3, 1, 20, 0, tzinfo=UTC)
STARTED = datetime(2026, 3, 2, 1, 10, tzinfo=UTC)
NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
HALF_HOUR = timedelta(minutes=30)


def grid(kind: IntensityKind, offset: float = 0.0) -> list[Reading]:
    """Half-hours from submission on: dirty in the evening, clean at night."""
    start = SUBMITTED - HALF_HOUR
    return [slot_reading(start + k * HALF_HOUR, 260 - 8 * k + offset, kind) for k in range(20)]


FORECAST = grid(IntensityKind.FORECAST, 20.0)
ACTUAL = grid(IntensityKind.ESTIMATED)


def actuals(start: datetime, end: datetime) -> Sequence[Reading]:
    return [reading for reading in ACTUAL if reading.start < end and reading.end > start]


def finished(path: Path, pue: float = 1.2) -> tuple[RunFolder, TrainingRecord]:
    rows = booked_rows(STARTED, FORECAST, pue=pue)
    return write_run(path, rows, submitted_at=SUBMITTED, at_submission=FORECAST, pue=pue)


def test_what_was_booked_at_forecasts_is_booked_at_what_came_and_both_are_kept(tmp_path: Path) -> None:
    """Every half-hour came out 20 g/kWh lower than forecast."""
    folder, before = finished(tmp_path)
    first_ledger, first_record = folder.ledger.read_bytes(), folder.record.read_bytes()
    done = settle_run(folder, actuals, now=NOW)
    after = load_record(folder.path)
    check_contract(folder)
    assert (done.changed, done.after, done.unsettled_energy_share) == (True, after, 0)
    assert after.intensity_kinds == {IntensityKind.ESTIMATED: 1.0}
    difference = before.energy_kwh.total * 1.2 * 20
    assert before.emissions_gco2eq - after.emissions_gco2eq == pytest.approx(difference, rel=1e-9)
    assert after.settlement is not None
    first = after.settlement.first_booked
    assert (first.emissions_gco2eq, first.intensity_kinds) == (before.emissions_gco2eq, before.intensity_kinds)
    assert (folder.booked / "ledger.jsonl").read_bytes() == first_ledger
    assert (folder.booked / "record.json").read_bytes() == first_record
    assert first.ledger_sha256 == before.ledger_sha256 == sha256_of(Path(first.ledger_path))
    booked = [row.booked_emissions_gco2eq for row in read_ledger(folder.ledger).rows]
    assert sum(g for g in booked if g is not None) == pytest.approx(before.emissions_gco2eq, rel=1e-9)
    assert after.settlement.readings_sha256 == sha256_of(Path(after.settlement.readings_path))


def test_the_counterfactual_the_score_and_the_uncertainty_follow(tmp_path: Path) -> None:
    folder, before = finished(tmp_path)
    after = settle_run(folder, actuals, now=NOW).after
    assert before.counterfactual is not None
    assert after.counterfactual is not None
    drop = before.counterfactual.emissions_gco2eq - after.counterfactual.emissions_gco2eq
    assert drop == pytest.approx(before.energy_kwh.total * 1.2 * 20, rel=1e-9)
    assert after.counterfactual.intensity_kinds == {IntensityKind.ESTIMATED: 1.0}
    assert sha256_of(Path(after.counterfactual.readings_path or "")) == after.counterfactual.readings_sha256
    assert after.sci is not None
    assert after.sci.gco2eq_per_unit == pytest.approx((after.emissions_gco2eq + 12.5) / 3)
    assert before.uncertainty is not None
    assert after.uncertainty is not None
    before_width = before.uncertainty.emissions_high_gco2eq / before.emissions_gco2eq
    assert after.uncertainty.emissions_high_gco2eq / after.emissions_gco2eq < before_width


def test_a_report_that_was_withheld_may_claim_once_the_figures_are_in(tmp_path: Path) -> None:
    folder, before = finished(tmp_path)

    def status(record: TrainingRecord) -> str:
        return compare_runs(record, record, settings=ReportConfig(), now=NOW).headline.status

    assert status(before) == "withheld"
    settle_run(folder, actuals, now=NOW)
    assert status(load_record(folder.path)) == "claimed"


def test_settling_again_changes_nothing_until_a_figure_is_revised(tmp_path: Path) -> None:
    folder, before = finished(tmp_path)
    settle_run(folder, actuals, now=NOW)
    files = {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}
    assert settle_run(folder, actuals, now=NOW + timedelta(days=1)).changed is False
    assert {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()} == files
    revised = grid(IntensityKind.MEASURED, -30.0)
    done = settle_run(folder, lambda *_: revised, now=NOW + timedelta(days=2))
    check_contract(folder)
    assert done.after.settlement is not None
    assert done.after.settlement.first_booked.emissions_gco2eq == before.emissions_gco2eq
    assert done.after.settlement.settled_at == NOW + timedelta(days=2)


def test_half_of_the_figures_settle_half_of_the_run(tmp_path: Path) -> None:
    """The run went on past 02:00; the actual of the last half-hours is not in, or the interval still runs."""
    folder, _ = finished(tmp_path)
    done = settle_run(folder, lambda *_: ACTUAL, now=datetime(2026, 3, 2, 1, 45, tzinfo=UTC))
    check_contract(folder)
    assert done.unsettled_energy_share == pytest.approx(40 / 60, rel=1e-9)
    assert set(done.after.intensity_kinds) == {IntensityKind.ESTIMATED, IntensityKind.FORECAST}


def test_a_run_without_any_new_figure_is_left_alone(tmp_path: Path) -> None:
    folder, before = finished(tmp_path)
    done = settle_run(folder, lambda *_: (), now=NOW)
    assert (done.changed, done.after) == (False, before)
    assert not folder.booked.exists()


@pytest.mark.parametrize("torn", [b"", b'{"start": "2026-03-02T02:1'], ids=["whole", "torn"])
def test_a_killed_run_is_read_back_says_what_is_missing_and_settles(tmp_path: Path, torn: bytes) -> None:
    folder = write_killed_run(tmp_path, booked_rows(STARTED, FORECAST), opening(SUBMITTED))
    with folder.ledger.open("ab") as file:
        file.write(torn)
    account = account_of(folder)
    assert isinstance(account, IncompleteRecord)
    check_contract(folder)
    assert any("attempt 1 was not closed" in problem for problem in account.problems)
    assert any("moved to ledger.jsonl.torn" in problem for problem in account.problems) is bool(torn)
    assert account.uncertainty is not None
    done = settle_run(folder, actuals, now=NOW)
    check_contract(folder)
    assert done.after.intensity_kinds == {IntensityKind.ESTIMATED: 1.0}
    assert load_account(folder) == done.after
    with pytest.raises(ArtifactError, match="did not finish"):
        load_record(folder.path)


def training_in(path: Path, config_folder: Path) -> TrainingRun:
    config = load_config(write_config(config_folder))
    return TrainingRun(config=config, run_id="nightly/2026", folder=RunFolder(path), submitted_at=SUBMITTED)


def test_a_run_that_goes_on_after_it_was_read_back_and_settled_keeps_its_ledger(tmp_path: Path) -> None:
    """Whatever an auditor did in between: it is the same training, and its own first booking is still to come."""
    run = training_in(tmp_path / "run", tmp_path / "config")
    training_id = begin(run)
    folder = write_killed_run(run.folder.path, booked_rows(STARTED, FORECAST), opening(SUBMITTED))
    first = folder.ledger.read_bytes()
    settle_run(folder, actuals, now=NOW)
    assert folder.record.exists()
    settled = folder.ledger.read_bytes()
    earlier = unfinished(folder)
    assert earlier is not None
    assert earlier.training_id == training_id
    goes = goes_on(folder, run.config.values)
    assert goes is not None
    assert begin(run) == training_id
    assert not folder.record.exists()
    assert folder.ledger.read_bytes() == first != settled, "a record that is not settled has no rows that are"
    stamp = "20260304T120000Z.jsonl"
    names = [path.name for path in folder.settled_files()]
    assert names == ["booked-1", f"settled_readings-{stamp}", f"submission_readings-{stamp}"]
    aside = {path.name: path.read_bytes() for path in (folder.path / "booked-1").iterdir()}
    assert sorted(aside) == ["ledger.jsonl", "record.json", "settled-ledger.jsonl", "settled-record.json"]
    assert aside["settled-ledger.jsonl"] == settled


def test_what_is_settled_after_a_run_went_on_was_all_first_booked_as_its_record_said(tmp_path: Path) -> None:
    """Read back, settled, gone on with, finished, settled: the first booking is the finished run's, not a mixture."""
    run = training_in(tmp_path / "run", tmp_path / "config")
    begin(run)
    folder = write_killed_run(run.folder.path, booked_rows(STARTED, FORECAST), opening(SUBMITTED))
    first = account_of(folder)
    settle_run(folder, actuals, now=NOW)
    begin(run)
    later = [replace(row, attempt=2) for row in booked_rows(STARTED + timedelta(hours=2), FORECAST)]
    with LedgerWriter(folder.ledger) as ledger:
        ledger.open_attempt(2, opening(SUBMITTED))
        ledger.append(later)
        ledger.close_attempt("finished")
    whole = account_of(folder)
    booked = first.emissions_gco2eq + sum(row.emissions_gco2eq for row in later)
    assert whole.settlement is None
    assert whole.emissions_gco2eq == pytest.approx(booked, rel=1e-9)
    after = settle_run(folder, actuals, now=NOW + timedelta(days=1)).after
    check_contract(folder)
    assert after.settlement is not None
    assert after.settlement.first_booked.emissions_gco2eq == pytest.approx(booked, rel=1e-9)
    assert after.settlement.first_booked.ledger_sha256 == whole.ledger_sha256
    assert sum(row.booked_emissions_gco2eq or 0.0 for row in read_ledger(folder.ledger).rows) == pytest.approx(booked)


def test_a_first_booking_that_another_account_left_is_not_taken_for_this_ones(tmp_path: Path) -> None:
    folder, before = finished(tmp_path)
    folder.booked.mkdir()
    for name in ("ledger.jsonl", "record.json"):
        (folder.booked / name).write_text("{}\n")
    after = settle_run(folder, actuals, now=NOW).after
    assert after.settlement is not None
    assert after.settlement.first_booked.ledger_sha256 == before.ledger_sha256
    assert sha256_of(folder.booked / "ledger.jsonl") == before.ledger_sha256
    assert (folder.path / "booked-1" / "ledger.jsonl").read_text() == "{}\n"


def test_a_reader_leaves_a_settlement_that_is_at_work_alone(tmp_path: Path) -> None:
    """An export during the nightly settlement: it took the intent away, so that a kill just then was never mended."""
    folder, _ = finished(tmp_path)
    folder.settling.write_text("{}")
    with LedgerWriter(folder.ledger), pytest.raises(ArtifactError, match="another process writes"):
        account_of(folder)
    assert folder.settling.exists()


def test_settling_leaves_the_time_at_which_a_killed_run_was_last_alive(tmp_path: Path) -> None:
    folder = write_killed_run(tmp_path, booked_rows(STARTED, FORECAST), opening(SUBMITTED))
    os.utime(folder.ledger, (1_000, 1_000))
    settle_run(folder, actuals, now=NOW)
    assert folder.ledger.stat().st_mtime == 1_000


def test_what_was_read_back_of_another_training_is_set_aside_with_it(tmp_path: Path) -> None:
    run = training_in(tmp_path / "run", tmp_path / "config")
    begin(run)
    folder = write_killed_run(run.folder.path, booked_rows(STARTED, FORECAST), opening(SUBMITTED))
    account = account_of(folder)
    begin(replace(run, training_id=new_training_id()))
    assert not folder.record.exists()
    assert load_account(RunFolder(folder.path / "other-1")) == account


def test_what_a_finished_run_left_of_its_settlement_goes_with_it(tmp_path: Path) -> None:
    folder, _ = finished(tmp_path / "run")
    settle_run(folder, actuals, now=NOW)
    begin(training_in(folder.path, tmp_path / "config"))
    assert (folder.path / "finished-1" / "booked" / "ledger.jsonl").exists()
    assert sorted(path.name for path in folder.path.iterdir()) == ["finished-1", "identity.json"]
    load_record(folder.path / "finished-1")


def test_a_paused_run_is_settled_against_one_that_would_not_have_paused(tmp_path: Path) -> None:
    """At submission it would have run in one piece: what lies between two attempts is left out, as when it was booked."""
    policies = {"threshold": False, "interruptible": True}
    found = {}
    for policy, in_one_piece in policies.items():
        rows = booked_rows(STARTED, FORECAST, minutes=30)
        later = booked_rows(STARTED + timedelta(hours=3), FORECAST, minutes=30)
        rows += [replace(row, attempt=2) for row in later]
        folder = write_killed_run(tmp_path / policy, rows, opening(SUBMITTED, policy=policy))
        done = settle_run(folder, lambda *_: ACTUAL, now=NOW)
        settled = read_ledger(folder.ledger).rows
        expected = counterfactual(settled, SUBMITTED, ACTUAL, in_one_piece=in_one_piece)
        assert done.after.counterfactual is not None
        assert expected is not None
        found[policy] = done.after.counterfactual.emissions_gco2eq
        assert found[policy] == pytest.approx(expected.emissions_gco2eq, rel=1e-9)
    assert found["interruptible"] > found["threshold"]


def test_a_run_that_still_goes_on_is_not_settled(tmp_path: Path) -> None:
    folder, _ = finished(tmp_path)
    with LedgerWriter(folder.ledger), pytest.raises(ArtifactError, match="another process writes"):
        settle_run(folder, actuals, now=NOW)


@pytest.mark.parametrize("changed", ["ledger", "readings"])
def test_files_that_were_touched_are_refused(tmp_path: Path, changed: str) -> None:
    folder, _ = finished(tmp_path)
    path = folder.ledger if changed == "ledger" else folder.submission_readings
    path.write_text(path.read_text().replace("20:00:00Z", "20:00:01Z").replace('"attempt": 1', '"attempt": 2') + "x")
    with pytest.raises(ArtifactError, match=path.name):
        settle_run(folder, actuals, now=NOW)


def killed_in_settlement(path: Path, after: int) -> None:
    """Settle in this process, and die by SIGKILL after so many atomic writes."""
    writes = [0]

    def count_down(original):  # type: ignore[no-untyped-def]
        def write(*arguments, **named):  # type: ignore[no-untyped-def]
            if writes[0] == after:
                os.kill(os.getpid(), signal.SIGKILL)
            writes[0] += 1
            return original(*arguments, **named)

        return write

    from include.pipeline.settling import run as settling

    for module in (account_files, settling):
        for name in ("write_atomically", "write_json_atomically", "write_bytes_atomically"):
            if hasattr(module, name):
                setattr(module, name, count_down(getattr(module, name)))
    settle_run(RunFolder(path), actuals, now=NOW)


@pytest.mark.parametrize("after", range(7))
def test_a_settlement_killed_between_any_two_writes_is_finished_or_done_again(tmp_path: Path, after: int) -> None:
    """Two copies of what was booked, two files of readings, then intent, ledger, record."""
    folder, before = finished(tmp_path / "killed")
    other, _ = finished(tmp_path / "whole")
    child = multiprocessing.get_context("fork").Process(target=killed_in_settlement, args=(folder.path, after))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    account = load_account(folder)
    check_contract(folder)
    assert (account == before) is (after <= 5)
    settle_run(folder, actuals, now=NOW)
    check_contract(folder)
    whole = settle_run(other, actuals, now=NOW).after
    assert load_account(folder).emissions_gco2eq == whole.emissions_gco2eq
    assert json.loads((folder.booked / "record.json").read_text())["emissions_gco2eq"] == before.emissions_gco2eq
    assert not (folder.path / "settling.json").exists()
