"""What the training child may see of its parent's environment."""

import os
from pathlib import Path

import lowtide
import pytest
from lowtide.errors import ConfigurationError
from lowtide.trainer.child_process import child_environment


def environment(parent: dict[str, str], *extra: str) -> dict[str, str]:
    return child_environment(parent, extra=extra, project_root=Path("/project"))


def test_what_is_not_on_the_list_stays_out() -> None:
    parent = {
        "AIRFLOW__CORE__FERNET_KEY": "secret",
        "AIRFLOW_CONN_GRID": "secret",
        "MY_TOKEN": "secret",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "PYTHONSTARTUP": "/elsewhere.py",
    }
    assert "secret" not in environment(parent).values()
    assert set(environment(parent)) == {"PYTHONPATH", "PYTHONUNBUFFERED", "LOWTIDE_PROJECT_ROOT"}


def test_what_a_training_needs_gets_in() -> None:
    parent = {"PATH": "/bin", "LC_ALL": "C", "CUDA_VISIBLE_DEVICES": "1", "OMP_NUM_THREADS": "2", "https_proxy": "p"}
    assert parent.items() <= environment(parent).items()


def test_the_project_and_the_package_alone_are_on_the_python_path() -> None:
    """A parent's PYTHONPATH could put another module of the same name before the project's."""
    child = environment({"PYTHONPATH": "/elsewhere", "LOWTIDE_PROJECT_ROOT": "/old"})
    assert child["PYTHONPATH"].split(os.pathsep) == ["/project", str(Path(lowtide.__file__).parents[1])]
    assert child["LOWTIDE_PROJECT_ROOT"] == "/project"


def test_the_data_folder_is_the_parents_from_whatever_folder_the_child_runs_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert environment({"LOWTIDE_DATA_DIR": "data"})["LOWTIDE_DATA_DIR"] == str(tmp_path / "data")


def test_a_listed_name_gets_in_and_one_that_is_not_set_is_left_out() -> None:
    child = environment({"MY_TOKEN": "mine", "OTHER_TOKEN": "theirs"}, "MY_TOKEN", "NOT_SET")
    assert child["MY_TOKEN"] == "mine"
    assert not {"OTHER_TOKEN", "NOT_SET"} & set(child)


@pytest.mark.parametrize("name", ["AIRFLOW__CORE__FERNET_KEY", "AIRFLOW_HOME", "airflow__core__fernet_key"])
def test_airflows_variables_cannot_even_be_listed(name: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"training\.environment lists '{name}'.*remove it"):
        environment({}, name)
