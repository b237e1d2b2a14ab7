"""Where results go: the file says, and a deployment may overrule it."""

from pathlib import Path

import pytest
from lowtide.config.loader import ARTIFACTS_VARIABLE, PROJECT_ROOT, load_config

DEMO = PROJECT_ROOT / "include/configs/demo.yaml"


def test_a_relative_root_lies_in_the_project(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(ARTIFACTS_VARIABLE, raising=False)
    assert load_config(DEMO).artifacts_path == PROJECT_ROOT / "artifacts"


def test_the_environment_overrules_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv(ARTIFACTS_VARIABLE, str(tmp_path))
    assert load_config(DEMO).artifacts_path == tmp_path
