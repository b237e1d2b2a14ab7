"""A training in pieces from the command line: what a pause leaves, and what whoever goes on with it knows of it."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from lowtide.cli.train import Display, train
from lowtide.config.loader import load_config
from lowtide.grid.factory import open_signal, replay_anchor
from lowtide.records import Clock
from lowtide.runs.context import TrainingRun
from lowtide.runs.folder import RunFolder
from lowtide.runs.pausing import earlier_pauses, note_pause, train_slice
from lowtide.runs.run import begin, new_training_id, resumable
from lowtide.scheduler.job import Job, Progress, job_from_config
from lowtide.timeutil import utc_now
from lowtide.tracker.ledger import read_ledger

from tests.support.two_tides import EXPECTED, NOON, two_tides

ONE_PM = NOON + timedelta(hours=1)
"""From here on the grid is dirty for three hours."""


pytestmark = pytest.mark.usefixtures("mnist")


def prepared(tmp_path, maximum_pauses):
    limits = {"minimum_slice": "30m", "resume_time": "2m", "resume_energy": "2m", "maximum_pauses": maximum_pauses}
    # slow enough that the dirty hours last for three real minutes, however busy the machine is
    replay = {"trace": str(tmp_path / "GB_2031.csv"), "virtual_start": ONE_PM.isoformat(), "speed": 60.0}
    config = load_config(
        two_tides(tmp_path, scheduler__pausing=limits, scheduler__poke_interval="1m", grid__replay=replay)
    )
    anchor = replay_anchor(config.values.grid, utc_now())
    run = TrainingRun(
        config=config,
        run_id="run",
        folder=RunFolder(tmp_path / "run"),
        submitted_at=anchor.virtual_start,
        anchor=anchor,
        training_id=new_training_id(),
    )
    return run, job_from_config(config.values, job_id="run", submitted_at=anchor.virtual_start)


def actions_in(folder):
    return [json.loads(line)["action"] for line in folder.decisions.read_text().splitlines()]


def test_a_training_whose_pause_is_interrupted_resumes_and_its_pauses_count(tmp_path):
    """One pause is allowed. It was taken before Ctrl-C, so what goes on in the dirty hours takes no second one."""
    run, job = prepared(tmp_path, maximum_pauses=1)
    folder = run.folder
    paused = train_slice(
        run,
        job,
        open_signal(run.config.values.grid, anchor=run.anchor),
        Clock(run.anchor),
        on_decision=lambda looked: folder.append_decisions([looked.decision.as_json()]),
        on_progress=lambda _: None,
    )
    assert isinstance(paused, Job)
    assert (paused.progress.running, paused.progress.pauses) == (False, 1)
    assert paused.deadline == job.deadline == ONE_PM + timedelta(hours=12)
    assert timedelta(minutes=30) <= paused.progress.done < EXPECTED
    assert read_ledger(folder.ledger).events[-1].details["outcome"] == "paused"
    assert actions_in(folder)[-1] == "pause"

    again = earlier_pauses(folder, job, run.training_id)
    assert (again.progress.running, again.progress.pauses) == (True, 1)
    assert (again.progress.done, again.expected_duration) == (paused.progress.done, paused.expected_duration)

    before = len(actions_in(folder))
    record = train(run.config, folder, Display(quiet=True), resumed=resumable(folder, run.config.values))
    assert record.attempts == 2
    assert record.samples == 1000 * record.epochs
    looks = actions_in(folder)[before:]
    assert looks  # it did look again
    assert "pause" not in looks


def test_the_pauses_of_another_training_are_not_counted(tmp_path, caplog):
    run, job = prepared(tmp_path, maximum_pauses=1)

    def known(training_id=run.training_id):
        return earlier_pauses(run.folder, job, training_id)

    assert known() is job  # nothing has begun
    begin(run)
    assert known() is job  # nor paused
    paused = Progress(done=timedelta(hours=1), running=False, pauses=3)
    slower = replace(job, progress=paused, expected_duration=2 * EXPECTED)
    note_pause(run.folder, slower)
    for _ in range(2):  # the attempt that resumes, and a retry of it
        assert known().progress == Progress(done=timedelta(hours=1), running=True, pauses=3)
        assert known() == replace(job, progress=known().progress, expected_duration=2 * EXPECTED)
    note_pause(run.folder, replace(known(), progress=replace(paused, pauses=4)))
    assert known().progress.pauses == 4

    assert known("another") is job  # a cleared run with fresh
    text = run.folder.pauses.read_text()
    run.folder.record.write_text("{}")
    assert known() is job  # the training is over: a task that is cleared starts without any
    run.folder.record.unlink()
    assert known().progress.pauses == 4
    run.folder.pauses.write_text(json.dumps(json.loads(text) | {"training_id": "another"}))
    assert known() is job
    run.folder.pauses.write_text('{"training_id')
    assert known() is job
    assert "its pauses are not counted" in caplog.text


def test_a_pause_that_cannot_be_kept_is_reported_and_the_next_training_does_not_inherit_it(tmp_path, caplog):
    run, job = prepared(tmp_path, maximum_pauses=1)
    begin(run)
    run.folder.pauses.mkdir()  # what cannot be replaced by a file
    note_pause(run.folder, replace(job, progress=Progress(done=timedelta(0), running=False, pauses=1)))
    assert "the pause is not counted" in caplog.text
    run.folder.pauses.rmdir()
    run.folder.pauses.write_text("{}")
    begin(TrainingRun(config=run.config, run_id="run", folder=run.folder, submitted_at=run.submitted_at, anchor=run.anchor,
        training_id=new_training_id()))  # fmt: skip
    assert not run.folder.pauses.exists()
    assert (run.folder.path / "other-1" / "pauses.json").exists()
