"""Imports follow the arrows; each rule is also shown to catch a violation."""

import subprocess
import sys
from pathlib import Path

import pytest

from include.config import PROJECT_ROOT
from tests.architecture.imports import imports_of
from tests.architecture.rules import HEAVY, ROOMS, RULES

FOLDERS = ("include", "plugins", "dags", "local")

VIOLATIONS = {
    "include never imports airflow, the plugin, DAGs or the local runner": (
        "include/pipeline/bad.py",
        "def f():\n    from airflow.sdk import DAG",
    ),
    "the four rooms do not import one another, nor what composes them": (
        "include/tracker/bad.py",
        "from include import scheduler",
    ),
    "the shared words import no room": ("include/records/bad.py", "import include.report.model"),
    "torch is imported in the trainer only": ("include/pipeline/bad.py", "def f():\n    import torch.nn"),
    "codecarbon is imported in the tracker only": ("include/pipeline/bad.py", "def f():\n    import codecarbon"),
    "codecarbon is never imported by importing a file": ("include/tracker/bad.py", "from codecarbon import core"),
    "requests is imported by the first GET, not by importing a file": (
        "include/scheduler/bad.py",
        "from include.scheduler.network.exchange import exchange",
    ),
    "DAGs reach the rooms through the plugin only": ("dags/bad.py", "from include.scheduler import decide"),
    "plugins import neither DAGs nor the command line": ("plugins/lowtide/bad.py", "from include.cli import main"),
    "the local runner imports neither airflow nor the plugin": (
        "local/bad.py",
        "import importlib\nimportlib.import_module('airflow.models')",
    ),
}


@pytest.mark.parametrize("name", RULES)
def test_the_tree_keeps_the_rule(name: str) -> None:
    broken = [str(found) for found in imports_of(PROJECT_ROOT, *FOLDERS) if RULES[name](found)]
    assert not broken, f"{name}: {broken}"


@pytest.mark.parametrize("name", RULES)
def test_the_rule_catches_a_violation(name: str, tmp_path: Path) -> None:
    file, code = VIOLATIONS[name]
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_text(code, encoding="utf-8")
    assert [found for found in imports_of(tmp_path, *FOLDERS) if RULES[name](found)]


def test_relative_imports_do_not_slip_through(tmp_path: Path) -> None:
    (tmp_path / "include" / "tracker").mkdir(parents=True)
    (tmp_path / "include" / "tracker" / "bad.py").write_text("from ..scheduler import decide", encoding="utf-8")
    rule = RULES["the four rooms do not import one another, nor what composes them"]
    assert any(rule(found) for found in imports_of(tmp_path, *FOLDERS))


def test_there_is_something_to_check() -> None:
    files = {found.file for found in imports_of(PROJECT_ROOT, *FOLDERS)}
    for room in ROOMS:
        assert any(file.startswith(f"include/{room}/") for file in files), f"no file of {room} was read"
    assert any(file.startswith("dags/") for file in files)
    assert any(file.startswith("plugins/lowtide/") for file in files)


PARENT_SIDE = "include.trainer, include.tracker, include.scheduler, include.report, include.pipeline"


def test_the_rooms_fronts_load_neither_torch_nor_codecarbon() -> None:
    code = f"import sys, {PARENT_SIDE}; print(sorted({{*{(*HEAVY, 'codecarbon')!r}}} & set(sys.modules)))"
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT_ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.strip() == "[]"
