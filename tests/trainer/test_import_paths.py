"""A model or data that do not exist are found without importing anything; what only running a file shows is let pass."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from lowtide.config.schema import TrainingConfig
from lowtide.errors import ConfigurationError
from lowtide.trainer.import_paths import check_import_paths

MakeConfig = Callable[..., TrainingConfig]

FILES = {
    "shop/models.py": """
raise RuntimeError("imported")
import numpy as np
from torch import nn, relu as activation
try:
    from fast import Net
except ImportError:
    class Net(nn.Module):
        def forward(self): hidden = 1
SMALL, (large, *_) = 1, (2, 3)
if (found := SMALL) and True:
    async def fetched(): ...
""",
    "shop/written.py": "vars()['Net'] = int\n",
    "shop/starred.py": "from torch.nn import *\n",
    "shop/lazy/__init__.py": "def __getattr__(name): ...\n",
    "shop/lazy/inner.py": "def net(): ...\n",
    "shop/moved/__init__.py": "__path__ = ['/elsewhere']\n",
    "shop/broken.py": "def net(:\n",
    "alone.py": "def net(): ...\n",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("project")
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    "path",
    [
        *("shop.models:Net", "shop.models:np", "shop.models:activation", "shop.models:SMALL", "shop.models:large"),
        *("shop.models:found", "shop.models:fetched", "alone:net", "shop.lazy.inner:net"),
        *("shop.written:Net", "shop.starred:Linear", "shop.lazy:whatever", "shop.moved.models:net"),
        *("math:sqrt", "torch.nn:Linear", "torchvision.models:resnet18", "lowtide.trainer.models:mlp"),
    ],
)
def test_what_exists_or_may_exist_passes(training_config: MakeConfig, folder: Path, path: str) -> None:
    before = set(sys.modules)
    check_import_paths(training_config(model=path), folder)
    assert set(sys.modules) == before


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("shop.models:Nte", "module 'shop.models' has no 'Nte'; did you mean 'Net'?"),
        ("shop.models:hidden", "module 'shop.models' has no 'hidden'; check the name behind the colon."),
        (
            "shop.modells:Net",
            "there is no module 'shop.modells'; put it into the project folder or install its package",
        ),
        ("alone.net:Net", "there is no module 'alone.net'; put it into the project folder or install its package"),
        ("no_such_package.a.b:c", "there is no module 'no_such_package'; put it"),
        ("shop.lazy.outer:net", "there is no module 'shop.lazy.outer'; put it"),
        ("shop.broken:net", "'shop.broken' is not valid Python: invalid syntax (broken.py, line 1); fix that module"),
        ("lowtide.trainer.models:gone", "module 'lowtide.trainer.models' has no 'gone'"),
    ],
)
@pytest.mark.parametrize("part", ["model", "data"])
def test_what_does_not_exist_is_one_sentence(
    training_config: MakeConfig, folder: Path, part: str, path: str, sentence: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_import_paths(training_config(**{part: path}), folder)
    assert f"training.{part}.path '{path}': {sentence}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_module_that_only_the_parent_finds_is_refused(
    training_config: MakeConfig, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow adds the folders of DAGs and plugins to its own path; the child has neither."""
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "in_dags.py").write_text("def net(): ...\n")
    monkeypatch.syspath_prepend(str(tmp_path / "dags"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "dags"))
    with pytest.raises(ConfigurationError, match="there is no module 'in_dags'"):
        check_import_paths(training_config(model="in_dags:net"), folder)
