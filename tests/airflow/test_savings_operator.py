"""The task that refreshes the savings ledger, in real Airflow."""

import json
from pathlib import Path

import pytest

from tests.support.config_files import write_config
from tests.support.records import make_record
from tests.support.savings import nightly, waited_until_start, write_training

pytestmark = pytest.mark.airflow


def test_the_task_renews_the_files_with_what_has_come_since(run_probe, tmp_path):
    config = write_config(tmp_path)
    root = tmp_path / "artifacts"
    for day in (1, 2):
        record = nightly(day)
        write_training(
            root,
            f"nightly/{day}",
            record,
            baseline=make_record(),
            decisions=waited_until_start(record, record.ended_at),
        )
        outcome = run_probe("refresh_savings", file=config)
        assert outcome.states == {"savings": "success"}
        xcom = outcome.xcoms["savings"]
        stored = json.loads(Path(xcom["paths"]["savings.json"]).read_text())
        (group,) = xcom["groups"]
        assert group["total"] == stored["groups"][0]["total"]
        assert (group["total"]["runs"], group["total"]["waits"], group["total"]["deadlines_missed"]) == (day, day, 0)
        assert group["total"]["avoided_by_waiting_gco2eq"] == pytest.approx(day * 0.0067 * 70)
        assert len(Path(xcom["paths"]["runs.csv"]).read_text().splitlines()) == 1 + day
    assert len(json.dumps(xcom)) < 5_000


def test_a_root_that_cannot_be_written_fails_the_task(run_probe, tmp_path):
    config = write_config(tmp_path)
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "artifacts" / "savings").write_text("in the way")
    assert run_probe("refresh_savings", file=config).states == {"savings": "failed"}


def test_on_a_grid_without_a_history_the_shipped_dag_still_accounts_its_runs(airflow_db, tmp_path, monkeypatch):
    """The demo's grid is replayed: recording and settling are skipped."""
    from airflow.dag_processing.dagbag import DagBag
    from lowtide.config.loader import PROJECT_ROOT

    monkeypatch.setenv("LOWTIDE_ARTIFACTS_ROOT", str(tmp_path / "artifacts"))
    write_training(tmp_path / "artifacts", "nightly/1", nightly())
    dag = DagBag(dag_folder=str(PROJECT_ROOT / "dags")).dags["grid_history"]
    finished = dag.test(run_conf={"config": "demo.yaml", "zone": None, "days": None})
    states = {ti.task_id: str(ti.state) for ti in finished.get_task_instances()}
    assert states == {"record": "skipped", "recover": "success", "settle": "skipped", "savings": "success"}
    assert str(finished.state) == "success"
    assert (tmp_path / "artifacts" / "savings" / "savings.csv").exists()
