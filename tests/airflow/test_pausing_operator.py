"""Under the policy interruptible, ``train`` defers while the grid is dirty, and goes on from its checkpoint."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from lowtide.config.loader import PROJECT_ROOT
from lowtide.timeutil import format_moment, parse_moment
from lowtide.tracker.ledger import read_ledger
from lowtide.trainer.mnist import ensure_mnist

from tests.support.state_store import stored_state
from tests.support.two_tides import CLEAN, NOON, two_tides

pytestmark = pytest.mark.airflow


@pytest.fixture(scope="module", autouse=True)
def mnist():
    ensure_mnist(PROJECT_ROOT / ".data", report=print)


ONE_PM = NOON + timedelta(hours=1)


def evening_tide(folder):
    """Dirty from the start at 13:00 until 18:00: 20 real seconds, so that a slow start of the child still falls into them."""
    return two_tides(folder, clean_hours=range(18, 24), start=ONE_PM)


def decisions_in(folder):
    return [json.loads(line) for line in (folder / "decisions.jsonl").read_text().splitlines()]


def test_a_training_pauses_for_the_dirty_hours_and_the_record_says_so(run_probe, tmp_path):
    outcome = run_probe("interruptible", file=evening_tide(tmp_path))
    assert outcome.state == "success"
    record = outcome.xcoms["train"]
    assert record["policy"] == "interruptible"
    pauses = record["interruptions"]
    assert pauses, "the grid was dirty from 13:00 to 18:00"
    first = pauses[0]
    assert parse_moment(first["start"]) < NOON.replace(hour=18)
    assert parse_moment(first["end"]) >= NOON.replace(hour=17)
    assert first["resumed_from_optimizer_step"] > 0
    assert record["samples"] == record["epochs"] * 1000

    decisions = decisions_in(Path(record["ledger_path"]).parent)
    actions = [decision["action"] for decision in decisions]
    assert "pause" in actions
    assert "wait" in actions, "the looks in the triggerer are among the evidence"
    # neither a pause nor what is done in it moves the deadline that the first look fixed
    assert {decision["deadline"] for decision in decisions} == {format_moment(ONE_PM + timedelta(hours=12))}
    assert stored_state(outcome.run_id)["lowtide_pauses"] == {}  # it is over: who clears it begins anew

    straight = record["counterfactual"]
    # without waiting it would have run from 13:00 on
    assert straight["carbon_intensity_gco2eq_per_kwh"] > 1.5 * CLEAN


def test_a_retry_after_a_pause_counts_the_pauses_on_and_goes_on_from_the_checkpoint(run_probe, tmp_path):
    outcome = run_probe("killed_after_pause", file=evening_tide(tmp_path))
    assert outcome.state == "success"
    record = outcome.xcoms["train"]
    folder = Path(record["ledger_path"]).parent
    noted = [tuple(map(int, line.split())) for line in (folder / "checks.txt").read_text().splitlines()]
    assert {pauses for attempt, pauses in noted if attempt == 2} >= {1}
    assert all(pauses >= 1 for attempt, pauses in noted if attempt == 2)
    assert noted[0] == (1, 0)
    outcomes = [event.details.get("outcome") for event in read_ledger(folder / "ledger.jsonl").events]
    assert [name for name in outcomes if name][:2] == ["paused", "failed"]
    assert record["interruptions"][-1]["resumed_from_optimizer_step"] > 0
    assert record["samples"] == record["epochs"] * 1000
    assert {decision["deadline"] for decision in decisions_in(folder)} == {format_moment(ONE_PM + timedelta(hours=12))}
