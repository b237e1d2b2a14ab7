"""The code in docs/own_model.md is run unchanged."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from lowtide.config.loader import PROJECT_ROOT
from lowtide.config.schema import TrainingConfig

TEXT = (PROJECT_ROOT / "docs" / "own_model.md").read_text(encoding="utf-8")
RUN = """
import json, sys
import torch
torch.set_num_threads(1)
from lowtide.config.schema import TrainingConfig
from lowtide.trainer.trainer import Training
warnings = []
emit = lambda kind, data: warnings.append(data["message"]) if kind == "warning" else None
result = Training(TrainingConfig.model_validate_json(sys.argv[1]), emit=emit).run()
print(json.dumps({"result": result.model_dump(mode="json"), "warnings": warnings}))
"""


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, flags=re.DOTALL)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The documented files, where their first line says that they lie."""
    for block in blocks("python"):
        path = tmp_path / block.splitlines()[0].removeprefix("# ")
        path.parent.mkdir(exist_ok=True)
        path.write_text(block, encoding="utf-8")
    return tmp_path


def trained(folder: Path, changes: dict[str, Any]) -> dict[str, Any]:
    training = yaml.safe_load(blocks("yaml")[0])["training"] | {"device": "cpu"} | changes
    done = subprocess.run(
        [sys.executable, "-c", RUN, json.dumps(training)], cwd=folder, capture_output=True, text=True, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_the_text_model_learns_and_padding_does_not_count(project: Path) -> None:
    """Vowels are easy: a tagger that uses the letter gets nearly all of them right; padding alone would not."""
    found = trained(project, {})
    assert found["warnings"] == []
    assert found["result"]["effective_batch_size"] == 64
    assert found["result"]["accumulation_steps"] == 2
    assert found["result"]["test_accuracy"] > 0.95


def test_the_photos_example_streams_real_files(project: Path) -> None:
    """A few image files in folders, by the documented function and torchvision's ImageFolder, with two workers."""
    code = (
        "from pathlib import Path\n"
        "from PIL import Image\n"
        "for part in ('train', 'test'):\n"
        "    for label in ('cat', 'dog'):\n"
        "        folder = Path('photos') / part / label; folder.mkdir(parents=True)\n"
        "        for number in range(4):\n"
        "            Image.new('RGB', (40, 30), (60 * number, 10, 200)).save(folder / f'{number}.png')\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=project, check=True)
    (project / "my_project" / "tiny.py").write_text(
        "from torch import nn\n"
        "def net():\n    return nn.Sequential(nn.AvgPool2d(32), nn.Flatten(), nn.Linear(147, 2))\n"
    )
    changes = {
        "data": {"path": "my_project.photos:photos", "kwargs": {"root": "photos"}},
        "model": {"path": "my_project.tiny:net"},
        "micro_batch_size": 2,
        "effective_batch_size": 4,
        "loader_workers": 2,
    }
    found = trained(project, changes)
    assert found["result"]["samples"] == 16
    assert found["result"]["optimizer_steps"] == 4


@pytest.mark.parametrize("text", blocks("yaml"))
def test_the_yaml_names_keys_that_exist(text: str) -> None:
    parsed = yaml.safe_load(text)
    training = parsed.get("training", parsed)
    assert set(training) <= set(TrainingConfig.model_fields)
