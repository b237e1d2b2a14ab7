"""A mapped ``train`` (expand): each instance is a separate run, with its own folder, record and checkpoints."""

from pathlib import Path

import pytest
from lowtide.config.loader import PROJECT_ROOT
from lowtide.records import TrainingRecord
from lowtide.trainer.mnist import ensure_mnist

from tests.support.config_files import write_config

pytestmark = pytest.mark.airflow


def test_each_instance_of_a_mapped_training_keeps_its_own_files(probe_dags, tmp_path):
    ensure_mnist(PROJECT_ROOT / ".data", report=print)
    dag = probe_dags.dags["mapped"]
    finished = dag.test(run_conf={**dict.fromkeys(dag.params), "file": str(write_config(tmp_path))})
    assert str(finished.state) == "success"
    paths = sorted((tmp_path / "artifacts").glob("runs/mapped/*/record.json"))
    records = [TrainingRecord.model_validate_json(path.read_bytes()) for path in paths]
    assert [path.parent.name.rpartition("~")[2] for path in paths] == ["0", "1"]
    assert [record.seed for record in records] == [0, 1]
    assert [record.run_id for record in records] == [f"mapped/{finished.run_id}[{index}]" for index in (0, 1)]
    assert [record.attempts for record in records] == [1, 1]
    assert [Path(record.ledger_path).parent for record in records] == [path.parent for path in paths]
    assert all(len(list(path.parent.glob("checkpoints/*.pt"))) == 1 for path in paths)
