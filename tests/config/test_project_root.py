"""Which folder is the project: named, a checkout, AIRFLOW_HOME, or the current folder, in this order."""

from pathlib import Path

import pytest
from lowtide.config import airflow_params
from lowtide.config.loader import find_project_root
from lowtide.errors import ConfigurationError


def module_below(folder: Path) -> Path:
    """Return the path of a module two folders below the folder that Python imports from."""
    return folder / "lowtide" / "config" / "loader.py"


def test_the_variable_overrides_the_checkout(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").touch()
    environment = {"LOWTIDE_PROJECT_ROOT": str(tmp_path / "named"), "AIRFLOW_HOME": str(tmp_path / "home")}
    assert find_project_root(module_below(tmp_path / "include"), environment, tmp_path) == tmp_path / "named"


def test_a_checkout_overrides_airflow_home(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").touch()
    environment = {"AIRFLOW_HOME": str(tmp_path / "home")}
    assert find_project_root(module_below(tmp_path / "include"), environment, tmp_path / "elsewhere") == tmp_path


@pytest.mark.parametrize("folder", ["include", "site-packages"])
def test_an_installed_package_takes_airflow_s_home_else_the_current_folder(tmp_path: Path, folder: str) -> None:
    if folder == "site-packages":
        (tmp_path / "pyproject.toml").touch()
    module = module_below(tmp_path / folder)
    assert find_project_root(module, {"AIRFLOW_HOME": str(tmp_path / "home")}, tmp_path) == tmp_path / "home"
    assert find_project_root(module, {"AIRFLOW_HOME": ""}, tmp_path / "current") == tmp_path / "current"


def test_a_project_without_configurations_has_an_empty_list_and_working_params(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(airflow_params, "CONFIGS_FOLDER", tmp_path / "include" / "configs")
    assert airflow_params.configuration_files() == []
    assert airflow_params.param_schemas()["config"]["enum"] == [None]
    with pytest.raises(ConfigurationError, match=r"is not in include/configs; put the file into .*/include/configs"):
        airflow_params.config_path_from_params({"config": "grid.yaml"}, "demo.yaml")
