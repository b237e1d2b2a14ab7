"""The pages of docs/ name what exists: commands that parse, files, tests, and headings that links lead to."""

import re
import shlex
from pathlib import Path

import pytest
from lowtide.cli.main import parser
from lowtide.config.loader import PROJECT_ROOT

PAGES = sorted((PROJECT_ROOT / "docs").glob("*.md"))
PATH = re.compile(r"\b(?:include|tests|benchmarks|dags|local)/[\w./-]*\w")


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def commands() -> list[str]:
    """Lines of code blocks that start with ``lowtide`` and a command's name."""
    found = []
    for page in PAGES:
        fenced = "\n".join(re.findall(r"^```\n(.*?)^```", text_of(page), flags=re.MULTILINE | re.DOTALL))
        found += re.findall(r"^lowtide [a-z].*", fenced, flags=re.MULTILINE)
    return found


def anchors(page: Path) -> set[str]:
    """Headings as GitHub writes them in a link."""
    headings = re.findall(r"^#+ (.*)", text_of(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_pages_show_commands() -> None:
    assert len(commands()) >= 10


@pytest.mark.parametrize("command", commands())
def test_every_command_parses(command: str) -> None:
    parser().parse_args(shlex.split(command, comments=True)[1:])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    paths = set(PATH.findall(text_of(page)))
    modules = {f"{name.replace('.', '/')}.py" for name in re.findall(r"-m (benchmarks\.\w+)", text_of(page))}
    assert [path for path in sorted(paths | modules) if not (PROJECT_ROOT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_test_that_a_page_names_exists(page: Path) -> None:
    known = {path.stem for path in (PROJECT_ROOT / "tests").rglob("test_*.py")}
    assert set(re.findall(r"\btest_\w+(?= \||,|\.py)", text_of(page))) - known == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_link_to_a_heading_leads_to_one(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([\w./-]*\.md)?#([^)]+)\)", text_of(page)):
        assert anchor in anchors(page.parent / target if target else page), f"{target}#{anchor}"


def test_every_file_that_answers_a_question_in_contributing_exists() -> None:
    rows = re.findall(r"^\| Where .*\| `([\w./]+)` \|", text_of(PROJECT_ROOT / "CONTRIBUTING.md"), flags=re.MULTILINE)
    assert len(rows) == 40
    assert [row for row in rows if not (PROJECT_ROOT / "include" / "lowtide" / row).exists()] == []
