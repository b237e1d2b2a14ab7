"""The built wheel in an Airflow of somebody else's: no checkout, a project with an ``include`` folder.

The wheel is installed by pip into a new environment. A full installation of Airflow for each test run would take minutes, so
that environment borrows the dependencies (Airflow among them) from the tests' environment: by links to everything in its
``site-packages`` except Lowtide's own installation, which the tests prove to be out of sight, and PyTorch, which the sensor
does without.
"""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.config_files import write_config

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

CHECKOUT = Path(__file__).resolve().parents[2]
DAG = '''"""One task before yours."""
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG
from include.names import DAG_ID
from lowtide.airflow import CarbonIntensitySensor

with DAG(DAG_ID, schedule=None):
    wait = CarbonIntensitySensor(task_id="wait", config="config.yaml")
    work = BashOperator(task_id="work", bash_command="echo worked > $AIRFLOW_HOME/worked.txt")
    wait >> work
'''
ASK = """
import json, logging, lowtide
from airflow import plugins_manager
from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService
from airflow.dag_processing.dagbag import DagBag
from lowtide.config.loader import PROJECT_ROOT
bag = DagBag()
plugins, errors = plugins_manager._get_plugins()
(form,) = [meta for meta in HookMetaService.hook_meta_data() if meta.connection_type == "carbon_intensity"]
print("\\nANSWER" + json.dumps({
    "file": lowtide.__file__, "root": str(PROJECT_ROOT), "dags": sorted(bag.dags), "form": form.model_dump(),
    "dag_errors": {str(k): str(v) for k, v in bag.import_errors.items()},
    "plugin_errors": {str(k): str(v) for k, v in errors.items()},
    "plugins": [plugin.name for plugin in plugins],
}))
"""


@dataclass(frozen=True)
class Installation:
    """An environment with the wheel, and an Airflow project beside it."""

    bin: Path
    home: Path

    def run(self, *command: str | Path) -> str:
        done = self.try_to_run(*command)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        return done.stdout

    def try_to_run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        environment = {
            name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "USER", "LANG", "TMPDIR")
        }
        environment |= {
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "PYTHONPATH": str(self.home),
        }
        return subprocess.run(command, cwd=self.home, env=environment, capture_output=True, text=True, check=False)

    def airflow(self, *arguments: str) -> str:
        return self.run(self.bin / "python", "-m", "airflow", *arguments)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    root = tmp_path_factory.mktemp("installed")
    environment, home = root / "venv", root / "home"
    wheel = build_wheel(root)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    pip = [sys.executable, "-m", "pip", "--python", environment / "bin" / "python"]
    subprocess.run([*pip, "install", "-q", "--no-deps", "--no-index", wheel], check=True)
    borrow_dependencies(environment, root / "borrowed")
    write_project(home)
    installation = Installation(bin=environment / "bin", home=home)
    installation.airflow("db", "migrate")
    return installation


def build_wheel(root: Path) -> Path:
    """Build from a copy: setuptools leaves its work beside the sources."""
    sources = root / "sources"
    shutil.copytree(
        CHECKOUT / "include", sources / "include", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
    )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(CHECKOUT / name, sources / name)
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index", "-w", root]
    subprocess.run([*build, sources], check=True)
    (wheel,) = root.glob("lowtide-*.whl")
    # metadata there, on a checkout's path, would announce the plugin a second time
    assert not (sources / "include" / "lowtide.egg-info").exists()
    return wheel


def borrow_dependencies(environment: Path, borrowed: Path) -> None:
    borrowed.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if not entry.name.startswith(("lowtide", "__editable__", "torch", "functorch")):
            (borrowed / entry.name).symlink_to(entry)
    (site_packages,) = environment.glob("lib/python*/site-packages")
    (site_packages / "borrowed.pth").write_text(f"{borrowed}\n", encoding="utf-8")


def write_project(home: Path) -> None:
    """Write what a team has already: a DAG, an ``include`` folder with code, and one configuration file."""
    (home / "dags").mkdir(parents=True)
    (home / "dags" / "guarded.py").write_text(DAG, encoding="utf-8")
    replay = {"virtual_start": "2025-04-15T11:00", "speed": 60.0}
    write_config(home / "include" / "configs", grid__replay=replay)
    (home / "include" / "__init__.py").touch()
    (home / "include" / "names.py").write_text('DAG_ID = "guarded"\n', encoding="utf-8")


@pytest.fixture(scope="module")
def answer(installed: Installation) -> dict[str, object]:
    found: dict[str, object] = json.loads(installed.run(installed.bin / "python", "-c", ASK).rpartition("\nANSWER")[2])
    return found


def test_the_package_is_the_wheel_s_and_the_project_is_airflow_s_home(installed: Installation, answer) -> None:
    assert Path(answer["file"]).is_relative_to(installed.bin.parent)
    assert answer["root"] == str(installed.home)


def test_the_dag_parses_beside_the_project_s_own_include_folder(answer) -> None:
    assert answer["dag_errors"] == {}
    assert answer["dags"] == ["guarded"]


def test_the_plugin_loads_once(answer) -> None:
    assert answer["plugin_errors"] == {}
    assert answer["plugins"].count("lowtide") == 1


def test_the_connection_type_and_its_form_are_listed(answer) -> None:
    assert answer["form"]["standard_fields"]["password"]["title"] == "Token or password"
    assert "neso" in answer["form"]["extra_fields"]["provider"]["schema"]["enum"]


def test_the_provider_is_listed(installed: Installation) -> None:
    rows = json.loads(installed.airflow("providers", "list", "-o", "json"))
    assert [row["version"] for row in rows if row["package_name"] == "lowtide"] == ["0.1.0"]


def test_the_console_script_helps(installed: Installation) -> None:
    assert "usage: lowtide" in installed.run(installed.bin / "lowtide", "--help")


def test_a_run_of_the_sensor_and_the_task_behind_it_succeeds(installed: Installation) -> None:
    installed.airflow("dags", "test", "guarded")
    assert (installed.home / "worked.txt").read_text(encoding="utf-8") == "worked\n"
    (decisions,) = (installed.home / "include" / "configs" / "artifacts").rglob("decisions.jsonl")
    assert json.loads(decisions.read_text(encoding="utf-8").splitlines()[0])["action"] == "run"


def test_a_training_without_pytorch_is_refused_in_one_sentence_before_it_waits(installed: Installation) -> None:
    done = installed.try_to_run(installed.bin / "lowtide", "train", "include/configs/config.yaml")
    assert done.returncode == 2
    python = installed.bin / "python"
    sentence = f"PyTorch is not installed for {python}, and a training needs it; run: pip install 'lowtide[train]'"
    assert done.stderr.strip() == f"lowtide: {sentence}"
