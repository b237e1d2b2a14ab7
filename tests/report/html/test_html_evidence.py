"""A page shows a run's own files or says which it could not read: never another run's curve under these figures."""

import json
from pathlib import Path

import pytest
from lowtide.records import TrainingRecord
from lowtide.report.html.run_data import Evidence, gather

from tests.support.day_runs import night_run


@pytest.fixture
def run(tmp_path: Path) -> TrainingRecord:
    return night_run().write(tmp_path / "run")[1]


def folder_of(run: TrainingRecord) -> Path:
    return Path(run.ledger_path).parent


def files_of(evidence: Evidence) -> dict[str, bool | None]:
    return {file.what: file.checked for file in evidence.files}


def test_a_whole_folder_is_read_and_checked(run: TrainingRecord) -> None:
    evidence = gather(run)
    assert evidence.problems == ()
    assert evidence.record is not None
    assert evidence.rows is not None
    assert {decision.action for decision in evidence.decisions} == {"wait", "run", "pause"}
    assert files_of(evidence) == {
        "ledger": True,
        "record": None,
        "intensities": None,
        "valued energy": None,
        "decisions": None,
    }


def test_a_folder_that_was_moved_is_read_where_it_is(run: TrainingRecord) -> None:
    moved = folder_of(run).rename(folder_of(run).with_name("elsewhere"))
    assert gather(run).rows is None
    assert gather(run, moved).rows is not None


def test_a_ledger_that_is_not_there_is_reported(run: TrainingRecord) -> None:
    Path(run.ledger_path).unlink()
    evidence = gather(run)
    assert evidence.problems == (f"its ledger {run.ledger_path} cannot be read here (No such file or directory)",)
    assert evidence.rows is None
    assert files_of(evidence)["ledger"] is None


def test_a_ledger_that_has_changed_is_reported_and_not_drawn(run: TrainingRecord) -> None:
    with Path(run.ledger_path).open("a", encoding="utf-8") as ledger:
        ledger.write("\n")
    evidence = gather(run)
    assert evidence.rows is None
    assert "has changed since the record was written" in evidence.problems[0]
    assert files_of(evidence)["ledger"] is False


@pytest.mark.parametrize(
    ("name", "line", "message"),
    [
        ("decisions.jsonl", "[1]", "is torn or not JSON"),
        ("decisions.jsonl", '{"action": "wait"}', "is not a decision (ValueError: "),
        ("intensity.jsonl", '{"zone": 3}', "is not an intensity (ValueError: zone: "),
    ],
)
def test_a_damaged_line_is_reported_and_the_rest_is_read(
    run: TrainingRecord, name: str, line: str, message: str
) -> None:
    with (folder_of(run) / name).open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    evidence = gather(run)
    assert message in evidence.problems[0]
    assert evidence.decisions
    assert evidence.readings


def test_a_record_of_another_training_in_the_same_folder_is_not_taken_for_this_ones(run: TrainingRecord) -> None:
    path = folder_of(run) / "record.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | {"run_id": "another"}), encoding="utf-8")
    evidence = gather(run)
    assert evidence.record is None
    assert "is the record of another training by now" in evidence.problems[0]


def test_a_record_that_cannot_be_read_costs_its_versions_only(run: TrainingRecord) -> None:
    (folder_of(run) / "record.json").write_text("{", encoding="utf-8")
    evidence = gather(run)
    assert evidence.record is None
    assert evidence.rows is not None
    assert "cannot be read here" in evidence.problems[0]
