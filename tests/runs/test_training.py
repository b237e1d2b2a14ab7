"""A whole measured run without Airflow: real child, real MNIST, the ledger and the record agree."""

import math
import threading
import time
from dataclasses import replace
from itertools import pairwise

import pytest
from lowtide.config.loader import load_config
from lowtide.errors import LowtideError, TrainingStopped
from lowtide.records import TrainingRecord
from lowtide.runs.run import run_training
from lowtide.tracker.codecarbon import CodeCarbonMeter
from lowtide.tracker.ledger import read_ledger

from tests.support.config_files import write_config
from tests.support.prepared_runs import prepared
from tests.support.replay_meter import ReplayMeter
from tests.support.runs import check_contract, valued_rows

pytestmark = pytest.mark.usefixtures("mnist")


def test_record_follows_from_the_ledger(tmp_path):
    run, signal = prepared(tmp_path)
    seen = []
    record = run_training(run, signal, on_progress=seen.append)
    rows = read_ledger(run.folder.ledger).rows
    assert record.energy_kwh.total == pytest.approx(math.fsum(row.energy_kwh for row in rows), rel=1e-9)
    valued = valued_rows(run.folder.path)
    assert record.emissions_gco2eq == pytest.approx(math.fsum(row.emissions_gco2eq for row in valued), rel=1e-9)
    check_contract(run.folder)
    assert sum(record.intensity_kinds.values()) == pytest.approx(1)
    assert {str(row.phase) for row in rows} >= {"startup", "train", "evaluate"}
    assert all(one.end <= two.start for one, two in pairwise(rows))
    assert record.samples == 1000
    assert record.peak_memory_bytes > 0
    assert record.measuring_scope == "process_tree"
    assert record.energy_complete
    assert record.machine_energy_kwh is not None
    assert 0 < record.energy_kwh.cpu <= record.machine_energy_kwh.cpu
    assert 0 < record.energy_kwh.ram < record.machine_energy_kwh.ram
    assert seen
    assert seen[-1].samples_total == 1000
    assert TrainingRecord.model_validate_json(run.folder.record.read_text()) == record


def test_rows_have_virtual_times_under_replay(tmp_path):
    run, signal = prepared(tmp_path)
    run_training(run, signal)
    rows = read_ledger(run.folder.ledger).rows
    real_s = rows[-1].monotonic_s - rows[0].monotonic_s
    virtual_s = (rows[-1].end - rows[0].end).total_seconds()
    assert virtual_s == pytest.approx(120 * real_s, rel=0.05)
    assert {row.intensity_kind.value for row in valued_rows(run.folder.path)} == {"replayed"}


def test_pue_is_applied_once(tmp_path):
    run, signal = prepared(tmp_path, tracker__pue=1.5)
    record = run_training(run, signal)
    rows = valued_rows(run.folder.path)
    grams = math.fsum(1.5 * row.energy_kwh * row.carbon_intensity_gco2eq_per_kwh for row in rows)
    assert (record.pue, record.emissions_gco2eq) == (1.5, pytest.approx(grams, rel=1e-9))


def test_a_stop_ends_the_run_soon_and_keeps_the_ledger(tmp_path):
    run, signal = prepared(tmp_path, training__epochs=500)
    stop, started = threading.Event(), []

    def stop_in_training(progress):
        if progress.phase == "train" and not started:
            started.append(time.monotonic())
            stop.set()

    with pytest.raises(
        TrainingStopped, match=r"ledger (is|and its last checkpoint are) kept"
    ):  # the second where a step takes over 2 s
        run_training(run, signal, stop=stop, on_progress=stop_in_training)
    assert time.monotonic() - started[0] < 5
    rows = read_ledger(run.folder.ledger).rows
    assert any(row.phase.value == "train" for row in rows)
    assert not run.folder.record.exists()


def test_energy_of_a_failed_attempt_counts_for_the_result(tmp_path):
    run, signal = prepared(tmp_path)
    stop = threading.Event()
    with pytest.raises(TrainingStopped):
        run_training(run, signal, stop=stop, on_progress=lambda _: stop.set())
    wasted = read_ledger(run.folder.ledger).rows
    lines = run.folder.ledger.read_text().splitlines(keepends=True)
    run.folder.ledger.write_text("".join(lines[:-1]))  # as a SIGKILL leaves it: the attempt was never closed
    record = run_training(run, signal)
    rows = read_ledger(run.folder.ledger).rows
    assert rows[: len(wasted)] == wasted
    assert {row.attempt for row in rows} == {1, 2}
    assert record.attempts == 2
    assert not record.energy_complete
    assert (
        1.0 <= (record.uncovered_s or 0.0) < 10.0
    )  # the row under way when it was killed, and until the file was touched
    assert any("was not closed, so it was killed" in problem for problem in record.problems)
    assert record.energy_kwh.total == pytest.approx(math.fsum(row.energy_kwh for row in rows), rel=1e-9)


def test_waiting_is_judged_by_the_same_energy_at_submission(tmp_path):
    run, signal = prepared(tmp_path, scheduler__policy="immediate")
    late = replace(run, submitted_at=run.submitted_at)  # submitted in a dirty hour, trained from then on
    record = run_training(late, signal)
    assert record.counterfactual is not None
    assert record.counterfactual.start == run.submitted_at
    assert record.counterfactual.emissions_gco2eq == pytest.approx(record.emissions_gco2eq, rel=0.1)


def test_codecarbon_is_the_meter_unless_another_is_given(tmp_path):
    run, signal = prepared(tmp_path)
    meter = CodeCarbonMeter()
    record = run_training(run, signal, meter=meter)
    assert record.energy_kwh.methods == meter.methods
    assert "codecarbon" in record.versions


def test_what_another_configuration_used_is_kept_apart(tmp_path):
    run, signal = prepared(tmp_path)
    broken = load_config(write_config(tmp_path / "broken", training__model={"path": "lowtide.trainer.models:gone"}))
    with pytest.raises(LowtideError, match="gone"):
        run_training(replace(run, config=broken), signal)
    record = run_training(run, signal)
    assert record.attempts == 1
    assert (run.folder.path / "other-1" / "ledger.jsonl").exists()


def test_what_a_failed_attempt_could_not_measure_is_missing_from_the_runs_energy_too(tmp_path):
    class Dies(ReplayMeter):
        def sample(self):
            if self._clock() - self._started_s > 1:
                raise OSError("the sensor's bus is gone")
            return super().sample()

    run, signal = prepared(tmp_path)
    broken, stop = Dies(), threading.Event()

    def stop_once_broken(progress):
        if broken._clock() - broken._started_s > 2:
            stop.set()

    with pytest.raises(TrainingStopped):
        run_training(run, signal, stop=stop, on_progress=stop_once_broken, meter=broken)
    record = run_training(run, signal, meter=ReplayMeter())
    assert (record.attempts, record.energy_complete, record.uncovered_s) == (2, False, None)
    assert "the energy of this run is incomplete: the sensor's bus is gone" in record.problems
