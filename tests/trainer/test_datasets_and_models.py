"""What comes with Lowtide, and what comes from torchvision through its guard."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from lowtide.config.schema import ImportedConfig
from lowtide.trainer.datasets import mnist
from lowtide.trainer.models import mlp, small_cnn
from lowtide.trainer.user_code import load_callable


def test_mnist_is_whole_and_normalised(mnist_root: Path) -> None:
    data = mnist(root=str(mnist_root))
    assert data.train_inputs.shape == (60_000, 1, 28, 28)
    assert data.test_inputs.shape == (10_000, 1, 28, 28)
    assert data.train_targets.bincount().tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    prepared = data.prepared(data.train_inputs[:20_000])
    assert abs(float(prepared.mean())) < 0.01
    assert abs(float(prepared.std()) - 1) < 0.01
    assert data.train_inputs.dtype == torch.uint8  # preparing a batch leaves the data alone


def test_limits_take_the_first_images(mnist_root: Path) -> None:
    whole, part = mnist(root=str(mnist_root)), mnist(root=str(mnist_root), train_limit=7, test_limit=3)
    assert torch.equal(part.train_inputs, whole.train_inputs[:7])
    assert torch.equal(part.test_targets, whole.test_targets[:3])


def test_torchvision_reads_the_same_images_from_the_same_files(mnist_root: Path) -> None:
    kwargs = {"root": str(mnist_root), "train": True, "download": False}
    found = load_callable(ImportedConfig(path="torchvision.datasets:MNIST", kwargs=kwargs), key="training.data")()
    expected = mnist(root=str(mnist_root))
    assert torch.equal(found.data, expected.train_inputs.squeeze(1))
    assert torch.equal(found.targets, expected.train_targets)


def test_a_torchvision_model_is_loaded_by_its_import_path() -> None:
    resnet18 = ImportedConfig(path="torchvision.models:resnet18", kwargs={"num_classes": 10})
    model = load_callable(resnet18, key="training.model")()
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def test_the_guard_works_in_a_users_module_that_imports_torchvision_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a fresh process: there the module is the first that touches torchvision."""
    (tmp_path / "their_model.py").write_text(
        "from torchvision.models import resnet18\ndef net():\n    return resnet18()\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{Path(__file__).parents[2] / 'include'}")
    code = (
        "from lowtide.config.schema import ImportedConfig\n"
        "from lowtide.trainer.user_code import load_callable\n"
        "print(type(load_callable(ImportedConfig(path='their_model:net'), key='training.model')()).__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "ResNet"


def test_the_models_have_the_size_that_they_say() -> None:
    count = sum(parameter.numel() for parameter in small_cnn().parameters())
    assert round(count, -3) == 178_000
    assert small_cnn(classes=3)(torch.zeros(2, 1, 28, 28)).shape == (2, 3)
    assert mlp(hidden=5)(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
