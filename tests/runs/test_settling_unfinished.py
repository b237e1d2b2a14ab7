"""A run that was killed, recovered and settled: what its account says, and what an attempt that resumes makes of it."""

import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from lowtide.config.loader import load_config
from lowtide.errors import ArtifactError, MeasurementError
from lowtide.records import IncompleteRecord, IntensityKind, load_record, read_record
from lowtide.runs.account import account_of
from lowtide.runs.context import TrainingRun
from lowtide.runs.folder import RunFolder
from lowtide.runs.run import begin, new_training_id, resumable, unfinished
from lowtide.runs.settlement import settle_run
from lowtide.tracker.emissions import counterfactual
from lowtide.tracker.ledger import LedgerWriter, read_ledger

from tests.support.config_files import write_config
from tests.support.night_runs import ACTUAL, FORECAST, NOW, STARTED, SUBMITTED, actuals, finished
from tests.support.runs import booked_rows, check_contract, date_events, opening, write_intensities, write_killed_run


@pytest.mark.parametrize("torn", [b"", b'{"start": "2026-03-02T02:1'], ids=["whole", "torn"])
def test_a_killed_run_is_recovered_says_what_is_missing_and_settles(tmp_path: Path, torn: bytes) -> None:
    folder = write_killed_run(tmp_path, booked_rows(STARTED, FORECAST), opening(SUBMITTED))
    for path in (folder.ledger, folder.intensity):
        with path.open("ab") as file:
            file.write(torn)
    account = account_of(folder)
    assert isinstance(account, IncompleteRecord)
    check_contract(folder)
    assert any("attempt 1 was not closed" in problem for problem in account.problems)
    assert any("were moved to ledger.jsonl.torn" in problem for problem in account.problems) is bool(torn)
    assert account.uncertainty is not None
    done = settle_run(folder, actuals, now=NOW)
    check_contract(folder)
    assert done.after.intensity_kinds == {IntensityKind.ESTIMATED: 1.0}
    assert read_record(folder.record) == done.after
    with pytest.raises(ArtifactError, match="did not finish"):
        load_record(folder.path)


def test_a_ledger_without_any_energy_is_an_error_not_a_record_of_zero(tmp_path: Path) -> None:
    """The meter was broken: 0 g would be a claim."""
    nothing = {"cpu_energy_kwh": 0.0, "gpu_energy_kwh": 0.0, "ram_energy_kwh": 0.0, "emissions_gco2eq": 0.0}
    rows = [replace(row, **nothing) for row in booked_rows(STARTED, FORECAST)]  # type: ignore[arg-type]  # figures by name
    folder = write_killed_run(tmp_path, rows, opening(SUBMITTED))
    with pytest.raises(MeasurementError, match="counted nothing in the whole run"):
        account_of(folder)
    assert not folder.record.exists()


def training_in(path: Path, config_folder: Path) -> TrainingRun:
    config = load_config(write_config(config_folder))
    return TrainingRun(config=config, run_id="nightly/2026", folder=RunFolder(path), submitted_at=SUBMITTED)


def test_a_run_that_resumes_after_it_was_recovered_and_settled_keeps_its_facts(tmp_path: Path) -> None:
    """Whatever an auditor did in between: it is the same training, and only what is derived goes."""
    run = training_in(tmp_path / "run", tmp_path / "config")
    training_id = begin(run)
    folder = write_killed_run(run.folder.path, booked_rows(STARTED, FORECAST), opening(SUBMITTED))
    settle_run(folder, actuals, now=NOW)
    facts = folder.ledger.read_bytes(), folder.intensity.read_bytes()
    assert folder.record.exists()
    earlier = unfinished(folder)
    assert earlier is not None
    assert earlier.training_id == training_id
    assert resumable(folder, run.config.values) is not None
    assert begin(run) == training_id
    assert not folder.record.exists()
    assert not folder.emissions.exists()
    assert (folder.ledger.read_bytes(), folder.intensity.read_bytes()) == facts


