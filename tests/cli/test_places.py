"""Where commands without a configuration read: the folder given, the deployment's, the project's."""

from pathlib import Path

import pytest
from lowtide.cli.options import artifacts_root
from lowtide.config.loader import PROJECT_ROOT
from lowtide.errors import ConfigurationError


def test_what_is_given_goes_before_the_deployment_and_that_before_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LOWTIDE_ARTIFACTS_ROOT", raising=False)
    assert artifacts_root(None) == PROJECT_ROOT / "artifacts"
    monkeypatch.setenv("LOWTIDE_ARTIFACTS_ROOT", "/mnt/shared")
    assert artifacts_root(None) == Path("/mnt/shared")
    assert artifacts_root(Path("here")) == tmp_path / "here"


def test_the_deployments_folder_is_the_one_that_the_tasks_write_to_from_any_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOWTIDE_ARTIFACTS_ROOT", "shared")
    assert artifacts_root(None) == PROJECT_ROOT / "shared"


def test_an_object_store_is_refused_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOWTIDE_ARTIFACTS_ROOT", "s3://bucket/artifacts")
    with pytest.raises(
        ConfigurationError, match=r"LOWTIDE_ARTIFACTS_ROOT: .*'s3://bucket/artifacts' is an object store"
    ):
        artifacts_root(None)
