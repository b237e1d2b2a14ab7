"""What must be equal for a training to resume from a checkpoint, what may change, and what is reported."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lowtide.config.schema import TrainingConfig
from lowtide.errors import ConfigurationError
from lowtide.trainer.checkpoint_manager import CheckpointManager
from lowtide.trainer.protocol import EventKind

from tests.support.kept_trainings import data_of, train

MakeConfig = Callable[..., TrainingConfig]


def test_another_configuration_is_refused_and_the_difference_named(
    kept: tuple[TrainingConfig, Path], training_config: MakeConfig
) -> None:
    _, folder = kept
    for changes, difference in (
        ({"learning_rate": 0.001}, r"training\.learning_rate was 0\.002 and is 0\.001 now"),
        (
            {"model": "lowtide.trainer.models:small_cnn"},
            r"training\.model\.path was 'lowtide\.trainer\.models:mlp' and is",
        ),
        ({"clip_gradient_norm": 1.0}, r"training\.clip_gradient_norm was not set and is 1\.0 now"),
    ):
        with pytest.raises(ConfigurationError, match=difference):
            train(training_config(**changes), folder)
    assert len(CheckpointManager(folder).names()) == 2  # a refusal costs nothing


def test_how_often_it_saves_and_where_it_runs_may_change(
    kept: tuple[TrainingConfig, Path], training_config: MakeConfig
) -> None:
    _, heard = train(training_config(checkpoint_steps=7, device="auto", stall_timeout="1h"), kept[1])
    assert data_of(heard, EventKind.RESUMED)


@pytest.mark.parametrize("other", [{"run_id": "another"}, {"training_id": "another"}])
def test_another_runs_checkpoint_is_refused(kept: tuple[TrainingConfig, Path], other: dict[str, Any]) -> None:
    training, folder = kept
    with pytest.raises(ConfigurationError, match="belongs to another training"):
        train(training, folder, **other)


def test_data_of_another_length_are_refused(kept: tuple[TrainingConfig, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """The same import path, other data behind it."""
    from lowtide.trainer import datasets

    training, folder = kept
    load = datasets.mnist
    monkeypatch.setattr(datasets, "mnist", lambda **kwargs: load(**kwargs | {"train_limit": 1900}))
    with pytest.raises(ConfigurationError, match="gives 1900 training samples, but this run began with 2000"):
        train(training, folder)


def test_a_model_that_was_changed_meanwhile_is_refused(
    kept: tuple[TrainingConfig, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from lowtide.trainer import models

    training, folder = kept
    mlp = models.mlp
    monkeypatch.setattr(models, "mlp", lambda: mlp(hidden=64))
    with pytest.raises(
        ConfigurationError,
        match=r"'lowtide\.trainer\.models:mlp' differs from the one.*size mismatch",
    ):
        train(training, folder)


def test_another_number_of_threads_is_a_warning(kept: tuple[TrainingConfig, Path]) -> None:
    training, folder = kept
    torch.set_num_threads(2)
    try:
        _, heard = train(training, folder)
    finally:
        torch.set_num_threads(1)
    (warning,) = data_of(heard, EventKind.WARNING)
    assert warning["message"].startswith("torch_threads was '1' and is '2' now: the result may differ in its last bits")


def test_another_device_is_a_warning_with_its_name(
    kept: tuple[TrainingConfig, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same kind of device, another model: its kernels may add in another order."""
    from lowtide.trainer import device

    training, folder = kept
    mine = device.device_name(torch.device("cpu"))
    monkeypatch.setattr(device, "device_name", lambda device: "Another 9000")
    _, heard = train(training, folder)
    (warning,) = data_of(heard, EventKind.WARNING)
    assert warning["message"].startswith(f"device_name was {mine!r} and is 'Another 9000' now: the result may differ")
