"""A finished run's folder before and after its actual figures arrive, and after a kill of the settlement itself."""

import json
import multiprocessing
import os
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from lowtide.config.schema import ReportConfig
from lowtide.errors import ArtifactError
from lowtide.io import sha256_of
from lowtide.records import IntensityKind, TrainingRecord
from lowtide.report.compare import compare_runs
from lowtide.report.files import load_record
from lowtide.runs import account as account_files
from lowtide.runs.account import account_of, load_account
from lowtide.runs.folder import RunFolder
from lowtide.runs.settlement import settle_run
from lowtide.tracker.ledger import LedgerWriter, read_ledger

from tests.support.night_runs import ACTUAL, NOW, actuals, finished, grid
from tests.support.runs import check_contract


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
        baseline = record.model_copy(update={"ledger_sha256": "a" * 64})  # another training with the same figures
        return compare_runs(baseline, record, settings=ReportConfig(), now=NOW).headline.status

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

    from lowtide.runs import settlement as settling

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
