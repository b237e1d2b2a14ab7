"""The shipped DAGs on real Airflow components: deferral, a killed triggerer, a person's stop, and the comparison."""

import json
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from lowtide.records import TrainingRecord, load_record
from lowtide.runs.folder import RunFolder
from lowtide.timeutil import parse_time
from lowtide.tracker.ledger import read_ledger

from local.bootstrap import LocalError
from tests.e2e.conftest import RunningAirflow
from tests.support.runs import check_contract

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900), pytest.mark.filterwarnings("default")]

BASELINE, RETRAINING = "baseline_training", "carbon_aware_retraining"
SPEED = 120  # of the demo: virtual seconds a real one
BASELINE_CONF = {"config": "demo.yaml", "micro_batch_size": 512, "accumulation_steps": 1}


@pytest.fixture(scope="module", autouse=True)
def unpaused(airflow: RunningAirflow) -> None:
    for dag_id in (BASELINE, RETRAINING):
        airflow.set_paused(dag_id, False)


def training_children(folder: Path) -> list[psutil.Process]:
    """Return the training children that write their log into a run's folder."""
    log = str(folder / "child.log")
    found = []
    for process in psutil.process_iter(["cmdline"]):
        try:
            if "lowtide.trainer.worker" in (process.info["cmdline"] or []) and any(
                f.path == log for f in process.open_files()
            ):
                found.append(process)
        except psutil.Error:  # it ended meanwhile
            continue
    return found


def test_the_run_defers_survives_a_killed_triggerer_trains_and_is_compared(airflow: RunningAirflow) -> None:
    airflow.trigger(BASELINE, "base", BASELINE_CONF)
    airflow.trigger(RETRAINING, "aware", {"config": "demo.yaml", "threshold_gco2eq_per_kwh": 230})

    airflow.wait_for(RETRAINING, "aware", "wait_for_clean_grid", "deferred")
    airflow.kill_and_replace_triggerer()

    airflow.wait_for(BASELINE, "base", "train", "success")
    waited = airflow.wait_for(RETRAINING, "aware", "wait_for_clean_grid", "success")
    assert waited["try_number"] == 1, "a killed triggerer must not cost a try"
    airflow.wait_for(RETRAINING, "aware", "train", "success")
    airflow.wait_for(RETRAINING, "aware", "compare", "success")

    decision = airflow.xcom(RETRAINING, "aware", "wait_for_clean_grid")
    assert decision["decision"]["reason"] == "below_threshold"
    # the replay's anchor was fixed at the first check, so a rebuilt trigger found the same clean hour
    clean_from = parse_time("2025-04-15T07:00-07:00")
    assert 0 <= (parse_time(decision["decision"]["decided_at"]) - clean_from).total_seconds() < 4 * 3600
    evidence = [json.loads(line) for line in Path(decision["evidence_path"]).read_text().splitlines()]
    assert (evidence[0]["action"], evidence[-1]["action"]) == ("wait", "run")

    result = airflow.xcom(RETRAINING, "aware", "compare")
    report = json.loads(Path(result["report"]).read_text())
    assert report["headline"]["status"] == "simulated"
    assert report["baseline_run_id"] == f"{BASELINE}/base"
    assert report["run"]["test_accuracy"] > 0.95
    assert report["attribution_gco2eq"]["waiting"] < 0
    folder = airflow.artifacts / "runs" / RETRAINING / "aware"
    record = load_record(folder)
    check_contract(RunFolder(folder))
    assert record.wait_s > 1.9 * 3600  # virtual
    command_line_reads_the_same(folder, record, Path(result["report"]).parent / "again")


def test_a_run_that_starts_now_is_not_held_up_by_one_that_waits(airflow: RunningAirflow) -> None:
    airflow.trigger(RETRAINING, "waiting", {"config": "demo.yaml", "threshold_gco2eq_per_kwh": 1})
    airflow.wait_for(RETRAINING, "waiting", "wait_for_clean_grid", "deferred")
    airflow.trigger(RETRAINING, "now", {"config": "demo.yaml", "start_now": True, "epochs": 50})
    sensor = airflow.wait_for(RETRAINING, "now", "wait_for_clean_grid", "success", timeout_s=60)
    airflow.wait_for(RETRAINING, "now", "train", "running", timeout_s=60)
    assert sensor["try_number"] == 1
    assert airflow.tasks(RETRAINING, "waiting")["wait_for_clean_grid"]["state"] == "deferred"
    check_that_only_fresh_moves_the_times(airflow)
    airflow.fail_run(RETRAINING, "waiting")

    # and a person who stops it leaves no process and no lost row
    folder = airflow.artifacts / "runs" / RETRAINING / "now"
    give_up = time.monotonic() + 60
    while not training_children(folder) or not (folder / "ledger.jsonl").exists():
        assert time.monotonic() < give_up
        time.sleep(0.5)
    time.sleep(5)
    airflow.fail_run(RETRAINING, "now")
    give_up = time.monotonic() + 20
    while training_children(folder):
        assert time.monotonic() < give_up, "the training child outlived its task"
        time.sleep(0.5)
    rows = read_ledger(folder / "ledger.jsonl").rows
    assert {str(row.phase) for row in rows} >= {"startup", "train"}
    assert not (folder / "record.json").exists()


def test_wrong_input_in_the_form_is_refused_before_a_run_exists(airflow: RunningAirflow) -> None:
    with pytest.raises(LocalError, match="400"):
        airflow.trigger(RETRAINING, "wrong", {"accumulation_steps": 0})
    with pytest.raises(LocalError, match="400"):
        airflow.trigger(RETRAINING, "elsewhere", {"config": "../../etc/passwd"})


def check_that_only_fresh_moves_the_times(airflow: RunningAirflow) -> None:
    """A person clears two waiting tasks; the run with ``fresh`` is submitted anew, the other keeps its times."""
    airflow.trigger(RETRAINING, "fresh", {"config": "demo.yaml", "threshold_gco2eq_per_kwh": 1, "fresh": True})
    airflow.wait_for(RETRAINING, "fresh", "wait_for_clean_grid", "deferred")
    for run_id, moved in (("waiting", False), ("fresh", True)):
        decisions = airflow.artifacts / "runs" / RETRAINING / run_id / "decisions.jsonl"
        before, written_s = decisions.read_text().splitlines(), decisions.stat().st_mtime
        body = {"dag_run_id": run_id, "task_ids": ["wait_for_clean_grid"], "dry_run": False, "only_failed": False}
        airflow.call("POST", f"dags/{RETRAINING}/clearTaskInstances", body)
        give_up = time.monotonic() + 60
        while len(after := decisions.read_text().splitlines()) == len(before):
            assert time.monotonic() < give_up, f"{run_id} did not check again after it was cleared"
            time.sleep(0.5)
        first, again = (parse_time(json.loads(lines[-1])["decided_at"]) for lines in (before, after))
        real_s = decisions.stat().st_mtime - written_s
        # the clock of a run that is submitted anew starts again; that of the other has run on in the meantime
        assert ((again - first).total_seconds() < real_s * SPEED / 2) == moved
    airflow.fail_run(RETRAINING, "fresh")


def command_line_reads_the_same(run: Path, record: TrainingRecord, output: Path) -> None:
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("lowtide")),
            "compare",
            "--run",
            str(run),
            "--output",
            str(output),
            "--json",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["run"]["emissions_gco2eq"] == record.emissions_gco2eq