def test_a_settlement_before_a_run_resumed_is_a_part_of_what_was_known_when_it_ended(tmp_path: Path) -> None:
    """Recovered, settled, resumed, ended, settled: the first attempt's actual figures were known at the end of the second."""
    run = training_in(tmp_path / "run", tmp_path / "config")
    begin(run)
    folder = write_killed_run(run.folder.path, booked_rows(STARTED, FORECAST), opening(SUBMITTED))
    settled = settle_run(folder, actuals, now=STARTED + timedelta(hours=1, minutes=30)).after
    begin(run)
    later = [replace(row, attempt=2) for row in booked_rows(STARTED + timedelta(hours=2), FORECAST)]
    with LedgerWriter(folder.ledger) as ledger:
        ledger.open_attempt(2, opening(SUBMITTED))
        ledger.append(later)
        ledger.close_attempt("finished")
    date_events(folder.ledger)
    write_intensities(folder, later)
    whole = account_of(folder)
    check_contract(folder)
    known = settled.emissions_gco2eq + sum(row.emissions_gco2eq for row in later)
    assert whole.settlement is None
    assert whole.emissions_gco2eq == whole.first_valuation.emissions_gco2eq == pytest.approx(known, rel=1e-9)
    after = settle_run(folder, actuals, now=NOW + timedelta(days=1)).after
    check_contract(folder)
    assert after.settlement is not None
    assert after.first_valuation == whole.first_valuation
    assert after.intensity_kinds == {IntensityKind.ESTIMATED: 1.0}


def test_settling_leaves_the_time_at_which_a_killed_run_was_last_alive(tmp_path: Path) -> None:
    folder = write_killed_run(tmp_path, booked_rows(STARTED, FORECAST), opening(SUBMITTED))
    os.utime(folder.ledger, (1_000, 1_000))
    settle_run(folder, actuals, now=NOW)
    assert folder.ledger.stat().st_mtime == 1_000


def test_the_account_of_another_training_is_set_aside_with_it(tmp_path: Path) -> None:
    run = training_in(tmp_path / "run", tmp_path / "config")
    begin(run)
    folder = write_killed_run(run.folder.path, booked_rows(STARTED, FORECAST), opening(SUBMITTED))
    account = account_of(folder)
    begin(replace(run, training_id=new_training_id()))
    assert not folder.record.exists()
    assert read_record(RunFolder(folder.path / "other-1").record) == account


def test_the_facts_and_the_account_of_a_finished_run_are_set_aside_together(tmp_path: Path) -> None:
    folder, _ = finished(tmp_path / "run")
    settle_run(folder, actuals, now=NOW)
    begin(training_in(folder.path, tmp_path / "config"))
    assert sorted(path.name for path in folder.path.iterdir()) == ["finished-1", "identity.json"]
    aside = RunFolder(folder.path / "finished-1")
    assert aside.intensity.exists()
    assert aside.emissions.exists()
    load_record(aside.path)


def test_a_paused_run_is_settled_against_one_that_would_not_have_paused(tmp_path: Path) -> None:
    """At submission it would have run in one piece: the time between two attempts is left out, as at its first valuation."""
    policies = {"threshold": False, "interruptible": True}
    found = {}
    for policy, in_one_piece in policies.items():
        rows = booked_rows(STARTED, FORECAST, minutes=30)
        later = booked_rows(STARTED + timedelta(hours=3), FORECAST, minutes=30)
        rows += [replace(row, attempt=2) for row in later]
        folder = write_killed_run(tmp_path / policy, rows, opening(SUBMITTED, policy=policy))
        done = settle_run(folder, lambda *_: ACTUAL, now=NOW)
        settled = read_ledger(folder.ledger).rows
        expected = counterfactual(settled, SUBMITTED, ACTUAL, pue=1.0, in_one_piece=in_one_piece)
        assert done.after.counterfactual is not None
        assert expected is not None
        found[policy] = done.after.counterfactual.emissions_gco2eq
        assert found[policy] == pytest.approx(expected.emissions_gco2eq, rel=1e-9)
    assert found["interruptible"] > found["threshold"]
