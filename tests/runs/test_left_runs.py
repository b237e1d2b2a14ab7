"""Killed runs that nobody reads back: the nightly task does, and takes nothing from an attempt that may still follow."""

import os
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from lowtide.config.loader import load_config
from lowtide.config.schema import ReportConfig
from lowtide.errors import ArtifactError, LedgerInUse
from lowtide.io import hold_ledger
from lowtide.records import IncompleteRecord, IntensityKind, Reading, read_record
from lowtide.report.savings import refresh_savings
from lowtide.runs import account as account_files
from lowtide.runs import settlement as settling
from lowtide.runs.context import TrainingRun
from lowtide.runs.folder import RunFolder
from lowtide.runs.maintenance import PAUSED_QUIET, QUIET, recover_left_runs, settle_recent_runs
from lowtide.runs.run import begin
from lowtide.runs.settlement import ActualFigures, settle_run
from lowtide.timeutil import utc_now
from lowtide.tracker.ledger import LedgerWriter

from tests.support.config_files import write_config
from tests.support.history import store
from tests.support.neso import HALF_HOUR, slot_start
from tests.support.runs import booked_rows, check_contract, opening, slot_reading, write_killed_run, write_run

NOW = utc_now()
STARTED = slot_start(NOW) - timedelta(hours=5)
SUBMITTED = STARTED - timedelta(hours=6)
TWO_WEEKS = timedelta(days=14)


def grid(kind: IntensityKind, value: float) -> list[Reading]:
    return [slot_reading(STARTED + (k - 20) * HALF_HOUR, value - k, kind) for k in range(30)]


def left(path: Path, *, quiet: timedelta = 2 * QUIET, **details: object) -> RunFolder:
    """A run of an hour that was killed a while ago."""
    rows = booked_rows(STARTED, grid(IntensityKind.FORECAST, 200.0))
    folder = write_killed_run(path, rows, opening(SUBMITTED, **details))
    quieten(folder, quiet)
    return folder


def quieten(folder: RunFolder, quiet: timedelta) -> None:
    then_s = (utc_now() - quiet).timestamp()
    for path in (folder.ledger, folder.identity):
        if path.exists():
            os.utime(path, (then_s, then_s))


def closed(folder: RunFolder, outcome: str, quiet: timedelta) -> None:
    with LedgerWriter(folder.ledger) as ledger:
        ledger.open_attempt(2, opening(SUBMITTED))
        ledger.close_attempt(outcome)
    quieten(folder, quiet)


def recover(root: Path) -> tuple[list[RunFolder], list[str]]:
    return recover_left_runs(root, now=utc_now())


def run_in(folder: Path, config_folder: Path) -> TrainingRun:
    config = load_config(write_config(config_folder))
    return TrainingRun(config=config, run_id="nightly/2026", folder=RunFolder(folder), submitted_at=SUBMITTED)


def test_a_killed_run_is_recovered_settled_and_counted_without_anybody_asking(tmp_path: Path) -> None:
    folder = left(tmp_path / "runs" / "nightly" / "killed")
    store(tmp_path).add(grid(IntensityKind.ESTIMATED, 150.0), NOW)
    assert [found.path for found in recover(tmp_path)[0]] == [folder.path]
    booked = read_record(folder.record)
    done = settle_recent_runs(tmp_path, store(tmp_path), now=utc_now(), look_back=TWO_WEEKS, settings=ReportConfig())
    assert ([run.folder.path for run in done.settled], done.failures) == ([folder.path], [])
    account = read_record(folder.record)
    assert isinstance(account, IncompleteRecord)
    assert account.intensity_kinds == {IntensityKind.ESTIMATED: 1.0}
    assert account.settlement is not None
    assert account.first_valuation.emissions_gco2eq == booked.emissions_gco2eq > account.emissions_gco2eq
    check_contract(folder)
    savings, _ = refresh_savings(tmp_path, now=utc_now())
    assert savings.left_out == ()
    assert sum(group.total.energy_kwh for group in savings.groups) == pytest.approx(account.energy_kwh.total)
    assert recover(tmp_path)[0] == []


