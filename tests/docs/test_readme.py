"""The README says what is true: commands and targets exist, its code runs, links lead somewhere, and it stays one page."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from lowtide.config.loader import PROJECT_ROOT, load_config

from tests.support.command_line import LOWTIDE

README = (PROJECT_ROOT / "README.md").read_text(encoding="utf-8")
MOST_WORDS = 900


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("command", re.findall(r"^\.venv/bin/lowtide (\w+)", README, flags=re.MULTILINE))
def test_every_command_in_the_readme_exists(command: str) -> None:
    done = subprocess.run(
        [LOWTIDE, command, "--help"],
        cwd=PROJECT_ROOT,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0


def test_the_readme_shows_the_command_line() -> None:
    assert len(re.findall(r"^\.venv/bin/lowtide \w+", README, flags=re.MULTILINE)) >= 5


@pytest.mark.parametrize("target", [*re.findall(r"`make (\w+)", README), "run", "up", "down", "test"])
def test_every_make_target_in_the_readme_exists(target: str) -> None:
    assert re.search(rf"^{target}:", (PROJECT_ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)


def test_the_configuration_in_the_readme_is_valid(tmp_path: Path) -> None:
    (text,) = blocks("yaml")
    (tmp_path / "nightly.yaml").write_text(text, encoding="utf-8")
    assert load_config(tmp_path / "nightly.yaml").values.grid.zone == "DE"


def test_the_data_in_the_readme_loads(tmp_path: Path) -> None:
    (code,) = [code for code in blocks("python") if "TrainingData" in code]
    (tmp_path / "digits.py").write_text(code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", "import digits; data = digits.load(); print(*digits.net()(data.train_inputs).shape)"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.strip() == "1800 10", done.stderr


@pytest.mark.parametrize("code", blocks("python"))
def test_a_way_in_takes_ten_lines_at_most(code: str) -> None:
    assert len([line for line in code.splitlines() if line.strip()]) <= 10


@pytest.mark.parametrize("page", [PROJECT_ROOT / "README.md", *sorted((PROJECT_ROOT / "docs").glob("*.md"))], ids=str)
def test_links_to_files_lead_somewhere(page: Path) -> None:
    links = [
        link for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")) if "://" not in link
    ]
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_readme_is_one_page() -> None:
    words = re.sub(r"```.*?```", " ", README, flags=re.DOTALL).split()
    assert 300 < len(words) <= MOST_WORDS
