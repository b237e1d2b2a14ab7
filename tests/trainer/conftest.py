"""Real MNIST, a project folder with code of a user's own, and configurations of the training."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from lowtide.config.loader import PROJECT_ROOT, default_data_folder
from lowtide.config.schema import TrainingConfig
from lowtide.trainer.child_process import TrainingChild
from lowtide.trainer.mnist import ensure_mnist
from lowtide.trainer.protocol import CheckpointPlan

from tests.support.kept_trainings import train

MakeConfig = Callable[..., TrainingConfig]


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Threads of these tiny models would mostly wait for one another: ten times as long on a busy machine."""
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")  # the children inherit it
        yield


@pytest.fixture(scope="session")
def mnist_root() -> Path:
    """The folder of data sets; a fresh clone fetches them once."""
    root = default_data_folder()
    ensure_mnist(root, report=print)
    return root


@pytest.fixture(scope="session")
def training_config(mnist_root: Path) -> MakeConfig:
    """Make a small training on the first 2,000 images; keywords replace its parts, ``model`` and ``data`` take a path."""

    def make(**changes: Any) -> TrainingConfig:
        subset = {"root": str(mnist_root), "train_limit": 2000, "test_limit": 1000}
        parts: dict[str, Any] = {
            "model": {"path": "lowtide.trainer.models:mlp"},
            "data": {"path": "lowtide.trainer.datasets:mnist", "kwargs": subset},
            "epochs": 1,
            "learning_rate": 0.002,
            "micro_batch_size": 32,
            "accumulation_steps": 4,
            "device": "cpu",
        }
        for name in ("model", "data"):
            if isinstance(changes.get(name), str):
                changes[name] = {"path": changes[name]}
        return TrainingConfig.model_validate_json(json.dumps(parts | changes))

    return make


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project folder that holds the package and a user's module ``user_code``."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "include").symlink_to(PROJECT_ROOT / "include")
    (folder / "user_code.py").symlink_to(Path(__file__).with_name("user_code.py"))
    return folder


@pytest.fixture
def make_child(project: Path, tmp_path: Path) -> Iterator[Callable[..., TrainingChild]]:
    """Make children that end with the test, whatever it does."""
    children: list[TrainingChild] = []

    def make(training: TrainingConfig, checkpoints: CheckpointPlan | None = None) -> TrainingChild:
        log_path = tmp_path / "logs" / "training.log"
        child = TrainingChild(training, log_path=log_path, project_root=project, checkpoints=checkpoints)
        children.append(child)
        return child

    yield make
    for child in children:
        child.end()


@pytest.fixture
def kept(training_config: MakeConfig, tmp_path: Path) -> tuple[TrainingConfig, Path]:
    """A training of 16 steps that was stopped after steps 4 and 5 had been saved."""
    training = training_config(checkpoint_steps=4)
    train(training, tmp_path / "kept", stop=True)
    return training, tmp_path / "kept"
