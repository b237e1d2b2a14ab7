"""A run that was killed, read back and settled: what its account says, and what an attempt that goes on makes of it."""

import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from lowtide.config.loader import load_config
from lowtide.errors import ArtifactError
from lowtide.records import IncompleteRecord, IntensityKind
from lowtide.report.files import load_record
from lowtide.runs.account import account_of, load_account
from lowtide.runs.context import TrainingRun
from lowtide.runs.folder import RunFolder
from lowtide.runs.run import begin, goes_on, new_training_id, unfinished
from lowtide.runs.settlement import settle_run
from lowtide.tracker.emissions import counterfactual
from lowtide.tracker.ledger import LedgerWriter, read_ledger

from tests.support.config_files import write_config
from tests.support.night_runs import ACTUAL, FORECAST, NOW, STARTED, SUBMITTED, actuals, finished
from tests.support.runs import booked_rows, check_contract, opening, write_killed_run


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