@pytest.mark.parametrize("outcome", ["failed", "stopped"])
def test_a_run_that_failed_for_good_is_recovered_too(tmp_path: Path, outcome: str) -> None:
    folder = left(tmp_path / "runs" / "mine")
    closed(folder, outcome, 2 * QUIET)
    assert [found.path for found in recover(tmp_path)[0]] == [folder.path]


def test_a_replayed_run_is_recovered_by_the_time_on_the_wall(tmp_path: Path) -> None:
    """Its rows lie in another year; when it was last alive is told by its file."""
    replay = {"real_start": NOW.isoformat(), "virtual_start": "2020-01-01T00:00:00Z", "speed": 60.0}
    left(tmp_path / "runs" / "demo", replay=replay)
    assert len(recover(tmp_path)[0]) == 1


def test_a_run_that_may_still_be_alive_is_left_alone(tmp_path: Path) -> None:
    fresh = left(tmp_path / "runs" / "fresh", quiet=timedelta(minutes=50))
    paused = left(tmp_path / "runs" / "paused")
    closed(paused, "paused", 3 * QUIET)
    held = left(tmp_path / "runs" / "held")
    with hold_ledger(held.ledger):
        assert recover(tmp_path) == ([], [])
    assert [found.path for found in recover(tmp_path)[0]] == [held.path]
    assert not any(folder.record.exists() for folder in (fresh, paused))


def test_a_pause_that_never_ended_is_one_day_taken_for_the_end(tmp_path: Path) -> None:
    folder = left(tmp_path / "runs" / "paused")
    closed(folder, "paused", PAUSED_QUIET + timedelta(hours=1))
    assert len(recover(tmp_path)[0]) == 1


def test_a_run_is_recovered_however_long_nobody_has_looked(tmp_path: Path) -> None:
    folder = left(tmp_path / "runs" / "old", quiet=timedelta(days=400))
    assert [found.path for found in recover(tmp_path)[0]] == [folder.path]


def test_of_what_was_set_aside_only_trainings_without_an_end_are_recovered(tmp_path: Path) -> None:
    """A record follows its finished ledger last."""
    forecast = grid(IntensityKind.FORECAST, 200.0)
    whole, _ = write_run(
        tmp_path / "runs" / "mine", booked_rows(STARTED, forecast), submitted_at=SUBMITTED, at_submission=forecast
    )
    other = left(whole.path / "other-1")
    moving = left(whole.path / "finished-1")
    assert [found.path for found in recover(tmp_path)[0]] == [other.path]
    assert not moving.record.exists()


@pytest.mark.parametrize("damage", [{"policy": None}, {"measuring_scope": "weird"}], ids=["opening", "record"])
def test_a_ledger_that_cannot_be_recovered_is_reported_and_the_others_go_on(
    tmp_path: Path, damage: dict[str, object]
) -> None:
    """One without a row or even a line is no run: there is nothing to report."""
    write_killed_run(tmp_path / "runs" / "a", [], opening(SUBMITTED))
    empty = RunFolder(tmp_path / "runs" / "d")
    empty.create()
    empty.ledger.touch()
    with pytest.raises(ArtifactError, match="nothing was measured"):
        account_files.account_of(empty)
    quieten(empty, 2 * QUIET)
    damaged = left(tmp_path / "runs" / "b", **damage)
    good = left(tmp_path / "runs" / "c")
    quieten(RunFolder(tmp_path / "runs" / "a"), 2 * QUIET)
    recovered, failures = recover(tmp_path)
    assert [found.path for found in recovered] == [good.path]
    assert len(failures) == 1
    assert str(damaged.ledger) in failures[0]


