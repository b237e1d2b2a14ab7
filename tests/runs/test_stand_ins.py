"""A provider that is away during a run: the record says so in a sentence, not only in the kinds and sources of its rows."""

import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from lowtide.config.loader import load_config
from lowtide.config.schema import ReportConfig
from lowtide.errors import TrainingStopped
from lowtide.grid.factory import open_signal
from lowtide.grid.http import ONE_TRY, Credentials
from lowtide.records import IntensityKind
from lowtide.report.export import csv_text
from lowtide.runs.account import account_of
from lowtide.runs.context import TrainingRun
from lowtide.runs.folder import RunFolder
from lowtide.runs.run import run_training
from lowtide.timeutil import utc_now

from tests.support.comparisons import compare_one
from tests.support.config_files import write_config
from tests.support.loopback import Loopback, status
from tests.support.neso import slot_start
from tests.support.prepared_runs import LONG
from tests.support.runs import booked_rows, check_contract, opening, slot_reading, write_killed_run

STARTED = slot_start(utc_now()) - timedelta(hours=5)
SUBMITTED = STARTED - timedelta(hours=1)
SAID = "had no usable figure for"


def sentences(problems: tuple[str, ...]) -> list[str]:
    return [problem for problem in problems if SAID in problem]


def run_on(grid: dict[str, Any], folder: Path, **changes: Any) -> TrainingRun:
    config = load_config(write_config(folder, grid=grid, scheduler__policy="immediate", **changes))
    return TrainingRun(config=config, run_id="test", folder=RunFolder(folder / "run"), submitted_at=utc_now())


@pytest.mark.usefixtures("mnist")
def test_a_provider_that_was_away_is_reported_once_in_record_report_and_export(tmp_path: Path) -> None:
    """Away in both attempts: GB's typical day is of lifecycle factors, at which a run of direct ones is not valued."""
    grid = {"zone": "GB", "provider": "neso"}
    run = run_on(grid, tmp_path, **LONG)
    with Loopback() as server:
        access = Credentials(base_url=server.url)
        server.route("/intensity*", status(404))
        stop = threading.Event()
        with pytest.raises(TrainingStopped):
            run_training(
                run,
                open_signal(run.config.values.grid, access=access, limits=ONE_TRY),
                stop=stop,
                on_checkpoint=lambda _: stop.set(),
            )
        stopped = account_of(run.folder)
        record = run_training(run, open_signal(run.config.values.grid, access=access, limits=ONE_TRY))

    check_contract(run.folder)
    for account in (stopped, record):
        (said,) = sentences(account.problems)
        assert said.startswith(f"neso {SAID} ")
        assert "100.0 % of the energy; only typical figures of another signal or factor type are known" in said
        assert (account.emissions_gco2eq, account.intensity_kinds, account.foreign_signal_share) == (0, {}, 1)
        assert account.unvalued_energy_kwh == account.energy_kwh.total
    assert record.energy_complete
    report = compare_one(None, record, settings=ReportConfig(), now=utc_now())
    assert f"the run's measuring: {said}" in report.notes
    assert said in csv_text([record])


def test_rows_share_and_time_are_those_of_the_rows_in_question(tmp_path: Path) -> None:
    readings = [
        slot_reading(STARTED, 200.0, IntensityKind.FORECAST),
        slot_reading(STARTED + timedelta(minutes=30), 180.0, IntensityKind.MODELLED),
    ]
    folder = write_killed_run(tmp_path, booked_rows(STARTED, readings, minutes=40), opening(SUBMITTED))
    first, last = (f"{STARTED + timedelta(minutes=m):%Y-%m-%dT%H:%M:%SZ}" for m in (30, 40))
    assert sentences(account_of(folder).problems) == [
        f"neso {SAID} 10 of 40 rows between {first} and {last}, 25.0 % of the energy; they were first valued at typical"
        " figures instead (neso)"
    ]


@pytest.mark.parametrize("provider", ["profile", "replay"])
def test_a_grid_that_is_modelled_by_configuration_has_nothing_to_tell(tmp_path: Path, provider: str) -> None:
    readings = [slot_reading(STARTED, 180.0, IntensityKind.MODELLED, timedelta(hours=1))]
    details = opening(SUBMITTED, grid={"zone": "GB", "provider": provider})
    folder = write_killed_run(tmp_path, booked_rows(STARTED, readings), details)
    assert sentences(account_of(folder).problems) == []


@pytest.mark.usefixtures("mnist")
def test_a_run_on_the_typical_day_has_nothing_to_tell(tmp_path: Path) -> None:
    grid = {"zone": "GB", "provider": "profile"}
    run = run_on(grid, tmp_path)
    record = run_training(run, open_signal(run.config.values.grid))
    assert record.intensity_kinds == {IntensityKind.MODELLED: 1.0}
    assert record.problems == ()
