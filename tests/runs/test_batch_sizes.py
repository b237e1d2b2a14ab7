"""A run with ``micro_batch_size: auto`` that was killed: its account tells the sizes, and says so where there were none yet."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from lowtide.config.loader import load_config
from lowtide.grid.factory import open_signal
from lowtide.records import IntensityKind
from lowtide.runs.account import account_of
from lowtide.runs.context import TrainingRun
from lowtide.runs.folder import RunFolder
from lowtide.runs.run import run_training
from lowtide.timeutil import utc_now

from tests.support.config_files import write_config
from tests.support.replay_meter import ReplayMeter
from tests.support.runs import booked_rows, check_contract, opening, slot_reading, write_killed_run

SUBMITTED = datetime(2026, 3, 1, 20, 0, tzinfo=UTC)
READINGS = [slot_reading(SUBMITTED + k * timedelta(minutes=30), 200.0, IntensityKind.MEASURED) for k in range(20)]
UNKNOWN = {"micro_batch_size": None, "accumulation_steps": None}
MODEL = {"path": "lowtide.trainer.models:mlp", "kwargs": {"hidden": 8}}


def killed(path: Path) -> RunFolder:
    return write_killed_run(path, booked_rows(SUBMITTED, READINGS), opening(SUBMITTED, **UNKNOWN))


def auto(path: Path, **changes: Any) -> TrainingRun:
    changes |= {"training__micro_batch_size": "auto", "training__effective_batch_size": 512}
    changes |= {"training__accumulation_steps": None, "training__model": MODEL, "training__memory_target": "200MiB"}
    config = load_config(write_config(path, scheduler__policy="immediate", grid__provider="profile", **changes))
    return TrainingRun(config=config, run_id="t", folder=RunFolder(path / "run"), submitted_at=utc_now())


def test_what_the_child_chose_is_in_the_account_of_a_killed_run(tmp_path: Path) -> None:
    folder = killed(tmp_path / "killed")
    folder.note_attempt({"attempt": 1, "micro_batch_size": 256, "accumulation_steps": 2})
    with folder.attempts.open("a", encoding="utf-8") as file:
        file.write('{"attempt": 1, "micro_batch')
    account = account_of(folder)
    assert (account.micro_batch_size, account.accumulation_steps) == (256, 2)
    check_contract(folder)


def test_a_run_killed_before_anything_was_chosen_says_so(tmp_path: Path) -> None:
    folder = killed(tmp_path)
    account = account_of(folder)
    assert (account.micro_batch_size, account.accumulation_steps) == (512, 1)
    assert any("was not chosen yet" in problem for problem in account.problems)
    check_contract(folder)


def test_a_training_reports_its_sizes_as_soon_as_it_has_them(tmp_path: Path) -> None:
    run = auto(tmp_path)
    record = run_training(run, open_signal(run.config.values.grid), meter=ReplayMeter())
    (note,) = [json.loads(line) for line in run.folder.attempts.read_text().splitlines()]
    assert note == {
        "attempt": 1,
        "micro_batch_size": record.micro_batch_size,
        "accumulation_steps": record.accumulation_steps,
    }
