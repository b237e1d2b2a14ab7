"""The sensor in real Airflow: first check, deferral, deadline, retries, soft_fail."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from lowtide.timeutil import parse_time

from tests.support.config_files import write_config
from tests.support.loopback import refusing_url

pytestmark = pytest.mark.airflow

CLEAN_HOUR = "2025-04-15T11:00"
DIRTY_HOUR = "2025-04-15T05:00"


def test_clean_grid_returns_at_once_without_deferring(run_probe, tmp_path):
    config = write_config(tmp_path, grid__replay={"virtual_start": CLEAN_HOUR, "speed": 1.0})
    outcome = run_probe("deferrable", file=config)
    decision = outcome.xcoms["wait"]["decision"]
    assert (outcome.state, decision["action"], decision["reason"]) == ("success", "run", "below_threshold")
    assert len(_evidence(outcome)) == 1


def test_dirty_grid_defers_and_resumes_when_the_replayed_grid_is_clean(run_probe, tmp_path):
    config = write_config(tmp_path, grid__replay={"virtual_start": DIRTY_HOUR, "speed": 7200.0})
    outcome = run_probe("deferrable", file=config)
    xcom = outcome.xcoms["wait"]
    decision = xcom["decision"]
    assert (outcome.state, decision["reason"]) == ("success", "below_threshold")
    assert decision["reading"]["kind"] == "replayed"
    assert parse_time(xcom["submitted_at"]) == parse_time("2025-04-15T05:00-07:00")
    waited = parse_time(decision["decided_at"]) - parse_time(xcom["submitted_at"])
    assert timedelta(hours=2.5) < waited < timedelta(hours=5)
    checks = _evidence(outcome)
    assert [check["action"] for check in checks][:-1] == ["wait"] * (len(checks) - 1)
    assert checks[-1]["action"] == "run"


@pytest.mark.parametrize(("action", "state"), [("start", "success"), ("skip", "skipped"), ("fail", "failed")])
def test_latest_start_ends_the_wait_as_configured(run_probe, tmp_path, action, state):
    config = write_config(
        tmp_path,
        grid__replay={"virtual_start": DIRTY_HOUR, "speed": 14400.0},
        grid__threshold_gco2eq_per_kwh=1.0,
        scheduler__on_latest_start=action,
        scheduler__deadline="8h",
    )
    outcome = run_probe("deferrable", file=config)
    assert outcome.states == {"wait": state}
    if action == "start":
        assert outcome.xcoms["wait"]["decision"]["reason"] == "deadline"


def test_a_model_that_does_not_exist_fails_the_sensor_before_the_wait_if_a_training_follows(run_probe, tmp_path):
    """Alone, before a task of the user's own, the sensor does not need the model."""
    gone = {"path": "lowtide.trainer.models:gone"}
    dirty = write_config(
        tmp_path / "dirty", grid__replay={"virtual_start": DIRTY_HOUR, "speed": 1.0}, training__model=gone
    )
    outcome = run_probe("pipeline", file=dirty)
    assert outcome.states == {"wait_for_clean_grid": "failed", "train": "upstream_failed", "compare": "upstream_failed"}
    assert list((tmp_path / "dirty" / "artifacts").rglob("decisions.jsonl")) == []
    clean = write_config(
        tmp_path / "clean", grid__replay={"virtual_start": CLEAN_HOUR, "speed": 1.0}, training__model=gone
    )
    assert run_probe("deferrable", file=clean).state == "success"


def test_waits_in_the_worker_when_not_deferrable(run_probe, tmp_path):
    config = write_config(tmp_path, grid__replay={"virtual_start": DIRTY_HOUR, "speed": 7200.0})
    outcome = run_probe("poking", file=config)
    assert outcome.xcoms["wait"]["decision"]["reason"] == "below_threshold"
    assert len(_evidence(outcome)) > 1


def test_a_deferral_that_timed_out_ends_as_on_latest_start_says(run_probe, tmp_path):
    replay = {"virtual_start": DIRTY_HOUR, "speed": 1.0}
    started = run_probe("timed_out", file=write_config(tmp_path / "start", grid__replay=replay))
    skipped = run_probe(
        "timed_out", file=write_config(tmp_path / "skip", grid__replay=replay, scheduler__on_latest_start="skip")
    )
    assert started.states == {"wait": "success"}
    assert started.xcoms["wait"]["decision"]["reason"] == "deadline"
    assert "timeout" in " ".join(started.xcoms["wait"]["decision"]["steps"])
    assert skipped.states == {"wait": "skipped"}


def test_a_retry_keeps_the_times_that_the_first_check_fixed(run_probe, tmp_path):
    config = write_config(tmp_path, grid__replay={"virtual_start": DIRTY_HOUR, "speed": 3600.0})
    outcome = run_probe("failing_once", file=config)
    assert outcome.state == "success"
    xcom = outcome.xcoms["wait"]
    assert parse_time(xcom["deadline"]) == parse_time("2025-04-15T18:00-07:00")
    # the second try began seconds later, that is hours of virtual time; submission did not move with it
    assert parse_time(xcom["submitted_at"]) == parse_time("2025-04-15T05:00-07:00")


def test_a_wrong_configuration_fails_without_a_retry_and_skips_with_soft_fail(run_probe, tmp_path):
    config = write_config(tmp_path, grid__replay={"virtual_start": "not a time", "speed": 1.0})
    assert run_probe("deferrable", file=config).states == {"wait": "failed"}
    assert run_probe("soft_fail", file=config).states == {"wait": "skipped"}


def test_a_wait_in_the_worker_remembers_failed_checks_until_the_fallback_decides(run_probe, tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_GRID_DOWN", f"http://{refusing_url().removeprefix('http://')}")
    config = write_config(
        tmp_path,
        grid={"zone": "GB", "provider": "neso", "connection": "grid_down", "threshold_gco2eq_per_kwh": 100.0},
        scheduler__failure_budget=2,
        scheduler__poke_interval="1s",
        scheduler__deadline="6h",
        scheduler__minimum_gain_percent=99.0,
    )
    outcome = run_probe("poking", file=config)
    checks = _evidence(outcome)
    assert [check["reason"] for check in checks] == ["signal_unavailable", "forecast_minimum"]
    assert "1 of 2 failed checks" in checks[0]["text"]


def test_what_a_task_fixes_wins_over_the_form(run_probe, tmp_path):
    config = write_config(tmp_path, grid__replay={"virtual_start": DIRTY_HOUR, "speed": 1.0})
    outcome = run_probe("fixed_policy", file=config, policy="threshold")
    assert outcome.xcoms["wait"]["decision"]["reason"] == "immediate"


def test_a_misspelt_key_in_a_runs_conf_fails_the_run(run_probe, tmp_path):
    config = write_config(tmp_path, grid__replay={"virtual_start": CLEAN_HOUR, "speed": 1.0})
    assert run_probe("deferrable", file=config, polcy="immediate").states == {"wait": "failed"}


def test_reschedule_mode_is_refused_with_the_remedy():
    from lowtide.airflow.sensor import CarbonIntensitySensor

    with pytest.raises(ValueError, match="deferrable=True holds no worker"):
        CarbonIntensitySensor(task_id="wait", config="demo.yaml", deferrable=False, mode="reschedule")


def _evidence(outcome):
    path = Path(outcome.xcoms["wait"]["evidence_path"])
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_it_defers_unless_the_dag_says_otherwise():
    """Airflow's own default_deferrable is false as shipped, and a wait of hours would hold a worker."""
    from lowtide.airflow import CarbonIntensitySensor

    assert CarbonIntensitySensor(task_id="wait", config="demo.yaml").deferrable
