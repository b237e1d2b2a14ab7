"""`lowtide export` as a user runs it: files for others, and a run that was killed among them."""

import csv
import io
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jsonschema
import pytest
import yaml
from lowtide.records import IncompleteRecord, IntensityKind

from tests.support.command_line import LOWTIDE
from tests.support.runs import booked_rows, opening, slot_reading, write_killed_run, write_run
from tests.support.schemas import INCOMPLETE_RECORD_SCHEMA, RECORD_SCHEMA, schema_text

SUBMITTED = datetime(2026, 3, 1, 20, 0, tzinfo=UTC)
READINGS = [slot_reading(SUBMITTED + k * timedelta(minutes=30), 200.0, IntensityKind.MEASURED) for k in range(20)]


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    rows = booked_rows(SUBMITTED + timedelta(hours=2), READINGS)
    write_run(tmp_path / "done", rows, submitted_at=SUBMITTED, at_submission=READINGS)
    write_killed_run(tmp_path / "killed", rows, opening(SUBMITTED))
    return tmp_path / "done", tmp_path / "killed"


def export(*arguments: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [LOWTIDE, "export", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "LOWTIDE_PYTHON": sys.executable},
        check=False,
    )


def test_a_killed_run_is_a_line_like_any_other_and_says_that_it_is_not_complete(folders: tuple[Path, Path]) -> None:
    done = export(*folders, "--project", "nightly")
    assert done.returncode == 0, done.stderr
    whole, killed = csv.DictReader(io.StringIO(done.stdout))
    assert (whole["complete"], killed["complete"]) == ("True", "False")
    assert float(whole["emissions"]) == pytest.approx(0.054 * 0.2)
    assert float(killed["emissions"]) == pytest.approx(float(whole["emissions"]))
    assert whole["project_name"] == killed["project_name"] == "nightly"
    assert "was not closed" in killed["problems"]
    assert (killed["test_accuracy"], killed["epochs"]) == ("", "")


def test_a_file_is_written_and_named(folders: tuple[Path, Path], tmp_path: Path) -> None:
    target = tmp_path / "out" / "README.md"
    done = export(folders[0], "--format", "huggingface", "--output", target)
    assert done.stdout.strip() == str(target)
    block = yaml.safe_load(target.read_text().split("---")[1])
    assert block["co2_eq_emissions"]["emissions"] == pytest.approx(10.8)


@pytest.mark.parametrize("arguments", [("--json",), ("--format", "json")])
def test_json_is_the_record(folders: tuple[Path, Path], arguments: tuple[str, ...]) -> None:
    done = export(folders[0], *arguments)
    assert json.loads(done.stdout) == json.loads((folders[0] / "record.json").read_text())


def test_two_runs_have_no_common_model_card(folders: tuple[Path, Path]) -> None:
    done = export(*folders, "--format", "huggingface")
    assert (done.returncode, done.stdout) == (2, "")
    assert "give one folder" in done.stderr


def test_a_folder_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    done = export(tmp_path / "gone")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


def test_codecarbons_columns_cannot_say_that_energy_is_missing_so_a_warning_says_it(
    folders: tuple[Path, Path],
) -> None:
    """Its dashboard would add a killed run's part up with whole runs."""
    done = export(*folders, "--format", "codecarbon")
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 3)
    (warning,) = done.stderr.splitlines()
    assert "energy is missing from its figures" in warning
    assert "was not closed" in warning


def test_each_account_keeps_its_published_schema_and_the_schemas_are_up_to_date(folders: tuple[Path, Path]) -> None:
    assert INCOMPLETE_RECORD_SCHEMA.read_text(encoding="utf-8") == schema_text(IncompleteRecord)
    whole, killed = json.loads(export(*folders, "--format", "json").stdout)
    for account, path in ((whole, RECORD_SCHEMA), (killed, INCOMPLETE_RECORD_SCHEMA)):
        schema = json.loads(path.read_text(encoding="utf-8"))
        jsonschema.Draft202012Validator.check_schema(schema)
        jsonschema.validate(account, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(killed, json.loads(RECORD_SCHEMA.read_text(encoding="utf-8")))


def test_the_upper_bound_and_what_is_missing_are_columns(folders: tuple[Path, Path]) -> None:
    """One row a minute, and the killed run's ledger was touched now, long after its rows of March."""
    whole, killed = csv.DictReader(io.StringIO(export(*folders).stdout))
    assert float(whole["uncovered_s"]) == 0
    assert float(killed["uncovered_s"]) >= 60
    assert float(whole["energy_low_kwh"]) < float(whole["energy_before_pue_kwh"]) < float(whole["energy_high_kwh"])
    assert whole["machine_energy_before_pue_kwh"] == "", "not known: no zero"
