"""A page shows a run's own files or says which it could not read: never another run's curve under these figures."""

import json
from pathlib import Path

import pytest
from lowtide.config.schema import ReportConfig
from lowtide.records import ReplayAnchor, TrainingRecord
from lowtide.report.compare import compare_runs
from lowtide.report.html.page import render_html
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


@pytest.mark.parametrize("text", ["{", None])
def test_versions_and_speed_are_the_reports_whatever_record_is_in_the_folder(
    run: TrainingRecord, text: str | None
) -> None:
    """The record may be damaged, or that of another training by now."""
    path = folder_of(run) / "record.json"
    other = json.loads(path.read_text(encoding="utf-8")) | {"run_id": "another", "versions": {"lowtide": "9.9"}}
    path.write_text(text or json.dumps(other), encoding="utf-8")
    replay = ReplayAnchor(real_start=run.started_at, virtual_start=run.started_at, speed=60.0)
    report = compare_runs([], [run.model_copy(update={"replay": replay})], settings=ReportConfig(), now=run.ended_at)
    assert gather(report.run).speed == 60.0
    assert gather(report.run).problems == ()
    assert "lowtide 0.1.0" in render_html(report)
    assert "lowtide 9.9" not in render_html(report)
