"""The README says what is true: every configuration key with its default, every command, no dead link."""

import re
import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest
from lowtide.config.loader import PROJECT_ROOT, _section_of
from lowtide.config.schema import LowtideConfig
from lowtide.timeutil import format_duration
from pydantic_core import PydanticUndefined

README = (PROJECT_ROOT / "README.md").read_text(encoding="utf-8")


def rows(model: Any = LowtideConfig, prefix: str = "") -> list[str]:
    found = []
    for name, field in model.model_fields.items():
        section = _section_of(field.annotation)
        if section is not None:
            found += rows(section, f"{prefix}{name}.")
        else:
            found.append(f"| `{prefix}{name}` | {shown(field.default)} | {field.description} |")
    return found


def shown(default: Any) -> str:
    if default is PydanticUndefined:
        return "required"
    if default is None:
        return "`null`"
    if default == ():
        return "`[]`"
    return f"`{format_duration(default) if isinstance(default, timedelta) else default}`"


@pytest.mark.parametrize("row", rows())
def test_the_configuration_table_has_every_key_with_its_default_and_meaning(row):
    assert row in README


@pytest.mark.parametrize("command", re.findall(r"^\./lowtide (\w+)", README, flags=re.MULTILINE))
def test_every_command_in_the_readme_exists(command):
    done = subprocess.run(
        [sys.executable, "-m", "lowtide.cli", command, "--help"], cwd=PROJECT_ROOT, capture_output=True, check=False
    )
    assert done.returncode == 0


@pytest.mark.parametrize("target", [*re.findall(r"\bmake (\w+)`", README), "run", "up", "down"])
def test_every_make_target_in_the_readme_exists(target):
    assert re.search(rf"^{target}:", (PROJECT_ROOT / "Makefile").read_text(), flags=re.MULTILINE)


def test_links_to_files_lead_somewhere():
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    assert links
    assert [link for link in links if not (PROJECT_ROOT / link).exists()] == []


def test_no_placeholder_is_left():
    assert "@@" not in README
    assert "TODO" not in README