def files_of(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Content of all files, and time of the ledger."""
    return {
        path.relative_to(folder).as_posix(): (
            path.read_bytes(),
            path.stat().st_mtime_ns if path.name == "ledger.jsonl" else 0,
        )
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("torn", [b"", b'{"start": "2026-03-02T02:1'], ids=["whole", "torn"])
def test_an_attempt_finds_the_same_whether_its_run_was_recovered_and_settled_or_not(
    tmp_path: Path, torn: bytes
) -> None:
    """Ledger byte for byte and with its time, identity, notes, checkpoints and pauses."""
    run = run_in(tmp_path / "alone" / "runs" / "one", tmp_path / "config")
    training_id = begin(run)
    folder = left(run.folder.path)
    folder.note_attempt({"attempt": 1, "warning": "memory ran out"})
    folder.checkpoints.mkdir()
    (folder.checkpoints / "checkpoint-000001-0.pt").write_bytes(b"x")
    folder.pauses.write_text("{}")
    with folder.ledger.open("ab") as file:
        file.write(torn)
    quieten(folder, 2 * QUIET)
    root = tmp_path / "between"
    settled = RunFolder(shutil.copytree(folder.path, root / "runs" / "one"))
    store(root).add(grid(IntensityKind.ESTIMATED, 150.0), NOW)
    assert len(recover(root)[0]) == 1
    assert settle_run(settled, ActualFigures(now=utc_now(), history=store(root)), now=utc_now()).changed

    held_up_s = []
    for one in (folder, settled):
        assert begin(replace(run, folder=one)) == training_id
        with LedgerWriter(one.ledger) as ledger:
            held_up_s.append(ledger.held_up_s)
    found, expected = files_of(settled.path), files_of(folder.path)
    assert found.pop("intensity.jsonl")[0].startswith(expected.pop("intensity.jsonl")[0])
    assert found == expected
    assert held_up_s[0] == held_up_s[1] > 0


@pytest.fixture
def settlement(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RunFolder]:
    """Another thread holds the ledger briefly, as a settlement does."""
    run = run_in(tmp_path / "runs" / "one", tmp_path / "config")
    begin(run)
    folder = left(run.folder.path)
    held = threading.Event()

    def hold() -> None:
        with hold_ledger(folder.ledger):
            held.set()
            time.sleep(0.3)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(5)
    yield folder
    thread.join()


def test_an_attempt_waits_for_a_settlement_instead_of_failing(settlement: RunFolder, tmp_path: Path) -> None:
    begin(run_in(settlement.path, tmp_path / "config"))
    assert recover(tmp_path) == ([], []), "the attempt has begun, though it has no row yet"


def test_a_settlement_gives_way_to_an_attempt_that_began_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between reading the account and taking the ledger: rows settled now would be in a ledger that is appended to."""
    run = run_in(tmp_path / "runs" / "one", tmp_path / "config")
    begin(run)
    folder = left(run.folder.path)
    first, intensities = folder.ledger.read_bytes(), folder.intensity.read_bytes()

    def held_a_little_late(path: Path):  # type: ignore[no-untyped-def]
        begin(run)
        return hold_ledger(path)

    monkeypatch.setattr(settling, "hold_ledger", held_a_little_late)
    with pytest.raises(ArtifactError, match="another process has just changed this run's account"):
        settle_run(folder, lambda *_: grid(IntensityKind.ESTIMATED, 150.0), now=NOW)
    assert folder.ledger.read_bytes() == first
    assert not folder.record.exists()
    assert folder.intensity.read_bytes() == intensities


def test_nobody_waits_for_a_ledger_while_the_grid_is_asked(tmp_path: Path) -> None:
    folder = left(tmp_path / "runs" / "one")

    def slow_provider(*_: object) -> list[Reading]:
        with hold_ledger(folder.ledger):  # free
            return grid(IntensityKind.ESTIMATED, 150.0)

    assert settle_run(folder, slow_provider, now=NOW).changed


def test_the_ledger_is_held_until_its_record_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else an attempt that waits for it begins between the two, and finds the settlement's record when it has its first row."""
    folder = left(tmp_path / "runs" / "one")
    recover(tmp_path)
    refusals = []
    write = account_files.write_atomically

    def checked(path: Path, text: str) -> Path:
        with pytest.raises(LedgerInUse) as refused, hold_ledger(folder.ledger):
            pass
        refusals.append((path.name, str(refused.value)))
        return write(path, text)

    monkeypatch.setattr(account_files, "write_atomically", checked)
    assert settle_run(folder, lambda *_: grid(IntensityKind.ESTIMATED, 150.0), now=NOW).changed
    assert [name for name, _ in refusals] == ["emissions.csv", "record.json"]
    assert all("another process writes to this ledger" in sentence for _, sentence in refusals)
    with hold_ledger(folder.ledger):
        assert read_record(folder.record).settlement is not None
