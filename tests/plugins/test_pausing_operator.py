"""Under the policy interruptible, ``train`` defers while the grid is dirty, and goes on from its checkpoint."""

import json
from pathlib import Path

import pytest

from include.config import PROJECT_ROOT
from include.moments import parse_moment
from include.trainer.mnist_files import ensure_mnist
from tests.support.two_tides import CLEAN, NOON, two_tides

pytestmark = pytest.mark.airflow


@pytest.fixture(scope="module", autouse=True)
def mnist():
    ensure_mnist(PROJECT_ROOT / ".data", report=print)


def test_a_training_pauses_for_the_dirty_hours_and_the_record_says_so(run_probe, tmp_path):
    outcome = run_probe("interruptible", file=two_tides(tmp_path))
    assert outcome.state == "success"
    record = outcome.xcoms["train"]
    assert record["policy"] == "interruptible"
    pauses = record["interruptions"]
    assert pauses, "the grid was dirty from 13:00 to 16:00"
    first = pauses[0]
    assert parse_moment(first["start"]) < NOON.replace(hour=15)
    assert parse_moment(first["end"]) >= NOON.replace(hour=15)
    assert first["resumed_from_optimizer_step"] > 0
    assert record["samples"] == record["epochs"] * 1000

    folder = Path(record["ledger_path"]).parent
    actions = [json.loads(line)["action"] for line in (folder / "decisions.jsonl").read_text().splitlines()]
    assert "pause" in actions
    assert "wait" in actions, "the looks in the triggerer are among the evidence"

    straight = record["counterfactual"]
    # without waiting it would have run from 12:00 on, for two dirty hours or more
    assert straight["carbon_intensity_gco2eq_per_kwh"] > 1.5 * CLEAN
