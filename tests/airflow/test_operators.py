"""Training and comparison in real Airflow, on a subset of real MNIST."""

import json
from pathlib import Path

import jsonschema
import pytest
from lowtide.config.loader import PROJECT_ROOT
from lowtide.records import TrainingRecord
from lowtide.tracker.ledger import read_ledger
from lowtide.trainer.mnist import ensure_mnist

from tests.support.config_files import write_config

pytestmark = pytest.mark.airflow

CLEAN_REPLAY = {"virtual_start": "2025-04-15T11:00", "speed": 60.0}


@pytest.fixture(scope="module", autouse=True)
def mnist():
    ensure_mnist(PROJECT_ROOT / ".data", report=print)


def test_a_run_without_a_baseline_says_so_and_how_to_make_one(run_probe, tmp_path):
    config = write_config(tmp_path, grid__replay=CLEAN_REPLAY, training__seed=1, training__micro_batch_size=25)
    outcome = run_probe("pipeline", file=config)
    assert outcome.states == {"wait_for_clean_grid": "success", "train": "success", "compare": "success"}
    report = json.loads(Path(outcome.xcoms["compare"]["report"]).read_text())
    assert report["headline"]["status"] == "no_baseline"
    assert "baseline_training" in report["headline"]["text"] + " ".join(report["headline"]["reasons"])


def test_a_run_is_compared_with_the_newest_baseline_that_fits(run_probe, tmp_path):
    config = write_config(tmp_path, grid__replay=CLEAN_REPLAY)
    older, newer = run_probe("baseline", file=config), run_probe("baseline", file=config)
    other = write_config(tmp_path / "other", grid__replay=CLEAN_REPLAY, training__micro_batch_size=100)
    run_probe("baseline", file=other)  # another effective batch: newer, but not comparable
    outcome = run_probe("pipeline", file=config)
    assert older.state == newer.state == "success"
    report = json.loads(Path(outcome.xcoms["compare"]["report"]).read_text())
    assert report["baseline_run_id"] == f"baseline/{newer.run_id}"
    assert report["headline"]["status"] == "simulated"
    attribution = report["attribution_gco2eq"]
    parts = [attribution[part] for part in ("work", "efficiency", "grid_conditions", "waiting")]
    assert sum(parts) == pytest.approx(attribution["total"], rel=1e-9)


def test_a_run_is_held_against_the_mean_of_as_many_baselines_as_the_configuration_says(run_probe, tmp_path):
    config = write_config(tmp_path, grid__replay=CLEAN_REPLAY, training__micro_batch_size=10, report__baselines=3)
    runs = [run_probe("baseline", file=config) for _ in range(2)]
    report = json.loads(Path(run_probe("pipeline", file=config).xcoms["compare"]["report"]).read_text())
    assert [side["run_id"] for side in report["repeats"]["baselines"]] == [f"baseline/{r.run_id}" for r in runs[::-1]]
    grams = [run.xcoms["train"]["emissions_gco2eq"] for run in runs]
    change = 100 * (report["run"]["emissions_gco2eq"] / (sum(grams) / 2) - 1)
    assert report["changes"]["emissions_percent"] == pytest.approx(change)
    assert "report.baselines asks for 3 baselines; 2 fit" in report["notes"]


def test_the_records_xcom_equals_the_file_and_keeps_the_schema(run_probe, tmp_path):
    config = write_config(tmp_path, grid__replay=CLEAN_REPLAY)
    record = run_probe("baseline", file=config).xcoms["train"]
    schema = json.loads((PROJECT_ROOT / "include/lowtide/schemas/record.schema.json").read_text())
    jsonschema.validate(record, schema)
    stored = json.loads(Path(record["ledger_path"]).with_name("record.json").read_text())
    assert TrainingRecord.model_validate(record) == TrainingRecord.model_validate(stored)
    assert record["samples"] == 1000


def test_a_named_baseline_that_does_not_exist_fails_with_a_sentence(run_probe, tmp_path):
    config = write_config(tmp_path, grid__replay=CLEAN_REPLAY)
    outcome = run_probe("pipeline", file=config, baseline_run_id="manual__never")
    assert outcome.states["compare"] == "failed"
    assert "compare" not in outcome.xcoms


def test_a_failing_training_keeps_its_ledger_and_says_why(run_probe, tmp_path):
    model = {"path": "lowtide.trainer.models:no_such_model", "kwargs": {}}
    config = write_config(tmp_path, grid__replay=CLEAN_REPLAY, training__model=model)
    outcome = run_probe("baseline", file=config)
    assert outcome.states == {"train": "failed"}
    ledger = next((tmp_path / "artifacts").rglob("ledger.jsonl"))
    contents = read_ledger(ledger)
    assert {str(row.phase) for row in contents.rows} == {"startup"}
    assert [event.details.get("outcome") for event in contents.events] == [None, "failed"]


def compared_with(run_probe, config, **conf):
    outcome = run_probe("pipeline", file=config, **conf)
    assert outcome.states["compare"] == "success"
    return json.loads(Path(outcome.xcoms["compare"]["report"]).read_text())


def forget(table, run_id):
    """Do what an operator does who deletes a run, or what a clean-up job does to old XComs."""
    from airflow.utils.session import create_session
    from sqlalchemy import text

    with create_session() as session:
        session.execute(text(f"delete from {table} where run_id = :run_id"), {"run_id": run_id})  # noqa: S608 a constant


def test_a_baseline_whose_run_failed_later_or_was_deleted_is_never_used(run_probe, tmp_path):
    config = write_config(tmp_path, grid__replay=CLEAN_REPLAY, training__micro_batch_size=20)
    good = run_probe("baseline", file=config)
    failed = run_probe("failed_baseline", file=config)
    assert failed.states == {"train": "success", "later": "failed"}
    deleted = run_probe("baseline", file=config)
    forget("dag_run", deleted.run_id)
    assert compared_with(run_probe, config)["baseline_run_id"] == f"baseline/{good.run_id}"


def test_a_baseline_whose_xcom_is_gone_is_read_from_its_file_if_the_checksum_holds(run_probe, tmp_path):
    config = write_config(tmp_path, grid__replay=CLEAN_REPLAY, training__micro_batch_size=40)
    baseline = run_probe("baseline", file=config)
    forget("xcom", baseline.run_id)
    report = compared_with(run_probe, config)
    assert report["baseline_run_id"] == f"baseline/{baseline.run_id}"
    assert "checksum verified" in report["notes"][0]

    record = Path(baseline.xcoms["train"]["ledger_path"]).with_name("record.json")
    record.write_text(record.read_text().replace('"samples": 1000', '"samples": 9000'))
    tampered = compared_with(run_probe, config)
    assert tampered["headline"]["status"] == "no_baseline"
    assert "has changed since it was written" in tampered["notes"][0]


def test_a_full_disk_is_tried_again_and_a_wrong_configuration_is_not():
    from airflow.sdk.exceptions import AirflowException, AirflowFailException
    from lowtide.airflow.operator import airflow_errors
    from lowtide.errors import ArtifactError, ConfigurationError

    with pytest.raises(AirflowException) as raised, airflow_errors():
        raise ArtifactError("no room")
    assert not isinstance(raised.value, AirflowFailException)
    with pytest.raises(AirflowFailException), airflow_errors():
        raise ConfigurationError("no such zone")
