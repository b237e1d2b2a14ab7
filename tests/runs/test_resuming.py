"""Runs that are killed, paused and gone on with: one ledger, no step lost, no energy forgotten."""

import math
import signal
import subprocess
import sys
import threading
import time
from datetime import timedelta
from itertools import pairwise

import pytest
from lowtide.config.loader import PROJECT_ROOT
from lowtide.errors import ConfigurationError, TrainingError, TrainingPaused, TrainingStopped
from lowtide.records import IncompleteRecord, TrainingRecord
from lowtide.runs.account import account_of
from lowtide.runs.folder import RunFolder
from lowtide.runs.maintenance import recover_left_runs
from lowtide.runs.run import last_checkpoint, run_training, unfinished
from lowtide.timeutil import utc_now
from lowtide.tracker.ledger import read_ledger

from tests.support.config_files import write_config
from tests.support.prepared_runs import LONG, prepared
from tests.support.processes import children, is_gone, kill_training_children
from tests.support.runs import check_contract, valued_rows

STEPS = 300


pytestmark = pytest.mark.usefixtures("mnist")


def long_run(folder, **changes):
    return prepared(folder, **LONG | changes)


def assert_whole(run, record, attempts):
    """The contract of DESIGN.md, over all attempts."""
    rows = read_ledger(run.folder.ledger).rows
    assert sorted({row.attempt for row in rows}) == list(range(1, attempts + 1))
    assert record.attempts == attempts
    assert all(one.end <= two.start for one, two in pairwise(rows))
    assert record.energy_kwh.total == pytest.approx(math.fsum(row.energy_kwh for row in rows), rel=1e-9)
    valued = valued_rows(run.folder.path)
    assert record.emissions_gco2eq == pytest.approx(math.fsum(row.emissions_gco2eq for row in valued), rel=1e-9)
    check_contract(run.folder)
    assert (record.optimizer_steps, record.samples) == (STEPS, 100 * STEPS)
    gaps = [(one.end, two.start, two.attempt) for one, two in pairwise(rows) if one.attempt != two.attempt]
    assert [(gap.start, gap.end, gap.attempt) for gap in record.interruptions] == gaps


def test_a_killed_child_costs_the_steps_since_its_last_checkpoint_and_its_energy_counts(tmp_path):
    run, signal_ = long_run(tmp_path)
    saved = []

    def kill_after_three(data):
        saved.append(data["optimizer_step"])
        if len(saved) == 3:
            kill_training_children()

    with pytest.raises(TrainingError, match="signal SIGKILL"):
        run_training(run, signal_, on_checkpoint=kill_after_three)
    assert unfinished(run.folder).run_id == "test"
    record = run_training(run, signal_)
    assert_whole(run, record, attempts=2)
    assert record.interruptions[0].resumed_from_optimizer_step >= saved[2]
    phases = [row.phase.value for row in read_ledger(run.folder.ledger).rows]
    assert {"startup", "train", "checkpoint", "evaluate"} <= set(phases)
    assert len(list(run.folder.checkpoints.glob("*.pt"))) == 1  # the trained weights
    assert last_checkpoint(run.folder).optimizer_step == STEPS


def test_a_pause_leaves_a_run_that_resumes_where_it_was(tmp_path):
    run, signal_ = long_run(tmp_path)
    pause, points = threading.Event(), []

    def pause_soon(data):
        points.append(data["optimizer_step"])
        if len(points) == 2:
            pause.set()

    with pytest.raises(
        TrainingPaused, match=r"run test: the training paused on request at optimizer step \d+; its state"
    ):
        run_training(run, signal_, pause=pause, on_checkpoint=pause_soon)
    assert not run.folder.record.exists()
    assert read_ledger(run.folder.ledger).events[-1].details["outcome"] == "paused"
    paused_at = last_checkpoint(run.folder).optimizer_step
    assert paused_at == points[-1]
    record = run_training(run, signal_)
    assert_whole(run, record, attempts=2)
    assert record.interruptions[0].resumed_from_optimizer_step == paused_at


def test_a_stop_saves_the_step_it_was_at(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "lowtide.runs.run._STOP_GRACE_S", 60.0
    )  # on a busy machine a step and its checkpoint take longer than 2 s
    run, signal_ = long_run(tmp_path, training__checkpoint_steps=None, training__epochs=2000)
    stop = threading.Event()

    def stop_in_training(progress):
        if progress.phase == "train" and progress.samples:
            stop.set()

    with pytest.raises(TrainingStopped, match="its ledger is kept") as caught:
        run_training(run, signal_, stop=stop, on_progress=stop_in_training)
    assert type(caught.value) is TrainingStopped
    found = last_checkpoint(run.folder)
    assert found is not None
    assert f"at optimizer step {found.optimizer_step}" in str(caught.value)


