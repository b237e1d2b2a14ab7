"""A checkpoint that cannot be read now is no damaged one: it is neither set aside nor deleted."""

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from lowtide.config.loader import PROJECT_ROOT
from lowtide.config.schema import TrainingConfig
from lowtide.errors import ArtifactError
from lowtide.trainer.checkpoint import read_state
from lowtide.trainer.checkpoint_manager import CheckpointManager

from tests.support.kept_trainings import train

MakeConfig = Callable[..., TrainingConfig]


@pytest.fixture
def two(training_config: MakeConfig, tmp_path: Path) -> tuple[TrainingConfig, Path]:
    """A training that was stopped after steps 4 and 5 had been saved."""
    training = training_config(checkpoint_steps=4)
    train(training, tmp_path / "two", stop=True)
    return training, tmp_path / "two"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def fail_reads_of(monkeypatch: pytest.MonkeyPatch, name: str, number: int) -> None:
    """Let every opening of the file fail as a network file system does that has lost it for a short time."""
    opened = Path.open

    def open_or_fail(self: Path, *args: object, **kwargs: object) -> object:
        if self.name == name:
            raise OSError(number, os.strerror(number), str(self))
        return opened(self, *args, **kwargs)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", open_or_fail)


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EACCES])
@pytest.mark.parametrize("suffix", [".pt", ".json"])
def test_a_passing_read_error_ends_the_training_and_touches_nothing(
    two: tuple[TrainingConfig, Path], monkeypatch: pytest.MonkeyPatch, number: int, suffix: str
) -> None:
    training, folder = two
    before = contents(folder)
    newest = sorted(folder.glob(f"*{suffix}"))[-1].name
    with monkeypatch.context() as patch:
        fail_reads_of(patch, newest, number)
        with pytest.raises(ArtifactError, match="cannot be read now") as raised:
            train(training, folder)
        CheckpointManager(folder).prune(keep=1)
        assert "\n" not in str(raised.value)
    kept = contents(folder)
    if suffix == ".json":
        assert kept == before  # the one that cannot be read, and the newest of those that can
    else:
        assert kept.keys() == {name for name in before if "-000002" in name}
    result, _ = train(training, folder)
    assert result is not None


READ = """
import resource, sys
from pathlib import Path
from lowtide.errors import ArtifactError
from lowtide.trainer.checkpoint_manager import CheckpointManager
from lowtide.trainer.checkpoint import read_state
folder = Path(sys.argv[1])
manifest = CheckpointManager(folder).newest()
size = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmSize")) * 1024
resource.setrlimit(resource.RLIMIT_AS, (size + 8 * 2**20, resource.RLIM_INFINITY))
try:
    read_state(manifest, folder)
except ArtifactError as error:
    print(error)
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_AS"), reason="needs RLIMIT_AS")
def test_too_little_memory_to_load_a_state_is_no_damage(training_config: MakeConfig, tmp_path: Path) -> None:
    """A real allocator under a limit of address space."""
    model = {"path": "lowtide.trainer.models:mlp", "kwargs": {"hidden": 3000}}
    train(training_config(model=model, checkpoint_interval=None), tmp_path / "c")
    done = subprocess.run(
        [sys.executable, "-c", READ, str(tmp_path / "c")], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True
    )
    assert "cannot be read now" in done.stdout


def test_a_later_format_is_refused_and_kept(two: tuple[TrainingConfig, Path]) -> None:
    training, folder = two
    newest = sorted(folder.glob("*.json"))[-1]
    newest.write_text(newest.read_text().replace('"format_version": 1', '"format_version": 2'))
    before = contents(folder)
    with pytest.raises(ArtifactError, match="has format_version 2"):
        train(training, folder)
    CheckpointManager(folder).prune(keep=1)
    assert contents(folder) == before


def test_pruning_counts_only_what_can_be_read(two: tuple[TrainingConfig, Path]) -> None:
    """With one to keep and the newest torn, the older one is all there is."""
    _, folder = two
    newest = sorted(folder.glob("*.json"))[-1]
    newest.write_text(newest.read_text()[:100])
    before = contents(folder)
    CheckpointManager(folder).prune(keep=1)
    assert contents(folder) == before
    found = CheckpointManager(folder).newest()
    assert found is not None
    assert read_state(found, folder)


def test_a_folder_that_cannot_be_listed_is_not_empty(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match="cannot read"):
        CheckpointManager(tmp_path / "file").names()
    assert CheckpointManager(tmp_path / "none").names() == []
