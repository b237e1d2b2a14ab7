"""Training and comparison in real Airflow, on a subset of real MNIST."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from lowtide.config.loader import PROJECT_ROOT
from lowtide.records import TrainingRecord
from lowtide.tracker.ledger import read_ledger
from lowtide.trainer.mnist import ensure_mnist

from tests.support.config_files import write_config

pytestmark = pytest.mark.airflow

SMALL = {
    "grid__replay": {"virtual_start": "2025-04-15T11:00", "speed": 60.0},
    "training__model": {"path": "lowtide.trainer.models:mlp"},
}
"""A training of a second, on a clean grid."""


@dataclass(frozen=True)
class Trained:
    """A run that had no baseline, and two baselines that were trained after it, all with the comparison key of this module."""

    config: Path
    first: Any
    older: Any
    newer: Any

    @property
    def record(self) -> Path:
        return record_of(self.first)


@pytest.fixture(scope="module")
def trained(run_probe, tmp_path_factory):
    """Three trainings serve the tests below, which compare the first one's record."""
    ensure_mnist(PROJECT_ROOT / ".data", report=print)
    config = write_config(tmp_path_factory.mktemp("trained"), **SMALL, training__micro_batch_size=25)
    outcomes = [run_probe(dag_id, file=config) for dag_id in ("pipeline", "baseline", "baseline")]
    assert [outcome.state for outcome in outcomes] == ["success"] * 3
    return Trained(config, *outcomes)


def record_of(outcome: Any) -> Path:
    return Path(outcome.xcoms["train"]["ledger_path"]).with_name("record.json")


def report_of(outcome: Any) -> dict[str, Any]:
    assert outcome.states["compare"] == "success"
    return json.loads(Path(outcome.xcoms["compare"]["report"]).read_text())


def test_a_run_without_a_baseline_says_so_and_how_to_make_one(trained):
    assert trained.first.states == {"wait_for_clean_grid": "success", "train": "success", "compare": "success"}
    report = report_of(trained.first)
    assert report["headline"]["status"] == "no_baseline"
    assert "baseline_training" in report["headline"]["text"] + " ".join(report["headline"]["reasons"])


def test_a_run_is_compared_with_the_newest_baseline_that_fits(run_probe, trained, tmp_path):
    other = write_config(tmp_path / "other", **SMALL, training__micro_batch_size=100)
    run_probe("baseline", file=other)  # another effective batch: newer, but not comparable
    report = report_of(run_probe("reported", file=trained.config, record=trained.record))
    assert report["baseline_run_id"] == f"baseline/{trained.newer.run_id}"
    assert report["headline"]["status"] == "simulated"
    attribution = report["attribution_gco2eq"]
    parts = [attribution[part] for part in ("work", "efficiency", "grid_conditions", "waiting")]
    assert sum(parts) == pytest.approx(attribution["total"], rel=1e-9)


def test_a_run_is_compared_with_the_mean_of_as_many_baselines_as_the_configuration_says(run_probe, trained, tmp_path):
    config = write_config(tmp_path, report__baselines=3)
    report = report_of(run_probe("reported", file=config, record=trained.record))
    runs = [trained.newer, trained.older]
    assert [side["run_id"] for side in report["replicates"]["baselines"]] == [f"baseline/{run.run_id}" for run in runs]
    grams = [run.xcoms["train"]["emissions_gco2eq"] for run in runs]
    change = 100 * (report["run"]["emissions_gco2eq"] / (sum(grams) / 2) - 1)
    assert report["changes"]["emissions_percent"] == pytest.approx(change)
    assert "report.baselines asks for 3 baselines; 2 fit" in report["notes"]


def test_the_records_xcom_equals_the_file_and_keeps_the_schema(trained):
    record = trained.older.xcoms["train"]
    schema = json.loads((PROJECT_ROOT / "include/lowtide/schemas/record.schema.json").read_text())
    jsonschema.validate(record, schema)
    stored = json.loads(record_of(trained.older).read_text())
    assert TrainingRecord.model_validate(record) == TrainingRecord.model_validate(stored)
    assert record["samples"] == 1000


def test_a_named_baseline_that_does_not_exist_fails_with_a_sentence(run_probe, trained):
    outcome = run_probe("reported", file=trained.config, record=trained.record, baseline_run_id="manual__never")
    assert outcome.states["compare"] == "failed"
    assert "compare" not in outcome.xcoms


def test_a_failing_training_keeps_its_ledger_and_says_why(run_probe, tmp_path):
    model = {"path": "lowtide.trainer.models:no_such_model", "kwargs": {}}
    config = write_config(tmp_path, **SMALL | {"training__model": model})
    outcome = run_probe("baseline", file=config)
    assert outcome.states == {"train": "failed"}
    ledger = next((tmp_path / "artifacts").rglob("ledger.jsonl"))
    contents = read_ledger(ledger)
    assert {str(row.phase) for row in contents.rows} == {"startup"}
    assert [event.details.get("outcome") for event in contents.events] == [None, "failed"]


def execute(statement: str, run_id: str) -> None:
    from airflow.utils.session import create_session
    from sqlalchemy import text

    with create_session() as session:
        session.execute(text(statement), {"run_id": run_id})


def test_a_baseline_whose_run_failed_later_or_was_deleted_is_never_used(run_probe, trained):
    failed = run_probe("failed_baseline", file=trained.config)
    assert failed.states == {"train": "success", "later": "failed"}
    for _ in range(2):
        report = report_of(run_probe("reported", file=trained.config, record=trained.record))
        assert report["baseline_run_id"] == f"baseline/{trained.newer.run_id}"
        execute("delete from dag_run where run_id = :run_id", failed.run_id)  # its asset event stays


@pytest.fixture
def without_xcom(trained):
    """The newest baseline as a clean-up job leaves it that deletes old XComs; put back afterwards."""
    run_id = trained.newer.run_id
    execute("create table kept as select * from xcom where run_id = :run_id", run_id)
    execute("delete from xcom where run_id = :run_id", run_id)
    record = record_of(trained.newer)
    content = record.read_text()
    yield record
    record.write_text(content)
    execute("insert into xcom select * from kept where run_id = :run_id", run_id)
    execute("drop table kept", run_id)


def test_a_baseline_whose_xcom_is_gone_is_read_from_its_file_if_the_checksum_holds(run_probe, trained, without_xcom):
    report = report_of(run_probe("reported", file=trained.config, record=trained.record))
    assert report["baseline_run_id"] == f"baseline/{trained.newer.run_id}"
    assert "checksum verified" in report["notes"][0]

    without_xcom.write_text(without_xcom.read_text().replace('"samples": 1000', '"samples": 9000'))
    tampered = report_of(run_probe("reported", file=trained.config, record=trained.record))
    assert tampered["baseline_run_id"] == f"baseline/{trained.older.run_id}"
    assert "has changed since it was written" in tampered["notes"][0]


def test_a_full_disk_is_tried_again_and_a_wrong_configuration_is_not():
    from airflow.sdk.exceptions import AirflowException, AirflowFailException
    from lowtide.airflow.operator import airflow_errors
    from lowtide.errors import ArtifactError, ConfigurationError

    @airflow_errors
    def execute(operator, error):
        raise error

    with pytest.raises(AirflowException) as raised:
        execute(None, ArtifactError("no room"))
    assert not isinstance(raised.value, AirflowFailException)
    with pytest.raises(AirflowFailException):
        execute(None, ConfigurationError("no such zone"))
