"""What is in the repository: small files, no address or path of one machine, versions only, valid schemas."""

import json
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest
from jsonschema.validators import validator_for
from lowtide.config.loader import PROJECT_ROOT

from tests.architecture.tracked import LINE_CAP, TEST_LINE_CAP, bad_constraints, forbidden_words, text_of, tracked_files

SOURCE = ("include", "plugins", "dags", "local", "benchmarks")
CONSTRAINTS = PROJECT_ROOT / "constraints.txt"


@pytest.fixture(scope="module")
def files() -> list[Path]:
    found = tracked_files(PROJECT_ROOT)
    assert len(found) > 50
    return found


@pytest.mark.parametrize(("folders", "cap"), [(SOURCE, LINE_CAP), (("tests",), TEST_LINE_CAP)])
def test_no_python_file_is_longer_than_the_cap(files: list[Path], folders: tuple[str, ...], cap: int) -> None:
    found = [file for file in files if file.suffix == ".py" and file.relative_to(PROJECT_ROOT).parts[0] in folders]
    lengths = {str(file.relative_to(PROJECT_ROOT)): len((text_of(file) or "").splitlines()) for file in found}
    assert lengths
    assert {name: lines for name, lines in lengths.items() if lines > cap} == {}


def test_no_file_names_a_package_index_or_a_path_of_one_machine(files: list[Path]) -> None:
    assert [found for file in files for found in forbidden_words(file)] == []


@pytest.mark.parametrize(
    "line",
    [
        "pip install --extra-" + "index-url https://example.org/x",
        "https://example.org/" + "simple/torch/",
        "data = '/" + "work/main/data.csv'",
        "/" + "root/.venv/bin/python",
        "open('/" + "home/somebody/x')",
    ],
)
def test_a_forbidden_word_would_be_noticed(tmp_path: Path, line: str) -> None:
    (tmp_path / "file.txt").write_text(line, encoding="utf-8")
    assert list(forbidden_words(tmp_path / "file.txt"))


@pytest.mark.parametrize("line", ["see docs/work/plan", "include/configs/optimized.yaml", "https://neso.energy/work"])
def test_ordinary_words_are_not_taken_for_paths(tmp_path: Path, line: str) -> None:
    (tmp_path / "file.txt").write_text(line, encoding="utf-8")
    assert list(forbidden_words(tmp_path / "file.txt")) == []


def test_constraints_are_names_and_versions_only() -> None:
    text = CONSTRAINTS.read_text(encoding="utf-8")
    assert bad_constraints(text) == []
    assert "\ntorch==2.13.0\n" in text
    assert "\ntorchvision==0.28.0\n" in text


@pytest.mark.parametrize(
    "line",
    [
        "torch==2.13.0+cpu",
        "torch @ file:///tmp/torch.whl",
        "requests==2.34.2 --hash=sha256:00",
        "-e .",
        "requests>=2",
        "--pre",
    ],
)
def test_more_than_a_name_and_a_version_would_be_noticed(line: str) -> None:
    assert bad_constraints(f"pytest==9.2.0\n{line}\n") == [line]


def test_the_installed_versions_are_the_constrained_ones() -> None:
    lines = [line for line in CONSTRAINTS.read_text(encoding="utf-8").splitlines() if "==" in line and line[0] != "#"]
    wanted = dict(line.split("==") for line in lines)
    for name in ("apache-airflow", "torch", "codecarbon", "pydantic", "requests"):
        assert version(name).partition("+")[0] == wanted[name]


def test_every_schema_is_a_valid_json_schema(files: list[Path]) -> None:
    schemas = [file for file in files if file.name.endswith(".schema.json")]
    assert schemas
    for file in schemas:
        schema = json.loads(file.read_text(encoding="utf-8"))
        validator_for(schema).check_schema(schema)


def test_what_runs_leave_behind_is_ignored_by_git() -> None:
    names = [".airflow/airflow.db", ".venv/x", "artifacts/x", ".data/x", ".env"]
    ignored = subprocess.run(
        ["git", "check-ignore", *names], cwd=PROJECT_ROOT, capture_output=True, text=True, check=False
    )
    assert ignored.stdout.split() == names
