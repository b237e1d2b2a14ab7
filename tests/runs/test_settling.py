"""A finished run's folder before and after its actual figures arrive, and after a kill of the settlement itself."""

import multiprocessing
import os
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from lowtide.config.schema import ReportConfig
from lowtide.errors import ArtifactError
from lowtide.io import sha256_of
from lowtide.records import IntensityKind, TrainingRecord, load_record, read_record
from lowtide.runs import account as account_module
from lowtide.runs.account import account_of, derive
from lowtide.runs.folder import RunFolder
from lowtide.runs.settlement import ActualFigures, settle_run
from lowtide.tracker import ledger as ledger_module
from lowtide.tracker.ledger import LedgerWriter

from tests.support.comparisons import compare_one
from tests.support.history import store
from tests.support.night_runs import ACTUAL, NOW, actuals, finished, grid
from tests.support.runs import check_contract


def test_energy_valued_at_forecasts_is_valued_at_what_came_and_both_are_kept(tmp_path: Path) -> None:
    """Every half-hour came out 20 g/kWh lower than forecast."""
    folder, before = finished(tmp_path)
    ledger, intensities = folder.ledger.read_bytes(), folder.intensity.read_bytes()
    done = settle_run(folder, actuals, now=NOW)
    after = load_record(folder.path)
    check_contract(folder)
    assert (done.changed, done.after, done.unsettled_energy_share) == (True, after, 0)
    assert after.intensity_kinds == {IntensityKind.ESTIMATED: 1.0}
    difference = before.energy_kwh.total * 1.2 * 20
    assert before.emissions_gco2eq - after.emissions_gco2eq == pytest.approx(difference, rel=1e-9)
    assert after.settlement is not None
    assert (after.settlement.settled_at, after.settlement.sources) == (NOW, ("neso",))
    assert after.first_valuation == before.first_valuation
    assert after.first_valuation.emissions_gco2eq == before.emissions_gco2eq
    assert folder.ledger.read_bytes() == ledger, "the ledger holds energy, and that has not changed"
    assert folder.intensity.read_bytes().startswith(intensities), "what was known first is still there"


def test_the_counterfactual_the_score_and_the_uncertainty_follow(tmp_path: Path) -> None:
    folder, before = finished(tmp_path)
    after = settle_run(folder, actuals, now=NOW).after
    assert before.counterfactual is not None
    assert after.counterfactual is not None
    drop = before.counterfactual.emissions_gco2eq - after.counterfactual.emissions_gco2eq
    assert drop == pytest.approx(before.energy_kwh.total * 1.2 * 20, rel=1e-9)
    assert after.counterfactual.intensity_kinds == {IntensityKind.ESTIMATED: 1.0}
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
        return compare_one(baseline, record, settings=ReportConfig(), now=NOW).headline.status

    assert status(before) == "withheld"
    settle_run(folder, actuals, now=NOW)
    assert status(load_record(folder.path)) == "claimed"


def files(folder: RunFolder) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}


def test_settling_again_changes_nothing_until_a_figure_is_revised(tmp_path: Path) -> None:
    folder, before = finished(tmp_path)
    settle_run(folder, actuals, now=NOW)
    settled = files(folder)
    assert settle_run(folder, actuals, now=NOW + timedelta(days=1)).changed is False
    assert files(folder) == settled
    revised = grid(IntensityKind.MEASURED, -30.0)
    done = settle_run(folder, lambda *_: revised, now=NOW + timedelta(days=2))
    check_contract(folder)
    assert done.after.settlement is not None
    assert done.after.first_valuation.emissions_gco2eq == before.emissions_gco2eq
    assert done.after.settlement.settled_at == NOW + timedelta(days=2)


def test_an_estimate_that_comes_after_the_measured_figure_changes_nothing(tmp_path: Path) -> None:
    folder, _ = finished(tmp_path)
    settle_run(folder, lambda *_: grid(IntensityKind.MEASURED, -30.0), now=NOW)
    settled = files(folder)
    assert settle_run(folder, actuals, now=NOW + timedelta(days=1)).changed is False
    assert files(folder) == settled


def test_half_of_the_figures_settle_half_of_the_run(tmp_path: Path) -> None:
    """The run ended after 02:00; the actual figures of the last half-hours are missing, or the interval has not ended."""
    folder, _ = finished(tmp_path / "run")
    now = datetime(2026, 3, 2, 1, 45, tzinfo=UTC)
    store(tmp_path).add(ACTUAL, NOW)
    done = settle_run(folder, ActualFigures(now=now, history=store(tmp_path)), now=now)
    check_contract(folder)
    assert done.unsettled_energy_share == pytest.approx(40 / 60, rel=1e-9)
    assert set(done.after.intensity_kinds) == {IntensityKind.ESTIMATED, IntensityKind.FORECAST}


