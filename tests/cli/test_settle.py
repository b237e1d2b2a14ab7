"""`lowtide settle` as a user runs it, against a NESO on loopback and against a stored history."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from lowtide.config.loader import PROJECT_ROOT
from lowtide.records import IntensityKind, Reading, TrainingRecord
from lowtide.runs.folder import RunFolder
from lowtide.timeutil import utc_now

from tests.support.command_line import LOWTIDE
from tests.support.history import store
from tests.support.loopback import Loopback, status
from tests.support.neso import HALF_HOUR, slot_start
from tests.support.neso_server import grid_value, serve_neso
from tests.support.runs import booked_rows, check_contract, opening, slot_reading, write_killed_run, write_run

NOW = utc_now()
SUBMITTED = slot_start(NOW) - timedelta(hours=9)
STARTED = slot_start(NOW) - timedelta(hours=3)


def grid(kind: IntensityKind, wrong_by: float = 0.0) -> list[Reading]:
    slots = [slot_start(SUBMITTED) + k * HALF_HOUR for k in range(17)]
    return [slot_reading(start, grid_value(start) + wrong_by, kind) for start in slots]


@pytest.fixture
def run(tmp_path: Path) -> tuple[RunFolder, TrainingRecord]:
    forecast = grid(IntensityKind.FORECAST, 10.0)
    return write_run(tmp_path / "run", booked_rows(STARTED, forecast), submitted_at=SUBMITTED, at_submission=forecast)


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback() as running:
        serve_neso(running, utc_now)
        yield running


def settle(folder: RunFolder, *arguments: object, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [LOWTIDE, "settle", str(folder.path), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "LOWTIDE_PYTHON": sys.executable, **environment},
        check=False,
    )


def test_the_grid_that_the_ledger_names_is_asked_and_the_run_is_valued_again(
    run: tuple[RunFolder, TrainingRecord], server: Loopback, tmp_path: Path
) -> None:
    folder, before = run
    done = settle(folder, "--json", "--artifacts", tmp_path, LOWTIDE_GRID_URL=server.url)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["changed"], said["complete"], said["unsettled_energy_share"], said["notes"]) == (True, True, 0.0, [])
    drop = said["first_valuation"]["emissions_gco2eq"] - said["settled"]["emissions_gco2eq"]
    assert drop == pytest.approx(before.energy_kwh.total * 10, rel=1e-9)
    assert said["first_valuation"]["emissions_gco2eq"] == before.emissions_gco2eq
    check_contract(folder)
    again = settle(folder, "--artifacts", tmp_path, LOWTIDE_GRID_URL=server.url)
    assert "nothing new; 0.0 % of the energy" in again.stdout
    assert str(folder.record) in again.stdout


def test_offline_the_stored_history_settles_and_no_provider_is_asked(
    run: tuple[RunFolder, TrainingRecord], server: Loopback, tmp_path: Path
) -> None:
    folder, _ = run
    store(tmp_path / "artifacts").add(grid(IntensityKind.ESTIMATED), NOW)
    where = ("--artifacts", tmp_path / "artifacts")
    done = settle(folder, "--offline", *where, LOWTIDE_GRID_URL=server.url)
    assert done.returncode == 0, done.stderr
    assert "at actual figures of neso; 0.0 % of the energy still is not" in done.stdout
    assert server.seen == []
    check_contract(folder)


def test_a_provider_that_is_away_is_reported_and_what_the_history_knows_is_settled_nevertheless(
    run: tuple[RunFolder, TrainingRecord], server: Loopback, tmp_path: Path
) -> None:
    folder, _ = run
    server.route("/intensity/*", status(404))
    store(tmp_path / "artifacts").add(grid(IntensityKind.ESTIMATED)[12:13], NOW)
    done = settle(folder, "--json", "--artifacts", tmp_path / "artifacts", LOWTIDE_GRID_URL=server.url)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["changed"], said["unsettled_energy_share"]) == (True, pytest.approx(0.5))
    assert "neso gave no actual figures" in said["notes"][0]
    check_contract(folder)


def test_a_run_that_was_killed_is_recovered_and_settled(server: Loopback, tmp_path: Path) -> None:
    rows = booked_rows(STARTED, grid(IntensityKind.FORECAST, 10.0))
    folder = write_killed_run(tmp_path / "run", rows, opening(SUBMITTED))
    done = settle(folder, "--artifacts", tmp_path, LOWTIDE_GRID_URL=server.url)
    assert done.returncode == 0, done.stderr
    assert "did not finish; recovered from its ledger" in done.stdout
    assert "attempt 1 was not closed" in done.stdout
    assert json.loads(folder.record.read_text())["complete"] is False
    check_contract(folder)


def test_a_configuration_of_another_grid_is_refused(run: tuple[RunFolder, TrainingRecord], tmp_path: Path) -> None:
    folder, _ = run
    done = settle(folder, "--config", PROJECT_ROOT / "include/configs/demo.yaml", "--offline")
    assert done.returncode == 2
    assert "was valued at zone GB (average, direct factors)" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("folder", ["nowhere", "."])
def test_a_folder_without_a_run_is_one_sentence(tmp_path: Path, folder: str) -> None:
    done = settle(RunFolder(tmp_path / folder))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert str(tmp_path) in done.stderr
