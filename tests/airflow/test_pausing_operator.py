"""Under the policy interruptible, ``train`` defers while the grid is dirty, and resumes from its checkpoint."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from lowtide.config.loader import PROJECT_ROOT
from lowtide.timeutil import format_time, parse_time
from lowtide.tracker.ledger import read_ledger
from lowtide.trainer.mnist import ensure_mnist

from tests.support.two_tides import CLEAN, NOON, two_tides

pytestmark = pytest.mark.airflow


ONE_PM = NOON + timedelta(hours=1)


@pytest.fixture(scope="module")
def paused(run_probe, tmp_path_factory):
    """A training that pauses, resumes, loses its child, and is retried.

    The grid is dirty from the start at 13:00 until 18:00: 20 real seconds, so that a slow start of the child is within them.
    """
    ensure_mnist(PROJECT_ROOT / ".data", report=print)
    config = two_tides(tmp_path_factory.mktemp("paused"), clean_hours=range(18, 24), start=ONE_PM)
    outcome = run_probe("killed_after_pause", file=config)
    assert outcome.state == "success"
    return outcome


@pytest.fixture(scope="module")
def record(paused):
    return paused.xcoms["train"]


@pytest.fixture(scope="module")
def folder(record):
    return Path(record["ledger_path"]).parent


@pytest.fixture(scope="module")
def decisions(folder):
    return [json.loads(line) for line in (folder / "decisions.jsonl").read_text().splitlines()]


def test_a_training_pauses_for_the_dirty_hours_and_the_record_says_so(record):
    assert record["policy"] == "interruptible"
    pauses = record["interruptions"]
    assert pauses, "the grid was dirty from 13:00 to 18:00"
    first = pauses[0]
    assert parse_time(first["start"]) < NOON.replace(hour=18)
    assert parse_time(first["end"]) >= NOON.replace(hour=17)
    assert first["resumed_from_optimizer_step"] > 0
    assert record["samples"] == record["epochs"] * 1000
    straight = record["counterfactual"]
    # without waiting it would have run from 13:00 on
    assert straight["carbon_intensity_gco2eq_per_kwh"] > 1.5 * CLEAN


def test_the_checks_in_the_worker_and_in_the_triggerer_are_evidence_with_one_deadline(decisions):
    actions = [decision["action"] for decision in decisions]
    assert "pause" in actions
    assert "wait" in actions, "the checks in the triggerer are among the evidence"
    # neither a pause, nor what is done in it, nor a retry moves the deadline that the first check fixed
    assert {decision["deadline"] for decision in decisions} == {format_time(ONE_PM + timedelta(hours=12))}


def test_a_retry_after_a_pause_counts_the_earlier_pauses_and_resumes_from_the_checkpoint(record, folder):
    noted = [tuple(map(int, line.split())) for line in (folder / "checks.txt").read_text().splitlines()]
    assert noted[0] == (1, 0)
    second = [pauses for attempt, pauses in noted if attempt == 2]
    assert second
    assert min(second) >= 1
    outcomes = [event.details.get("outcome") for event in read_ledger(folder / "ledger.jsonl").events]
    assert [name for name in outcomes if name][:2] == ["paused", "failed"]
    assert record["interruptions"][-1]["resumed_from_optimizer_step"] > 0
