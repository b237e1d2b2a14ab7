"""The layers of pyproject.toml, checked by import-linter, and that they can be violated."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from lowtide.config.loader import PROJECT_ROOT

PARENT_SIDE = (
    "lowtide.trainer.child_process, lowtide.tracker.recorder, lowtide.scheduler.decision, lowtide.report.compare,"
    " lowtide.runs.run"
)


def lint(package_root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--config", PROJECT_ROOT / "pyproject.toml", "--no-cache"],
        cwd=package_root,
        env={**os.environ, "PYTHONPATH": str(package_root)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_the_package_keeps_its_layers() -> None:
    found = lint(PROJECT_ROOT / "include")
    assert found.returncode == 0, found.stdout + found.stderr
    assert " 0 broken" in found.stdout


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package's Python files."""
    root = tmp_path_factory.mktemp("package")
    shutil.copytree(
        PROJECT_ROOT / "include" / "lowtide", root / "lowtide", ignore=shutil.ignore_patterns("__pycache__")
    )
    return root


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("tracker/meter.py", "import lowtide.scheduler.decision", "Layers"),
        ("scheduler/job.py", "from ..tracker import recorder", "Layers"),
        ("records.py", "import lowtide.report.model", "Layers"),
        ("grid/series.py", "import lowtide.runs.run", "Layers"),
        ("grid/series.py", "import lowtide.grid.planner", "No import cycles"),
        ("runs/folder.py", "def f():\n    import airflow", "Only lowtide.airflow imports Airflow"),
        ("runs/folder.py", "def f():\n    import torch.nn", "Only the training child imports torch"),
        ("report/model.py", "def f():\n    import codecarbon", "Only the tracker imports CodeCarbon"),
    ],
)
def test_a_violation_is_noticed(package: Path, file: str, line: str, contract: str) -> None:
    path = package / "lowtide" / file
    text = path.read_text(encoding="utf-8")
    path.write_text(f"{text}\n\n{line}\n", encoding="utf-8")
    try:
        found = lint(package)
    finally:
        path.write_text(text, encoding="utf-8")
    assert found.returncode == 1, found.stdout + found.stderr
    broken, _, _ = " ".join(found.stdout.split()).rpartition(" BROKEN")
    assert contract in broken


def test_the_parents_side_loads_neither_torch_nor_codecarbon() -> None:
    code = f"import sys, {PARENT_SIDE}; print(sorted({{'torch', 'torchvision', 'codecarbon'}} & set(sys.modules)))"
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT_ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.strip() == "[]"
