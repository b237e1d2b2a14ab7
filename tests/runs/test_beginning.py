"""What is resumed, what is moved aside, and what is refused."""

import fcntl
from dataclasses import replace

import pytest
from lowtide.config.loader import load_config
from lowtide.errors import ArtifactError, ConfigurationError
from lowtide.grid.factory import replay_anchor
from lowtide.runs import run as runs_run
from lowtide.runs.context import TrainingRun
from lowtide.runs.folder import RunFolder
from lowtide.runs.run import begin, last_checkpoint, new_training_id, resumable, unfinished
from lowtide.timeutil import parse_time, utc_now
from lowtide.trainer.checkpoint_manager import Manifest

from tests.support.config_files import write_config

SUBMITTED = parse_time("2026-01-01T00:00:00Z")


def prepared(tmp_path, **changes):
    config = load_config(write_config(tmp_path / "config", **changes))
    anchor = replay_anchor(config.values.grid, utc_now())
    return TrainingRun(
        config=config, run_id="r", folder=RunFolder(tmp_path / "run"), submitted_at=SUBMITTED, anchor=anchor
    )


def changed(run, tmp_path, **changes):
    return replace(run, config=load_config(write_config(tmp_path / "changed", **changes)))


def write_checkpoint(folder, step=7):
    folder.checkpoints.mkdir(exist_ok=True)
    (folder.checkpoints / "checkpoint-000001-0.pt").write_bytes(b"x")
    manifest = Manifest.model_validate(
        {
            "run_id": "r",
            "training_id": "t",
            "number": 1,
            "optimizer_step": step,
            "epoch": 0,
            "micro_batch_size": 50,
            "written_at": SUBMITTED,
            "file": "checkpoint-000001-0.pt",
            "size_bytes": 1,
            "sha256": "0" * 64,
            "training": {},
            "versions": {},
        }
    ).sealed()
    (folder.checkpoints / manifest.name).write_text(manifest.model_dump_json())


def test_an_unfinished_training_resumes_and_a_finished_one_is_set_aside(tmp_path):
    run = prepared(tmp_path)
    first = begin(run)
    run.folder.ledger.write_text("{}\n")
    write_checkpoint(run.folder)
    assert begin(run) == first
    assert last_checkpoint(run.folder).optimizer_step == 7
    assert run.folder.ledger.exists()  # its energy still counts
    run.folder.record.write_text("{}")
    assert unfinished(run.folder) is None
    assert begin(run) != first
    assert not run.folder.ledger.exists()
    assert last_checkpoint(run.folder) is None
    assert (run.folder.path / "finished-1" / "ledger.jsonl").read_text() == "{}\n"
    assert (run.folder.path / "finished-1" / "checkpoints").is_dir()


def test_what_was_fixed_when_it_began_can_be_read_back(tmp_path):
    run = prepared(tmp_path)
    training_id = begin(run)
    found = unfinished(run.folder)
    assert (found.training_id, found.run_id, found.submitted_at) == (training_id, "r", SUBMITTED)
    assert found.anchor == run.anchor


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"training__learning_rate": 0.5}, r"training\.learning_rate was 0\.002 and is 0\.5 now"),
        ({"grid__zone": "GB"}, r"grid\.zone was 'US-CAL-CISO' and is 'GB' now"),
        ({"tracker__pue": 1.2}, r"tracker\.pue was 1\.0 and is 1\.2 now"),
        ({"tracker__scope": "machine"}, r"tracker\.scope was 'process_tree' and is 'machine' now"),
    ],
)
def test_another_configuration_is_refused_where_there_is_a_checkpoint_and_set_aside_where_there_is_none(
    tmp_path, caplog, changes, difference
):
    run = prepared(tmp_path)
    first = begin(run)
    run.folder.ledger.write_text("{}\n")
    write_checkpoint(run.folder)
    other = changed(run, tmp_path, **changes)
    with pytest.raises(ConfigurationError, match=difference + r", but .*step 7; set it back to resume, or start over"):
        begin(other)
    assert begin(run) == first  # refusing changed nothing

    (run.folder.checkpoints / "checkpoint-000001.json").unlink()
    assert begin(other) != first
    assert (run.folder.path / "other-1" / "ledger.jsonl").exists()
    assert difference.replace("\\", "") in caplog.text


def test_a_mistake_that_was_corrected_before_anything_was_saved_is_submitted_anew(tmp_path):
    """Its wait is another one's: only what has a checkpoint, or the same configuration, is resumed at once."""
    run = prepared(tmp_path)
    begin(run)
    corrected = changed(run, tmp_path, training__model={"path": "lowtide.trainer.models:mlp"})
    assert resumable(run.folder, run.config.values).training_id
    assert resumable(run.folder, corrected.config.values) is None
    write_checkpoint(run.folder)
    assert resumable(run.folder, corrected.config.values).training_id


def test_when_it_may_start_and_how_it_is_measured_may_change(tmp_path):
    run = prepared(tmp_path)
    first = begin(run)
    write_checkpoint(run.folder)
    other = changed(run, tmp_path, scheduler__policy="immediate", tracker__interval="3s", training__device="auto")
    assert begin(other) == first


def test_another_trainings_files_are_never_resumed(tmp_path):
    """The same run id and folder, as of a run that was deleted and made again: another training id."""
    run = prepared(tmp_path)
    begin(run)
    write_checkpoint(run.folder)
    again = replace(run, training_id=new_training_id())
    assert begin(again) == again.training_id
    assert last_checkpoint(run.folder) is None
    assert (run.folder.path / "other-1" / "checkpoints").is_dir()
    assert begin(again) == again.training_id
    assert not (run.folder.path / "other-2").exists()


@pytest.mark.parametrize("left", ["identity.json", "ledger.jsonl"])
def test_files_that_nobody_can_name_are_set_aside(tmp_path, left):
    run = prepared(tmp_path)
    run.folder.create()
    (run.folder.path / left).write_text("{")
    begin(run)
    assert (run.folder.path / "other-1" / left).exists()


def test_a_move_that_was_broken_off_is_taken_up_as_a_finished_trainings(tmp_path):
    """Killed between two of its renames: the record, which moves last, still says whose files they are."""
    run = prepared(tmp_path)
    begin(run)
    write_checkpoint(run.folder)
    run.folder.record.write_text("{}")  # the ledger has gone already
    begin(run)
    assert last_checkpoint(run.folder) is None


def test_a_folder_in_which_another_process_trains_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(runs_run, "SETTLEMENT_S", 0.2)
    run = prepared(tmp_path)
    begin(run)
    run.folder.ledger.write_text("")
    with run.folder.ledger.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(ArtifactError, match="another process is training in this folder"):
            begin(replace(run, training_id=new_training_id()))
    assert not (run.folder.path / "other-1").exists()
