"""A mapped ``train`` (expand): each instance is a separate run with its own files, and sends Airflow metrics."""

from pathlib import Path

import pytest
from lowtide.config.loader import PROJECT_ROOT
from lowtide.records import TrainingRecord
from lowtide.trainer.mnist import ensure_mnist

from tests.support.config_files import write_config
from tests.support.statsd import received, statsd_packets

pytestmark = pytest.mark.airflow


def test_each_instance_of_a_mapped_training_keeps_its_own_files_and_sends_its_figures(probe_dags, tmp_path):
    ensure_mnist(PROJECT_ROOT / ".data", report=print)
    config = write_config(tmp_path, training__model={"path": "lowtide.trainer.models:mlp"})
    dag = probe_dags.dags["mapped"]
    with statsd_packets() as server:
        finished = dag.test(run_conf={**dict.fromkeys(dag.params), "file": str(config)})
        sent = received(server)
    assert str(finished.state) == "success"
    paths = sorted((tmp_path / "artifacts").glob("runs/mapped/*/record.json"))
    records = [TrainingRecord.model_validate_json(path.read_bytes()) for path in paths]
    assert [path.parent.name.rpartition("~")[2] for path in paths] == ["0", "1"]
    assert [record.seed for record in records] == [0, 1]
    assert [record.run_id for record in records] == [f"mapped/{finished.run_id}[{index}]" for index in (0, 1)]
    assert [record.attempts for record in records] == [1, 1]
    assert [Path(record.ledger_path).parent for record in records] == [path.parent for path in paths]
    assert all(len(list(path.parent.glob("checkpoints/*.pt"))) == 1 for path in paths)
    emissions = [
        value for name, value in sent if name == "airflow.lowtide.training.emissions_gco2eq,dag_id=mapped,task_id=train"
    ]
    for record in records:
        assert any(value == pytest.approx(record.emissions_gco2eq, rel=1e-9) for value in emissions)


def test_a_mapped_sensor_before_a_training_that_is_not_mapped_succeeds(probe_dags, tmp_path):
    ensure_mnist(PROJECT_ROOT / ".data", report=print)
    model = {"path": "lowtide.trainer.models:mlp"}
    config = write_config(tmp_path, training__model=model, scheduler__policy="immediate")
    dag = probe_dags.dags["mapped_wait"]
    finished = dag.test(run_conf={**dict.fromkeys(dag.params), "file": str(config)})
    assert str(finished.state) == "success"
