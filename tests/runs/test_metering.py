"""What becomes of a run when its measuring goes wrong: the training always ends as it would have, and the figures say so."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
from lowtide.config.loader import PROJECT_ROOT, load_config
from lowtide.errors import MeasurementError, TrainingError
from lowtide.records import Clock, LedgerEventKind
from lowtide.runs.context import TrainingRun
from lowtide.runs.folder import RunFolder
from lowtide.runs.run import SignalRefresher, open_metering, run_training, train_measured
from lowtide.timeutil import utc_now
from lowtide.tracker.ledger import LedgerWriter, read_ledger
from lowtide.tracker.meter import MeterReading
from lowtide.tracker.recorder import EnergyRecorder
from lowtide.trainer.protocol import TrainingResult

from tests.support.config_files import write_config
from tests.support.null_meter import NullMeter
from tests.support.nvml import Device, driver
from tests.support.prepared_runs import prepared as ready
from tests.support.replay_meter import ReplayMeter
from tests.tracker.tracker_tools import constant


def result(device: str = "cpu") -> TrainingResult:
    return TrainingResult(
        device=device,
        device_name="NVIDIA H200" if device == "cuda" else "a processor",
        precision="fp32",
        micro_batch_size=8,
        accumulation_steps=1,
        effective_batch_size=8,
        seed=0,
        epochs=1,
        optimizer_steps=1,
        samples=8,
        train_loss=0.1,
        test_accuracy=0.9,
        test_samples=500,
        train_duration_s=0.1,
        peak_memory_bytes=1,
        peak_memory_kind="cuda_allocated" if device == "cuda" else "rss_above_base",
        peak_memory_reserved_bytes=None,
        peak_memory_method="test",
        base_rss_bytes=1,
        versions={},
    )


def attempt(path: Path, meter: ReplayMeter | NullMeter, train: Callable[[], TrainingResult]) -> dict[str, Any]:
    """Train in an attempt and return what its closing line says."""
    with LedgerWriter(path) as ledger:
        ledger.open_attempt(1, {})
        recorder = EnergyRecorder(meter, ledger, constant, now=utc_now, interval_s=0.03, pue=1.0, attempt=1)
        train_measured(ledger, recorder, meter, train)
    return closing(path)


def closing(path: Path) -> dict[str, Any]:
    last = read_ledger(path).events[-1]
    assert last.event is LedgerEventKind.CLOSED
    return dict(last.details)


class RaisesLater(ReplayMeter):
    """Works for a tenth of a second."""

    def sample(self) -> MeterReading:
        if self._started_s is not None and time.monotonic() - self._started_s > 0.1:
            raise OSError("the sensor's bus is gone")
        return super().sample()


def test_a_meter_that_raises_ends_no_training_and_its_figures_are_marked(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What was measured until then is kept."""
    meter = RaisesLater()

    def train() -> TrainingResult:
        time.sleep(0.3)
        return result()

    closed = attempt(tmp_path / "l", meter, train)
    assert (closed["outcome"], closed["result"]) == ("finished", result().model_dump(mode="json"))
    assert closed["problems"][0] == "the energy of this run is incomplete: the sensor's bus is gone"
    assert read_ledger(tmp_path / "l").rows
    assert closed["problems"][0] in caplog.text


def test_a_training_that_fails_says_so_whatever_the_meter_does(tmp_path: Path) -> None:
    """The reason that matters comes first, the meter's as a note."""
    meter = RaisesLater()

    def train() -> TrainingResult:
        time.sleep(0.2)
        raise TrainingError("out of memory")

    with pytest.raises(TrainingError, match="out of memory") as caught:
        attempt(tmp_path / "l", meter, train)
    assert "the sensor's bus is gone" in caught.value.__notes__[0]
    assert closing(tmp_path / "l")["outcome"] == "failed"


def test_a_meter_that_does_not_start_fails_the_attempt_and_leaves_no_energy_missing(tmp_path: Path) -> None:
    """No training began: the next attempt's figures are whole."""

    class Dead(ReplayMeter):
        def start(self) -> MeterReading:
            raise MeasurementError("no sensor")

    with pytest.raises(MeasurementError, match="no sensor"):
        attempt(tmp_path / "l", Dead(), result)
    assert (closing(tmp_path / "l")["outcome"], closing(tmp_path / "l")["problems"]) == ("failed", [])


