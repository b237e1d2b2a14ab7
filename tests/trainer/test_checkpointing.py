"""Which checkpoints are kept, how a training resumes from one, and what happens when one is damaged."""

import resource
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from lowtide.config.schema import TrainingConfig
from lowtide.errors import TrainingError
from lowtide.trainer.checkpoint import Checkpointer, Snapshot, read_state
from lowtide.trainer.checkpoint_manager import CheckpointManager
from lowtide.trainer.protocol import CheckpointPlan, EventKind, Requests
from lowtide.trainer.trainer import Training

from tests.support.kept_trainings import Heard, data_of, spoil, train

MakeConfig = Callable[..., TrainingConfig]


def test_it_saves_by_steps_and_at_the_end_and_keeps_the_last_two(training_config: MakeConfig, tmp_path: Path) -> None:
    training = training_config(checkpoint_steps=5)
    _, heard = train(training, tmp_path / "c")
    assert [data["optimizer_step"] for data in data_of(heard, EventKind.CHECKPOINT)] == [5, 10, 15, 16]
    folder = CheckpointManager(tmp_path / "c")
    assert [folder.manifest(name).optimizer_step for name in folder.names()] == [16, 15]
    assert len(list((tmp_path / "c").iterdir())) == 4  # two manifests, two states, nothing half-written


def test_a_short_interval_saves_at_every_step_and_none_only_at_the_end(
    training_config: MakeConfig, tmp_path: Path
) -> None:
    _, often = train(training_config(checkpoint_interval="0.000001s"), tmp_path / "often")
    _, once = train(training_config(checkpoint_interval=None), tmp_path / "once")
    assert [data["optimizer_step"] for data in data_of(often, EventKind.CHECKPOINT)] == list(range(1, 17))
    assert [data["optimizer_step"] for data in data_of(once, EventKind.CHECKPOINT)] == [16]


def test_a_stop_saves_that_very_step_and_reports_it(kept: tuple[TrainingConfig, Path]) -> None:
    training, folder = kept
    _, heard = train(training, folder, stop=True)  # resumes at 5, saves at 8, stops at 9
    assert data_of(heard, EventKind.RESUMED)[0]["optimizer_step"] == 5
    assert data_of(heard, EventKind.STOPPED)[0] | {"checkpoint": ""} == {
        "requested": "stop",
        "optimizer_step": 9,
        "checkpoint": "",
    }


@pytest.mark.parametrize("how", ["one bit", "torn", "gone"])
@pytest.mark.parametrize("suffix", [".pt", ".json"])
def test_a_damaged_newest_checkpoint_falls_back_with_one_line(
    kept: tuple[TrainingConfig, Path], how: str, suffix: str, tmp_path: Path
) -> None:
    training, folder = kept
    spoil(sorted(folder.glob(f"*{suffix}"))[-1], how)
    result, heard = train(training, folder)
    warnings = data_of(heard, EventKind.WARNING)
    assert data_of(heard, EventKind.RESUMED)[0]["optimizer_step"] == 4
    if (suffix, how) == (".json", "gone"):
        assert warnings == []  # then it was never there
    else:
        assert len(warnings) == 1
        assert "resuming from checkpoint-000001.json (optimizer step 4) instead" in warnings[0]["message"]
    unbroken, _ = train(training, tmp_path / "unbroken")
    assert result is not None
    assert unbroken is not None
    assert (result.train_loss, result.test_accuracy) == (unbroken.train_loss, unbroken.test_accuracy)


def test_with_no_checkpoint_left_it_warns_and_starts_over(kept: tuple[TrainingConfig, Path]) -> None:
    training, folder = kept
    for path in folder.glob("*.pt"):
        spoil(path, "torn")
    result, heard = train(training, folder)
    (warning,) = data_of(heard, EventKind.WARNING)
    assert warning["message"].endswith("no checkpoint is left, so the training starts over")
    assert result is not None
    assert data_of(heard, EventKind.CHECKPOINT)[0]["optimizer_step"] == 4


def test_a_micro_batch_that_was_found_or_shrank_is_not_searched_for_again(
    training_config: MakeConfig, tmp_path: Path
) -> None:
    """The trial takes seconds and energy, and might find another size, which would round otherwise."""
    training = training_config(
        micro_batch_size="auto",
        accumulation_steps=None,
        effective_batch_size=128,
        memory_target="100%",
        checkpoint_steps=4,
    )
    _, first = train(training, tmp_path / "c", stop=True)
    result, again = train(training, tmp_path / "c")
    searched = [
        [data for data in data_of(heard, EventKind.NOTE) if "auto" in data["message"]] for heard in (first, again)
    ]
    assert [len(lines) for lines in searched] == [1, 0]
    assert result is not None
    assert f"auto: {result.micro_batch_size} x" in searched[0][0]["message"]


