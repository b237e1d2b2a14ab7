"""The shipped DAGs on real Airflow components: deferral, a killed triggerer, a person's stop, and the comparison."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from lowtide.config.loader import PROJECT_ROOT
from lowtide.records import TrainingRecord
from lowtide.report.files import load_record
from lowtide.timeutil import parse_moment
from lowtide.tracker.ledger import read_ledger
from lowtide.trainer.mnist import ensure_mnist

from local.api import AirflowApi
from local.components import AIRFLOW_COMMAND, COMPONENTS, LocalAirflow
from tests.e2e.instances import airflow_in, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900), pytest.mark.filterwarnings("default")]

BASELINE, RETRAINING = "baseline_training", "carbon_aware_retraining"
BASELINE_CONF = {"config": "demo.yaml", "micro_batch_size": 512, "accumulation_steps": 1}


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalAirflow, AirflowApi]]:
    ensure_mnist(PROJECT_ROOT / ".data", report=print)
    folder = tmp_path_factory.mktemp("airflow")
    with airflow_in(folder, PROJECT_ROOT / "dags", [BASELINE, RETRAINING]) as (started, api):
        for dag_id in (BASELINE, RETRAINING):
            api.set_paused(dag_id, False)
        yield started, api


def kill_and_replace_triggerer(airflow: LocalAirflow) -> None:
    triggerer = airflow._components["triggerer"]
    os.killpg(triggerer.pid, signal.SIGKILL)
    triggerer.wait()
    airflow._components["triggerer"] = airflow.spawn("triggerer", [*AIRFLOW_COMMAND, *COMPONENTS["triggerer"]])


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
        except psutil.Error:  # it ended while it was looked at
            continue
    return found


def test_the_run_defers_survives_a_killed_triggerer_trains_and_is_compared(airflow):
    local, api = airflow
    api.trigger(BASELINE, "base", BASELINE_CONF)
    api.trigger(RETRAINING, "aware", {"config": "demo.yaml"})

    wait_for(api, RETRAINING, "aware", "wait_for_clean_grid", "deferred")
    kill_and_replace_triggerer(local)

    wait_for(api, BASELINE, "base", "train", "success")
    waited = wait_for(api, RETRAINING, "aware", "wait_for_clean_grid", "success")
    assert waited["try_number"] == 1, "a killed triggerer must not cost a try"
    wait_for(api, RETRAINING, "aware", "train", "success")
    wait_for(api, RETRAINING, "aware", "compare", "success")

    decision = api.xcom(RETRAINING, "aware", "wait_for_clean_grid")
    assert decision["decision"]["reason"] == "below_threshold"
    # the replay's anchor was fixed at the first look, so a rebuilt trigger found the same clean hour
    clean_from = parse_moment("2025-04-15T08:00-07:00")
    assert 0 <= (parse_moment(decision["decision"]["decided_at"]) - clean_from).total_seconds() < 4 * 3600
    evidence = [json.loads(line) for line in Path(decision["evidence_path"]).read_text().splitlines()]
    assert (evidence[0]["action"], evidence[-1]["action"]) == ("wait", "run")

    result = api.xcom(RETRAINING, "aware", "compare")
    report = json.loads(Path(result["report"]).read_text())
    assert report["headline"]["status"] == "simulated"
    assert report["baseline_run_id"] == f"{BASELINE}/base"
    assert report["run"]["test_accuracy"] > 0.95
    assert report["attribution_gco2eq"]["waiting"] < 0
    folder = local.places.artifacts / "runs" / RETRAINING / "aware"
    record, rows = load_record(folder), read_ledger(folder / "ledger.jsonl").rows
    assert math.fsum(row.emissions_gco2eq for row in rows) == pytest.approx(record.emissions_gco2eq, rel=1e-9)
    assert record.wait_s > 2 * 3600  # virtual
    command_line_reads_the_same(folder, record, Path(result["report"]).parent / "again")


def test_a_run_that_starts_now_is_not_held_up_by_one_that_waits(airflow):
    local, api = airflow
    api.trigger(RETRAINING, "waiting", {"config": "demo.yaml", "threshold_gco2eq_per_kwh": 1})
    wait_for(api, RETRAINING, "waiting", "wait_for_clean_grid", "deferred")
    api.trigger(RETRAINING, "now", {"config": "demo.yaml", "start_now": True, "epochs": 50})
    sensor = wait_for(api, RETRAINING, "now", "wait_for_clean_grid", "success", timeout_s=60)
    wait_for(api, RETRAINING, "now", "train", "running", timeout_s=60)
    assert sensor["try_number"] == 1
    assert api.tasks(RETRAINING, "waiting")["wait_for_clean_grid"]["state"] == "deferred"
    check_that_only_fresh_moves_the_moments(local, api)
    api.fail_run(RETRAINING, "waiting")

    # and a person who stops it leaves no process and no lost row
    folder = local.places.artifacts / "runs" / RETRAINING / "now"
    give_up = time.monotonic() + 60
    while not training_children(folder) or not (folder / "ledger.jsonl").exists():
        assert time.monotonic() < give_up
        time.sleep(0.5)
    time.sleep(5)
    api.fail_run(RETRAINING, "now")
    give_up = time.monotonic() + 20
    while training_children(folder):
        assert time.monotonic() < give_up, "the training child outlived its task"
        time.sleep(0.5)
    rows = read_ledger(folder / "ledger.jsonl").rows
    assert {str(row.phase) for row in rows} >= {"startup", "train"}
    assert not (folder / "record.json").exists()


def test_wrong_input_in_the_form_is_refused_before_a_run_exists(airflow):
    _, api = airflow
    from local.api import ApiError

    with pytest.raises(ApiError, match="400"):
        api.trigger(RETRAINING, "wrong", {"accumulation_steps": 0})
    with pytest.raises(ApiError, match="400"):
        api.trigger(RETRAINING, "elsewhere", {"config": "../../etc/passwd"})


def check_that_only_fresh_moves_the_moments(local: LocalAirflow, api: AirflowApi) -> None:
    """A person clears two waiting tasks; the run with ``fresh`` is submitted anew, the other keeps its moments."""
    api.trigger(RETRAINING, "fresh", {"config": "demo.yaml", "threshold_gco2eq_per_kwh": 1, "fresh": True})
    wait_for(api, RETRAINING, "fresh", "wait_for_clean_grid", "deferred")
    for run_id, moved in (("waiting", False), ("fresh", True)):
        told = local.places.artifacts / "runs" / RETRAINING / run_id / "wait.json"
        before = json.loads(told.read_text())
        told.unlink()
        body = {"dag_run_id": run_id, "task_ids": ["wait_for_clean_grid"], "dry_run": False, "only_failed": False}
        api._json("POST", f"dags/{RETRAINING}/clearTaskInstances", body)
        give_up = time.monotonic() + 60
        while not told.exists():
            assert time.monotonic() < give_up, f"{run_id} did not look again after it was cleared"
            time.sleep(0.5)
        time.sleep(0.5)
        assert (json.loads(told.read_text())["replay"] != before["replay"]) == moved
    api.fail_run(RETRAINING, "fresh")


def command_line_reads_the_same(run: Path, record: TrainingRecord, output: Path) -> None:
    done = subprocess.run(
        [str(PROJECT_ROOT / "lowtide"), "compare", "--run", str(run), "--output", str(output), "--json"],
        env={**os.environ, "LOWTIDE_PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["run"]["emissions_gco2eq"] == record.emissions_gco2eq