def test_a_training_on_a_gpu_that_nobody_measures_is_marked(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A container with CUDA and without NVML: the GPU's energy would silently be 0."""
    caplog.set_level(logging.WARNING)
    meter = NullMeter()
    (problem,) = attempt(tmp_path / "a", meter, lambda: result("cuda"))["problems"]
    assert problem.startswith(
        "the energy of this run is incomplete: it ran on NVIDIA H200, whose energy could not be measured"
    )
    assert problem in caplog.text
    assert attempt(tmp_path / "b", meter, result)["problems"] == []


DISK_FULL = """
import resource, sys, time
from pathlib import Path
from lowtide.errors import ArtifactError
from tests.support.replay_meter import ReplayMeter
from tests.runs.test_metering import attempt, result

def train():
    time.sleep(0.1)
    resource.setrlimit(resource.RLIMIT_FSIZE, (Path(sys.argv[1]).stat().st_size + 100, resource.RLIM_INFINITY))
    time.sleep(0.2)
    return result()

try:
    attempt(Path(sys.argv[1]), ReplayMeter(), train)
except ArtifactError as error:
    print(error)
"""


def test_a_disk_that_is_full_to_the_end_is_reported_and_leaves_an_open_attempt_of_whole_rows(tmp_path: Path) -> None:
    """The kernel itself refuses the write; every row that was acknowledged is whole, and the log says what is missing."""
    path = tmp_path / "ledger.jsonl"
    done = subprocess.run(
        [sys.executable, "-c", DISK_FULL, str(path)],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "free space" in done.stdout
    assert "the energy of this run is incomplete: " in done.stderr
    contents = read_ledger(path)
    assert contents.rows
    (problem,) = contents.problems
    assert "attempt 1 was not closed" in problem


def prepared(folder: Path, **changes: object) -> TrainingRun:
    config = load_config(write_config(folder, **changes))
    return TrainingRun(config=config, run_id="t", folder=RunFolder(folder / "run"), submitted_at=utc_now())


def test_a_run_is_charged_its_share_unless_the_configuration_says_the_machine(tmp_path: Path) -> None:
    """And a training on the CPU counts no GPU and hides none."""
    shared, environment = open_metering(prepared(tmp_path, training__device="cpu"))
    assert (shared.scope, shared.methods["gpu"]) == ("process_tree", "none")
    assert environment == {}
    whole, _ = open_metering(prepared(tmp_path, training__device="cpu", tracker__scope="machine"))
    assert whole.scope == "machine"


def test_where_shares_cannot_be_read_the_machine_is_charged_and_that_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """No /proc, as on macOS: the upper bound, under its own name."""

    def no_proc() -> None:
        raise MeasurementError("/proc/stat cannot be read (No such file or directory)")

    monkeypatch.setattr("lowtide.runs.run.ProcessTree", no_proc)
    assert open_metering(prepared(tmp_path, training__device="cpu"))[0].scope == "machine"
    assert "the whole machine's energy is charged" in caplog.text


def test_the_child_is_shown_the_gpu_that_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two GPUs and no CUDA_VISIBLE_DEVICES: the first is counted, and the child can use no other."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    run = prepared(tmp_path, training__device="auto")
    with driver([Device("GPU-aaaa"), Device("GPU-bbbb")], monkeypatch, tmp_path):
        meter, environment = open_metering(run)
    assert meter.gpu_devices == ("GPU-aaaa",)
    assert environment == {"CUDA_VISIBLE_DEVICES": "GPU-aaaa"}


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("readings overlap")])
def test_what_ends_the_first_check_of_the_grid_ends_the_run_with_no_attempt_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    """An interrupt, or an error of the check that nobody expected: nothing is measured, and none of its energy is missing."""
    run, grid = ready(tmp_path)

    def outlook(*_: object) -> NoReturn:
        if isinstance(error, KeyboardInterrupt):
            time.sleep(1)  # until the ledger is open, and the run waits for this check
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(2)
        raise error

    monkeypatch.setattr(grid, "outlook", outlook)
    with pytest.raises(type(error)):
        run_training(run, grid, meter=NullMeter())
    assert read_ledger(run.folder.ledger).events == ()


def test_an_unexpected_error_of_a_later_check_is_logged_and_the_checks_continue(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run, grid = ready(tmp_path)
    second = threading.Event()

    def check() -> None:
        if "readings overlap" in caplog.text:
            second.set()
        raise ValueError("readings overlap")

    with SignalRefresher(grid, Clock(run.anchor), interval_s=1.0, check=check):
        assert second.wait(10)
    assert "ValueError: readings overlap" in caplog.text


HANGING_METER = """
import sys, time
from pathlib import Path
from lowtide.runs import run
from tests.support.prepared_runs import prepared

def hang(*_):
    print("hangs", flush=True)
    time.sleep(60)

run.open_metering = hang
run.run_training(*prepared(Path(sys.argv[1])))
"""


def test_a_meter_that_hangs_while_it_is_set_up_keeps_no_process_alive(tmp_path: Path) -> None:
    """A driver that does not answer: the process ends soon after an interrupt."""
    command = [sys.executable, "-c", HANGING_METER, str(tmp_path)]
    with subprocess.Popen(command, cwd=PROJECT_ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"hangs\n"
            time.sleep(0.5)
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=20) != 0
        finally:
            process.kill()