def lowtide(*arguments, **options):
    # a test run in the background of a shell ignores SIGINT, and its children would inherit that; a terminal's do not
    hearing = [sys.executable, "-c", _HEARING, sys.executable, "-m", "lowtide.cli"]
    command = [*hearing, *(str(part) for part in arguments)]
    return subprocess.Popen(command, cwd=PROJECT_ROOT, stderr=subprocess.PIPE, text=True, **options)


_HEARING = "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"


def nightly(root):
    """What the task ``recover`` finds two hours later."""
    later = utc_now() + timedelta(hours=2)
    return recover_left_runs(root, now=later)[0]


def checkpoint_in(folder, process):
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        if last_checkpoint(folder):
            return last_checkpoint(folder).optimizer_step
        time.sleep(0.02)
    raise AssertionError(f"no checkpoint was written: {process.communicate()[1]}")


def test_the_command_line_resumes_after_kill_minus_9_and_refuses_another_configuration(tmp_path):
    """The parent is killed: its child leaves within seconds, and the same command ends the run."""
    config = write_config(
        tmp_path,
        **LONG | {"training__checkpoint_steps": 250, "training__epochs": 600, "scheduler__policy": "immediate"},
    )
    folder = RunFolder(tmp_path / "runs" / "mine")
    with lowtide("train", config, "--output", folder.path) as first:
        step = checkpoint_in(folder, first)
        assert nightly(tmp_path) == []  # it still goes on
        (child,) = children(first.pid)
        reapers = children(child)
        first.kill()
        assert all(is_gone(pid, within_s=4) for pid in (child, *reapers))

    with lowtide("train", config, "--output", folder.path, "--set", "training.learning_rate=0.5") as refused:
        message = refused.communicate()[1]
    assert refused.returncode == 2
    assert "training.learning_rate was 0.002 and is 0.5 now" in message
    assert "--fresh" in message

    assert nightly(tmp_path) == [folder]  # read back, since nobody seems to go on with it: no end of the run
    assert isinstance(account_of(folder), IncompleteRecord)
    assert unfinished(folder)

    with lowtide("train", config, "--output", folder.path, "--json", stdout=subprocess.PIPE) as again:
        output, message = again.communicate(timeout=120)
    assert again.returncode == 0, message
    record = TrainingRecord.model_validate_json(output)
    assert record.attempts == 2
    assert record.interruptions[0].resumed_from_optimizer_step >= step
    assert record.optimizer_steps == 6000
    rows = read_ledger(folder.ledger).rows
    assert record.energy_kwh.total == pytest.approx(math.fsum(row.energy_kwh for row in rows), rel=1e-9)


def test_an_interrupted_command_says_how_to_go_on_and_fresh_starts_over(tmp_path):
    config = write_config(
        tmp_path,
        **LONG | {"training__checkpoint_steps": 250, "training__epochs": 2000, "scheduler__policy": "immediate"},
    )
    folder = RunFolder(tmp_path / "run")
    with lowtide("train", config, "--output", folder.path) as first:
        step = checkpoint_in(folder, first)
        first.send_signal(signal.SIGINT)
        message = first.communicate(timeout=30)[1]
    assert first.returncode == 130
    assert f"the same command with --output {folder.path} resumes from it" in message
    assert last_checkpoint(folder).optimizer_step >= step

    with lowtide("train", config, "--output", folder.path, "--fresh", "--set", "training.epochs=1") as fresh:
        message = fresh.communicate(timeout=60)[1]
    assert fresh.returncode == 0, message
    record = TrainingRecord.model_validate_json(folder.record.read_text())
    assert (record.attempts, record.optimizer_steps) == (1, 10)
    assert (folder.path / "other-1" / "checkpoints").is_dir()


def test_a_checkpoint_of_another_run_that_was_copied_here_is_refused(tmp_path):
    run, signal_ = long_run(tmp_path)
    run_training(run, signal_)
    other, _ = long_run(tmp_path / "other")
    with pytest.raises(TrainingError):  # killed in its first step: it has begun, and saved nothing
        run_training(other, signal_, on_progress=lambda _: kill_training_children())
    run.folder.checkpoints.rename(other.folder.checkpoints)
    with pytest.raises(ConfigurationError, match="belongs to another training"):
        run_training(other, signal_)
