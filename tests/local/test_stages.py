"""The lines that a person reads while the demo waits and trains."""

import json
from datetime import timedelta
from pathlib import Path

from lowtide.timeutil import format_moment, utc_now

from local.stages import describe

PROGRESS = {
    "phase": "train",
    "epoch": 1,
    "epochs": 2,
    "samples": 30_000,
    "samples_total": 120_000,
    "samples_per_s": 4321.4,
    "loss": 0.12345,
    "power_w": 41.6,
    "energy_kwh": 0.0012,
    "emissions_gco2eq": 0.2137,
    "carbon_intensity_gco2eq_per_kwh": 178.2,
}


def write(folder: Path, name: str, values: object) -> None:
    (folder / name).write_text(json.dumps(values), encoding="utf-8")


def test_a_replayed_wait_shows_the_first_look_and_the_time_on_the_replayed_grid(tmp_path: Path) -> None:
    decision = {
        "reading": {"carbon_intensity_gco2eq_per_kwh": 268.6},
        "threshold_gco2eq_per_kwh": 180.0,
        "latest_start": "2025-04-15T23:12:00Z",
    }
    start = format_moment(utc_now() - timedelta(seconds=30))
    replay = {"real_start": start, "virtual_start": "2025-04-15T12:00:00Z", "speed": 120.0}
    write(tmp_path, "wait.json", {"decision": decision, "replay": replay})
    text = describe("wait_for_clean_grid", "deferred", tmp_path).text
    assert "first look 269 g/kWh, wanted 180, started at the latest at 23:12 UTC" in text
    assert text.endswith(("13:00 UTC", "13:01 UTC", "13:02 UTC"))


def test_a_deferred_wait_shows_the_decision_and_that_no_worker_is_held(tmp_path: Path) -> None:
    write(tmp_path, "wait.json", {"text": "268 g/kWh, threshold 180, at most until 15:00"})
    text = describe("wait_for_clean_grid", "deferred", tmp_path).text
    assert text == "deferred, no worker is held: 268 g/kWh, threshold 180, at most until 15:00"


def test_training_shows_every_figure_that_is_known(tmp_path: Path) -> None:
    write(tmp_path, "progress.json", PROGRESS)
    assert describe("train", "running", tmp_path).text == (
        "train: epoch 1/2, 25% of the samples, 4,321 samples/s, loss 0.123, 42 W, 0.214 g CO2eq, grid at 178 g/kWh"
    )


def test_unknown_figures_are_left_out_not_shown_as_zero(tmp_path: Path) -> None:
    write(
        tmp_path,
        "progress.json",
        PROGRESS | {"loss": None, "carbon_intensity_gco2eq_per_kwh": None, "samples_per_s": 0},
    )
    text = describe("train", "running", tmp_path).text
    assert "loss" not in text
    assert "grid" not in text
    assert "samples/s" not in text


def test_a_new_line_is_due_at_quarters_of_an_epoch_not_at_every_sample(tmp_path: Path) -> None:
    keys = []
    for samples in range(0, 120_001, 1_000):
        write(tmp_path, "progress.json", PROGRESS | {"samples": samples})
        keys.append(describe("train", "running", tmp_path).key)
    assert len(set(keys)) == 5


def test_missing_and_half_written_files_are_no_reason_to_stop(tmp_path: Path) -> None:
    assert describe("train", "running", tmp_path / "nowhere").text == "starting the training process"
    (tmp_path / "progress.json").write_text('{"phase": "tr', encoding="utf-8")
    assert describe("train", "running", tmp_path).text == "starting the training process"
    assert "deferred" in describe("wait_for_clean_grid", "deferred", tmp_path).text


def test_states_without_words_of_their_own_are_shown_as_airflow_names_them(tmp_path: Path) -> None:
    assert describe("train", "up_for_retry", tmp_path).text == "up_for_retry"
    assert describe("compare", None, tmp_path).text == "not yet"
