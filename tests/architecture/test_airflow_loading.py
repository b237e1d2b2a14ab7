"""Parsing the DAGs and loading the plugins, in real processes: nothing heavy, nothing twice, no error."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from lowtide.config.loader import PROJECT_ROOT

HEAVY = ("torch", "torchvision", "codecarbon", "requests", "numpy", "matplotlib")

PARSE = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
bag = DagBag(dag_folder=sys.argv[1])
heavy = sorted(set(sys.argv[2].split(",")) & set(sys.modules))
errors = {str(file): str(error) for file, error in bag.import_errors.items()}
print("\\nANSWER" + json.dumps({"dags": sorted(bag.dags), "errors": errors, "heavy": heavy}))
"""

LOAD = """
import json, sys
from airflow import plugins_manager
plugins_manager.ensure_plugins_loaded()
errors = {str(file): str(error) for file, error in plugins_manager._get_plugins()[1].items()}
root = sys.argv[1]
files = {name: str(getattr(module, "__file__", "")) for name, module in list(sys.modules.items())}
executed = sorted(name for name, file in files.items() if file.startswith(root))
heavy = sorted(set(sys.argv[2].split(",")) & set(sys.modules))
print("\\nANSWER" + json.dumps({"executed": executed, "errors": errors, "heavy": heavy}))
"""


def ask(code: str, folder: Path, home: Path, *, plugins: Path = PROJECT_ROOT / "plugins") -> dict[str, Any]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")} | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(plugins),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "PYTHONPATH": str(PROJECT_ROOT / "include"),
    }
    command = [sys.executable, "-c", code, str(folder), ",".join(HEAVY)]
    answer = subprocess.run(
        command, cwd=home, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert "\nANSWER" in answer.stdout, answer.stdout + answer.stderr
    found: dict[str, Any] = json.loads(answer.stdout.rpartition("\nANSWER")[2])
    return found


def test_parsing_the_dags_loads_nothing_heavy(tmp_path: Path) -> None:
    answer = ask(PARSE, PROJECT_ROOT / "dags", tmp_path)
    assert answer["errors"] == {}
    assert {"baseline_training", "carbon_aware_retraining"} <= set(answer["dags"])
    assert answer["heavy"] == []


def test_loading_the_plugins_loads_nothing_heavy(tmp_path: Path) -> None:
    answer = ask(LOAD, PROJECT_ROOT / "plugins", tmp_path)
    assert answer["errors"] == {}
    assert answer["heavy"] == []


def test_no_file_of_the_package_is_executed_as_a_top_level_module(tmp_path: Path) -> None:
    answer = ask(LOAD, PROJECT_ROOT / "plugins", tmp_path)
    assert [name for name in answer["executed"] if name.partition(".")[0] != "lowtide_plugin"] == []


def test_a_dag_that_imports_torch_would_be_noticed(tmp_path: Path) -> None:
    (tmp_path / "dags").mkdir()
    code = "import torch\nfrom airflow.sdk import DAG\nwith DAG('heavy_dag', schedule=None):\n    pass\n"
    (tmp_path / "dags" / "heavy.py").write_text(code, encoding="utf-8")
    answer = ask(PARSE, tmp_path / "dags", tmp_path)
    assert answer["dags"] == ["heavy_dag"]
    assert "torch" in answer["heavy"]
