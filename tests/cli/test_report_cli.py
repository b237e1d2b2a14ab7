"""`lowtide report` as a sustainability team runs it."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from tests.support.command_line import LOWTIDE
from tests.support.records import make_record
from tests.support.savings import nightly, waited_until_start, write_training
from tests.support.schemas import SAVINGS_SCHEMA


def report(*arguments: object, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [LOWTIDE, "report", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "LOWTIDE_PYTHON": sys.executable, **environment},
        check=False,
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "artifacts"
    for day in (28, 29, 30):
        record = nightly(day, intensity_kinds={"replayed" if day == 29 else "measured": 1.0})
        decisions = waited_until_start(record, record.ended_at)
        write_training(root, f"nightly/{day}", record, baseline=make_record(), decisions=decisions)
    write_training(root, "nightly/31", None, decisions=decisions[:1])
    write_training(root, "other/1", nightly(1, month=4, run_id="other/1"))
    return root


def test_a_person_sees_each_basis_apart_with_months_models_totals_and_what_is_left_out(root: Path) -> None:
    answer = report(root, "--since", "2026-01-01")
    assert answer.returncode == 0, answer.stderr
    assert answer.stderr == ""
    measured, simulated = answer.stdout.split("Simulated: nothing here was avoided on a real grid")
    assert measured.index("2026-03") < measured.index("2026-04") < measured.index("shop.models:net")
    rows = [line.split("  ") for line in answer.stdout.splitlines() if line.startswith("total")]
    totals = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    assert totals[0][:5] == ["total", "3", "20.1 Wh", "2.21 g", "1.41 g in 3"]
    assert totals[1][1] == "1"
    assert "2 of" not in measured  # no deadline was missed
    assert "runs/nightly/31: it has not started" in simulated


def test_json_keeps_the_schema_and_the_spans_last_day_belongs_to_it(root: Path) -> None:
    answer = report(root, "--since", "2026-03-29", "--until", "2026-03-30", "--dag", "nightly", "--json")
    found = json.loads(answer.stdout)
    jsonschema.validate(found, json.loads(SAVINGS_SCHEMA.read_text()))
    assert [run["run_id"] for run in found["runs"]] == ["nightly/3-29", "nightly/3-30"]
    assert {group["basis"]: group["total"]["runs"] for group in found["groups"]} == {"measured": 1, "simulated": 1}


def test_both_csv_files_are_written_and_named(root: Path, tmp_path: Path) -> None:
    cells, runs = tmp_path / "out" / "savings.csv", tmp_path / "out" / "runs.csv"
    answer = report(root, "--csv", cells, "--runs-csv", runs)
    assert f"written: {cells}" in answer.stdout
    with cells.open() as file:
        assert {(row["basis"], row["month"], row["runs"]) for row in csv.DictReader(file)} == {
            *{("measured", "2026-03", "2"), ("measured", "2026-04", "1"), ("simulated", "2026-03", "1")}
        }
    with runs.open() as file:
        assert sum(bool(row["left_out"]) for row in csv.DictReader(file)) == 1


def test_the_root_comes_from_the_environment_where_none_is_given(root: Path) -> None:
    answer = report("--json", LOWTIDE_ARTIFACTS_ROOT=str(root))
    assert len(json.loads(answer.stdout)["runs"]) == 4


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--since", "yesterday"], "'yesterday' is not a date; write e.g. 2026-01-01"),
        (["--since", "2026-02-01T00:00Z"], "is not a date"),
        (["--since", "2026-02-01", "--until", "2026-01-01"], "--until is before --since; swap them"),
        (["--until", "9999-12-31"], "'9999-12-31' is the last day that there is"),
        (["--dag"], "expected one argument"),
    ],
)
def test_a_mistake_is_one_sentence(root: Path, arguments: list[str], said: str) -> None:
    answer = report(root, *arguments)
    assert (answer.returncode, answer.stdout) == (2, "")
    assert said in answer.stderr
    assert answer.stderr.count("\n") == 1


def test_a_folder_that_is_no_artifact_root_is_one_sentence(tmp_path: Path) -> None:
    answer = report(tmp_path)
    assert answer.returncode == 2
    assert "there is no folder 'runs' in it; give the artifact root" in answer.stderr


def test_a_span_without_runs_says_so(root: Path) -> None:
    answer = report(root, "--until", "2020-01-01")
    assert answer.returncode == 0
    assert "No run with an account ended in this time." in answer.stdout


def test_the_repeatability_is_each_reports_own_unless_asked_otherwise(root: Path) -> None:
    for path in root.glob("reports/*/*/report.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"repeatability_percent": 20.0}))
    words = "a change of energy per sample within 20 % is not measurable in 3 runs, by the configuration"
    own, asked = report(root), report(root, "--repeatability-percent", "4")
    assert words in own.stdout
    assert own.stdout.count("none counted") > asked.stdout.count("none counted")
    assert "a change of energy per sample within 4 % is not measurable, in every run" in asked.stdout
    assert report(root, "--repeatability-percent", "x").returncode == 2
