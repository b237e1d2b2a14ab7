"""An expected duration is learnt from the records that earlier runs of the same training left."""

import json
import os
from datetime import UTC, datetime, timedelta

import pytest
from lowtide.config.loader import load_config
from lowtide.records import IncompleteRecord, ReplayAnchor, RunAccount
from lowtide.runs.context import comparison_key
from lowtide.runs.durations import LATEST_RUNS, expected_duration, expected_job

from tests.support.config_files import write_config
from tests.support.records import make_record

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def live_config(folder, **changes):
    live = {"grid__zone": "GB", "grid__provider": "neso", "grid__replay": None, "scheduler__learn_duration": True}
    return load_config(write_config(folder, **(live | changes))).values


def leave(folder, number, minutes, config, **changes):
    """Write the record of an earlier run; higher numbers are newer."""
    path = folder / "artifacts" / "runs" / "nightly" / f"run-{number}" / "record.json"
    path.parent.mkdir(parents=True)
    fields = {"comparison_key": comparison_key(config), "epochs": config.training.epochs, "duration_s": 60.0 * minutes}
    path.write_text(make_record(**(fields | changes)).model_dump_json())
    os.utime(path, (number, number))


def learnt(folder, config):
    return expected_duration(config, folder / "artifacts")


def test_three_runs_teach_the_middle_and_twice_their_spread(tmp_path):
    config = live_config(tmp_path)
    for number, minutes in enumerate([30, 50, 40]):
        leave(tmp_path, number, minutes, config)
    found = learnt(tmp_path, config)
    assert found.duration == timedelta(minutes=60)
    assert found.source == "learnt from 3 earlier runs"


def test_two_runs_are_too_few_and_learning_can_be_off(tmp_path):
    config = live_config(tmp_path)
    for number in range(2):
        leave(tmp_path, number, 50, config)
    assert learnt(tmp_path, config).duration == config.scheduler.expected_duration
    leave(tmp_path, 2, 50, config)
    given = live_config(tmp_path, scheduler__learn_duration=False)
    assert learnt(tmp_path, given).duration == given.scheduler.expected_duration
    assert learnt(tmp_path, given).source == "as configured"


def test_only_the_newest_runs_count(tmp_path):
    config = live_config(tmp_path)
    for number in range(5):
        leave(tmp_path, number, 600, config)
    for number in range(5, 5 + LATEST_RUNS):
        leave(tmp_path, number, 20, config)
    assert learnt(tmp_path, config).duration == timedelta(minutes=20)


def test_other_trainings_do_not_teach_but_another_zone_does(tmp_path):
    config = live_config(tmp_path)
    for number in range(3):
        leave(tmp_path, number, 50, config, epochs=config.training.epochs + 1)
        leave(tmp_path, 10 + number, 50, live_config(tmp_path, training__seed=1, training__accumulation_steps=4))
    assert learnt(tmp_path, config).source == "as configured"
    for number in range(20, 23):
        leave(tmp_path, number, 25, live_config(tmp_path, grid__zone="DE", grid__provider="energy_charts"))
    assert learnt(tmp_path, config).duration == timedelta(minutes=25)


def test_under_replay_durations_are_virtual_and_only_replayed_runs_teach(tmp_path):
    replayed = load_config(write_config(tmp_path, scheduler__learn_duration=True)).values
    anchor = ReplayAnchor(real_start=NOON, virtual_start=NOON, speed=120.0)
    for number in range(3):
        leave(tmp_path, number, 999, replayed)
    assert learnt(tmp_path, replayed).source == "as configured"
    for number in range(3, 6):
        leave(tmp_path, number, 1, replayed, replay=anchor)
    assert learnt(tmp_path, replayed).duration == timedelta(hours=2)


def test_a_record_that_cannot_be_read_is_passed_over(tmp_path):
    config = live_config(tmp_path)
    for number in range(3):
        leave(tmp_path, number, 50, config)
    (tmp_path / "artifacts/runs/nightly/run-0/record.json").write_text("{torn")
    assert learnt(tmp_path, config).source == "as configured"


def test_a_run_that_did_not_finish_does_not_teach(tmp_path):
    config = live_config(tmp_path)
    for number in range(3):
        leave(tmp_path, number, 50, config)
    path = tmp_path / "artifacts/runs/nightly/run-0/record.json"
    data = make_record().model_dump(mode="json")
    own = {name: data[name] for name in IncompleteRecord.model_fields if name in RunAccount.model_fields}
    sizes = {name: data[name] for name in ("precision", "micro_batch_size", "accumulation_steps")}
    path.write_text(IncompleteRecord.model_validate(own | sizes).model_dump_json())
    assert learnt(tmp_path, config).source == "as configured"


def test_one_run_that_hung_does_not_make_the_next_deadlines_unreachable(tmp_path):
    config = live_config(tmp_path)
    for number, minutes in enumerate([10, 600, 11, 10.5]):
        leave(tmp_path, number, minutes, config)
    assert learnt(tmp_path, config).duration < timedelta(minutes=12)


@pytest.mark.parametrize("nonsense", [1e12, -5.0, float("nan"), "long"])
def test_an_impossible_duration_is_not_learnt_from(tmp_path, nonsense):
    config = live_config(tmp_path)
    for number in range(3):
        leave(tmp_path, number, 50, config)
        path = tmp_path / "artifacts" / "runs" / "nightly" / f"run-{number}" / "record.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"duration_s": nonsense}))
    assert learnt(tmp_path, config).source == "as configured"


@pytest.mark.parametrize(
    ("deadline", "policy", "warned"),
    [
        ("2024-03-01T12:00Z", "window", "730 days"),
        ("2026-03-01T09:00Z", "window", "3h"),
        ("2026-03-01T13:00Z", "window", None),  # in an hour: the decision says that it is too late
        ("06:00", "window", None),
        ("2024-03-01T12:00Z", "immediate", None),
    ],
)
def test_a_deadline_before_the_submission_is_a_warning(tmp_path, caplog, deadline, policy, warned):
    config = load_config(write_config(tmp_path, scheduler__deadline=deadline, scheduler__policy=policy))
    expected_job(config, job_id="nightly", submitted_at=NOON)
    sentence = f"passed {warned} before the submission, so no run can meet it; write a clock time like '06:00'"
    assert bool(caplog.records) is (warned is not None)
    assert warned is None or sentence in caplog.text
