"""Digits, and torchvision's data sets by import path."""

import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from lowtide.config.loader import DATA_VARIABLE
from lowtide.config.schema import ImportedConfig
from lowtide.errors import ConfigurationError, DataSetError
from lowtide.trainer.data import TrainingData
from lowtide.trainer.datasets import digits, load_data, mnist, normaliser
from lowtide.trainer.protocol import EventKind
from lowtide.trainer.trainer import Training

from tests.trainer.conftest import MakeConfig


def loaded(path: str, **kwargs: object) -> TrainingData:
    found = load_data(ImportedConfig(path=path, kwargs=kwargs))()
    assert isinstance(found, TrainingData)
    return found


def test_a_torchvision_data_set_is_named_in_the_yaml_and_gives_both_splits(mnist_root: Path) -> None:
    found, expected = loaded("torchvision.datasets:MNIST", root=str(mnist_root)), mnist(root=str(mnist_root))
    assert torch.equal(found.train_inputs, expected.train_inputs)
    assert torch.equal(found.test_inputs, expected.test_inputs)
    assert torch.equal(found.test_targets, expected.test_targets)
    pixels = expected.train_inputs[:100]
    assert torch.allclose(
        found.prepared(pixels), expected.prepared(pixels), atol=0.005
    )  # its own mean against the known one


def test_the_fetched_files_are_found_by_torchvision_without_a_root(
    mnist_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DATA_VARIABLE, str(mnist_root))
    assert loaded("torchvision.datasets:MNIST").train_count == 60_000


def test_colour_images_in_numpy_become_channels_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """CIFAR-10's shape of storage: 32 x 32 x 3 in numpy, classes in a list; the class replaces torchvision's."""
    import numpy
    from torchvision import datasets

    class Stored:
        def __init__(self, root: str, train: bool = True) -> None:
            count = 50 if train else 20
            self.data = numpy.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), dtype=numpy.uint8)
            self.targets = list(range(10)) * (count // 10)

    monkeypatch.setattr(datasets, "CIFAR10", Stored)
    data = loaded("torchvision.datasets:CIFAR10")
    assert data.train_inputs.shape == (50, 3, 32, 32)
    assert data.test_inputs.shape == (20, 3, 32, 32)
    prepared = data.prepared(data.train_inputs)
    assert torch.allclose(prepared.mean((0, 2, 3)), torch.zeros(3), atol=1e-4)
    assert torch.allclose(prepared.std((0, 2, 3)), torch.ones(3), atol=1e-2)


@pytest.mark.parametrize(
    ("path", "kwargs", "kind", "said"),
    [
        ("torchvision.datasets:MNST", {}, ConfigurationError, "has no 'MNST'; did you mean"),
        ("torchvision.datasets:MNIST", {"train": True}, ConfigurationError, "leave the choice to Lowtide"),
        ("torchvision.datasets:FakeData", {}, ConfigurationError, "must have a training and a test split"),
        ("torchvision.datasets:MNIST", {"rooot": "x"}, ConfigurationError, "unexpected keyword argument 'rooot'"),
        (
            "torchvision.datasets:KMNIST",
            {},
            DataSetError,
            "files are not in .*add download: true to training.data.kwargs",
        ),
    ],
)
def test_what_torchvision_cannot_give_is_one_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    kwargs: dict[str, object],
    kind: type[Exception],
    said: str,
) -> None:
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    with pytest.raises(kind, match=said) as caught:
        loaded(path, **kwargs)
    assert "\n" not in str(caught.value)


def test_digits_come_with_the_package_and_are_learned_in_a_second(training_config: MakeConfig) -> None:
    data = digits()
    assert (data.train_count, len(data.test_inputs)) == (1498, 299)
    assert int(data.train_inputs.max()) == 16
    assert torch.cat([data.train_targets, data.test_targets]).bincount().tolist() == [
        *(178, 182, 177, 183, 181),
        *(182, 181, 179, 174, 180),
    ]
    config = training_config(
        data={"path": "lowtide.trainer.datasets:digits"},
        model="user_code_digits:net",
        epochs=8,
        micro_batch_size=32,
        accumulation_steps=2,
        learning_rate=0.01,
    )
    module = ModuleType("user_code_digits")
    module.net = lambda: torch.nn.Sequential(  # type: ignore[attr-defined]
        torch.nn.Flatten(), torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10)
    )
    sys.modules["user_code_digits"] = module
    try:

        def ignore(kind: EventKind, data: dict[str, object]) -> None: ...

        assert Training(config, emit=ignore).run().test_accuracy > 0.95
    finally:
        del sys.modules["user_code_digits"]


def test_a_constant_channel_is_not_divided_by_zero() -> None:
    images = torch.full((4, 1, 2, 2), 7, dtype=torch.uint8)
    assert torch.equal(normaliser(images)(images), torch.zeros(4, 1, 2, 2))