def test_a_full_disk_is_a_warning_and_the_last_checkpoint_stays(kept: tuple[TrainingConfig, Path]) -> None:
    training, folder = kept
    before = sorted(path.name for path in folder.iterdir())
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))  # the write fails half-way, as on a full disk
    try:
        result, heard = train(training, folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert result is not None
    warnings = [data["message"] for data in data_of(heard, EventKind.WARNING)]
    assert len(warnings) == 5  # after steps 8, 12 and 16, and once more at the end
    assert all("cannot be written" in warning and "the training continues" in warning for warning in warnings[:4])
    assert warnings[4].startswith(
        "the trained weights (optimizer step 16) could not be saved: the newest checkpoint in"
    )
    assert "holds optimizer step 5, so do not use it as the result" in warnings[4]
    assert sorted(path.name for path in folder.iterdir()) == before
    assert read_state(CheckpointManager(folder).manifest("checkpoint-000002.json"), folder)


def test_a_pause_that_cannot_be_saved_is_no_pause(kept: tuple[TrainingConfig, Path]) -> None:
    training, folder = kept
    heard: Heard = []
    requests = Requests()
    requests.pause.set()
    plan = CheckpointPlan(folder=folder, run_id="r", training_id="t")
    checkpointer = Checkpointer(plan, training, emit=lambda *event: heard.append(event), requests=requests)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        result = Training(training, emit=lambda *event: heard.append(event), checkpointer=checkpointer).run()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert result.optimizer_steps == 16
    warned = [
        data["message"]
        for data in data_of(heard, EventKind.WARNING)
        if "continues instead of pausing" in data["message"]
    ]
    assert len(warned) == 1  # the request is over: the next step does not try again
    assert not requests.pause.is_set()


def test_a_transient_second_copy_of_the_state_is_not_the_peak(kept: tuple[TrainingConfig, Path]) -> None:
    """What came before resuming, here 300 MiB that were given back, is forgotten when the state is in its place."""
    training, folder = kept
    plan = CheckpointPlan(folder=folder, run_id="r", training_id="t")
    peaks: list[float] = []

    class Watching(Checkpointer):
        def restore(self, snapshot: Snapshot) -> None:
            torch.ones(300 * 2**18).sum()
            peaks.append(snapshot.memory.peak_bytes() / 2**20)
            super().restore(snapshot)
            peaks.append(snapshot.memory.peak_bytes() / 2**20)

    checkpointer = Watching(plan, training, emit=lambda *event: None, requests=Requests())
    result = Training(training, emit=lambda *event: None, checkpointer=checkpointer).run()
    assert peaks[0] > 280
    assert peaks[1] < 150
    assert result.peak_memory_bytes / 2**20 < 150


def test_a_loss_that_becomes_nan_keeps_the_last_good_checkpoint(training_config: MakeConfig, tmp_path: Path) -> None:
    training = training_config(optimizer="sgd", learning_rate=1e30, checkpoint_steps=1)
    result, heard = train(training, tmp_path / "c")
    assert result is None
    newest = CheckpointManager(tmp_path / "c").newest()
    weights = read_state(newest, tmp_path / "c")["loop"]["model"].values() if newest else []
    assert all(bool(weight.isfinite().all()) for weight in weights)
    assert not data_of(heard, EventKind.FINISHED)


@pytest.mark.parametrize("keeps", [True, False])
def test_weights_that_are_nan_after_the_last_step_are_an_error(
    keeps: bool, training_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last step's loss is still finite; the step itself leaves a gradient of NaN in the weights."""
    from lowtide.trainer import models

    class Spoilt(torch.nn.Sequential):
        calls = 0

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            outputs: torch.Tensor = super().forward(inputs)  # type: ignore[no-untyped-call]
            self.calls += self.training
            if self.calls == 63 and self.training:  # 15 steps of 4 micro-batches, the last of 3
                outputs.register_hook(lambda gradient: gradient * float("nan"))
            return outputs

    monkeypatch.setattr(models, "mlp", lambda: Spoilt(torch.nn.Flatten(), torch.nn.Linear(784, 10)))
    training = training_config(checkpoint_steps=15)
    plan = CheckpointPlan(folder=tmp_path / "c", run_id="r", training_id="t")
    heard: Heard = []
    checkpointer = Checkpointer(plan, training, emit=lambda *event: heard.append(event), requests=Requests())
    with pytest.raises(
        TrainingError, match=r"a weight .* is NaN or infinite after the last optimizer step \(16\); lower"
    ):
        Training(training, emit=lambda *event: heard.append(event), checkpointer=checkpointer if keeps else None).run()
    assert [data["optimizer_step"] for data in data_of(heard, EventKind.CHECKPOINT)] == ([15] if keeps else [])