def test_a_run_without_any_new_figure_is_left_alone(tmp_path: Path) -> None:
    folder, before = finished(tmp_path)
    kept = files(folder)
    done = settle_run(folder, lambda *_: (), now=NOW)
    assert (done.changed, done.after) == (False, before)
    assert files(folder) == kept


def test_a_run_whose_account_was_lost_with_its_table_is_derived_again(tmp_path: Path) -> None:
    folder, before = finished(tmp_path)
    table = folder.emissions.read_bytes()
    folder.emissions.unlink()
    assert derive(folder) == before
    assert folder.emissions.read_bytes() == table


def test_a_run_that_is_still_running_is_not_settled(tmp_path: Path) -> None:
    folder, _ = finished(tmp_path)
    kept = files(folder)
    with LedgerWriter(folder.ledger), pytest.raises(ArtifactError, match="another process writes"):
        settle_run(folder, actuals, now=NOW)
    assert files(folder) == kept


def test_a_ledger_that_was_touched_is_refused(tmp_path: Path) -> None:
    folder, _ = finished(tmp_path)
    folder.ledger.write_text(folder.ledger.read_text().replace('"attempt": 1', '"attempt": 2'))
    with pytest.raises(ArtifactError, match=r"ledger\.jsonl"):
        settle_run(folder, actuals, now=NOW)


def test_an_account_is_derived_from_a_ledger_cut_at_any_byte(tmp_path: Path) -> None:
    """As a kill leaves it: of the rows that are whole, each has its energy and its intensity, and what is missing is said."""
    folder, _ = finished(tmp_path / "whole")
    ledger, intensities = folder.ledger.read_bytes(), folder.intensity.read_bytes()
    first_row = ledger.index(b"\n", ledger.index(b'"start"')) + 1
    for cut in (*range(first_row, first_row + 300), *range(first_row + 300, len(ledger), 97)):
        killed = RunFolder(tmp_path / "cut")
        killed.create()
        for path in (killed.record, killed.emissions, killed.ledger.with_name("ledger.jsonl.torn")):
            path.unlink(missing_ok=True)
        killed.ledger.write_bytes(ledger[:cut])
        killed.intensity.write_bytes(intensities)
        account = account_of(killed)
        assert account.energy_kwh.total > 0
        assert account.problems, cut
        check_contract(killed)
        assert account_of(killed) == account


def test_an_account_is_derived_from_intensities_cut_at_any_byte(tmp_path: Path) -> None:
    folder, before = finished(tmp_path)
    intensities = folder.intensity.read_bytes()
    for cut in range(0, len(intensities), 7):
        folder.intensity.write_bytes(intensities[:cut])
        account = settle_run(folder, lambda *_: (), now=NOW).after
        check_contract(folder)
        assert account.energy_kwh == before.energy_kwh
        assert account.unvalued_energy_kwh <= account.energy_kwh.total
        is_partly_unvalued = account.unvalued_energy_kwh > 0
        assert any("is in no emissions" in problem for problem in account.problems) == is_partly_unvalued, cut
        assert (account.sci is None) == is_partly_unvalued, cut
    folder.intensity.write_bytes(intensities)
    assert derive(folder) == before


def killed_in_settlement(path: Path, after: int) -> None:
    """Settle in this process, and die by SIGKILL after so many writes of a file."""
    writes = [0]

    def count_down(original):  # type: ignore[no-untyped-def]
        def write(*arguments, **named):  # type: ignore[no-untyped-def]
            if writes[0] == after:
                os.kill(os.getpid(), signal.SIGKILL)
            writes[0] += 1
            return original(*arguments, **named)

        return write

    for module, name in ((account_module, "write_atomically"), (ledger_module, "append_durably")):
        setattr(module, name, count_down(getattr(module, name)))
    settle_run(RunFolder(path), actuals, now=NOW)


@pytest.mark.parametrize("after", range(3))
def test_a_settlement_killed_between_any_two_writes_is_done_again(tmp_path: Path, after: int) -> None:
    """It writes intensities, table, record; the account that is left is the first one, and the next settlement completes it."""
    folder, before = finished(tmp_path / "killed")
    other, _ = finished(tmp_path / "whole")
    child = multiprocessing.get_context("fork").Process(target=killed_in_settlement, args=(folder.path, after))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert read_record(folder.record) == before
    settle_run(folder, actuals, now=NOW)
    check_contract(folder)
    whole = settle_run(other, actuals, now=NOW).after
    found = read_record(folder.record)
    assert found.model_copy(update={"ledger_path": whole.ledger_path}) == whole
    assert folder.emissions.read_bytes() == other.emissions.read_bytes()
    assert found.ledger_sha256 == sha256_of(folder.ledger)
