"""The real CodeCarbon on the real machine; child processes where a clean interpreter is the point."""

import json
import logging
import math
import os
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
from lowtide.errors import MeasurementError
from lowtide.records import EnergyTotals, Phase
from lowtide.timeutil import utc_now
from lowtide.tracker.codecarbon import CodeCarbonMeter, energy_methods, tracker_settings
from lowtide.tracker.ledger import LedgerWriter, read_ledger
from lowtide.tracker.meter import MeterReading
from lowtide.tracker.recorder import EnergyRecorder
from lowtide.units import JOULES_PER_KWH

from tests.tracker.tracker_tools import constant, valued_ledger

ROOT = Path(__file__).resolve().parents[2]


class Watched(CodeCarbonMeter):
    """Keeps the final reading for the test."""

    final: MeterReading

    def stop(self) -> MeterReading:
        self.final = super().stop()
        return self.final


def test_rows_sum_to_codecarbons_own_total_and_power_times_time_is_consistent(tmp_path: Path) -> None:
    """Two seconds with phases: sums to 1e-9 of CodeCarbon's total, RAM (a constant power) to 1 % of power x time."""
    meter = Watched()
    ledger = LedgerWriter(tmp_path / "l")
    recording = EnergyRecorder(meter, ledger, constant, now=utc_now, interval_s=0.4, pue=1.0, attempt=1)
    opening = time.monotonic()
    recording.start()
    assert time.monotonic() - opening < 0.5, "the slow work belongs into the constructor"
    time.sleep(0.9)
    recording.set_phase(Phase.TRAIN)
    time.sleep(1.1)
    recording.stop()
    rows = read_ledger(tmp_path / "l").rows
    summary = valued_ledger(tmp_path / "l")
    own = meter._tracker.final_emissions_data
    assert summary.energy_kwh == pytest.approx(own.energy_consumed, rel=1e-9)
    assert summary.energy_kwh == pytest.approx(math.fsum(meter.final.energy_kwh), rel=1e-9)
    assert own.emissions == 0  # grams are ours
    assert summary.emissions_gco2eq == pytest.approx(100 * own.energy_consumed, rel=1e-9)
    elapsed_s = (rows[-1].end - rows[0].start).total_seconds()
    ram_w = meter._tracker._ram_power.W
    assert sum(row.ram_energy_kwh for row in rows) * JOULES_PER_KWH == pytest.approx(ram_w * elapsed_s, rel=0.02)
    powers = [row.ram_energy_kwh * JOULES_PER_KWH / (row.end - row.start).total_seconds() for row in rows]
    assert powers == pytest.approx([ram_w] * len(rows), rel=0.2)
    assert all(a.end == b.start for a, b in pairwise(rows))
    assert recording.problems == ()


def test_each_component_says_how_it_was_obtained_and_fits_the_record() -> None:
    """What this machine really has: read from the same places where CodeCarbon looks."""
    meter = CodeCarbonMeter(count_gpus=False)
    meter.start()
    last = meter.stop()
    rapl = any(Path("/sys/class/powercap").glob("*rapl*/energy_uj"))
    assert meter.methods == {"cpu": "rapl" if rapl else "tdp_estimate", "gpu": "none", "ram": "constant"}
    assert last.gpu_energy_kwh == 0
    EnergyTotals(total=1, cpu=1, gpu=0, ram=0, methods=meter.methods)
    assert meter.scope == "machine"
    assert meter.versions["codecarbon"][0].isdigit()


def test_hardware_objects_become_the_records_words() -> None:
    """Shapes as CodeCarbon's resource tracker builds them; what is unknown gets the weakest word."""

    def item(kind: str, **fields: object) -> object:
        return type(kind, (SimpleNamespace,), {})(**fields)

    def gpu(device: str, ids: list[int]) -> object:
        return item("GPU", gpu_ids=ids, devices=SimpleNamespace(devices=[item(device)]))

    assert energy_methods([item("RAM"), item("CPU", _mode="intel_rapl"), gpu("NvidiaGPUDevice", [0])]) == {
        "cpu": "rapl",
        "gpu": "nvml",
        "ram": "constant",
    }
    assert energy_methods([item("CPU", _mode="constant"), gpu("NvidiaGPUDevice", [])])["gpu"] == "none"
    assert energy_methods([item("CPU", _mode="something new"), gpu("AMDGPUDevice", [0])]) == {
        "cpu": "tdp_estimate",
        "gpu": "tdp_estimate",
        "ram": "none",
    }
    assert energy_methods([item("AppleSiliconChip", chip_part="GPU")])["gpu"] == "tdp_estimate"


def test_every_argument_that_a_configuration_file_could_set_is_passed() -> None:
    """A new argument in a later CodeCarbon must be decided on here, not by somebody's home folder."""
    import inspect

    from codecarbon import OfflineEmissionsTracker
    from codecarbon.emissions_tracker import BaseEmissionsTracker

    known = set(inspect.signature(BaseEmissionsTracker.__init__).parameters)
    known |= set(inspect.signature(OfflineEmissionsTracker.__init__).parameters)
    unread = {"save_to_file", "save_to_api", "save_to_logger", "save_to_prometheus", "save_to_logfire"}
    assert set(tracker_settings(None, None)) == known - unread - {"self", "args", "kwargs", "co2_signal_api_token"}


def test_it_prints_nothing_leaves_logging_alone_and_obeys_no_configuration_but_lowtides(tmp_path: Path) -> None:
    """In a folder with a hostile .codecarbon.config and variables that would print, multiply, upload and write files."""
    (tmp_path / ".codecarbon.config").write_text(
        "[codecarbon]\nlog_level=debug\npue=3\nforce_ram_power=1000\nforce_cpu_power=5000\nsave_to_file=true\n"
        "output_methods=csv,logger\ntracking_mode=process\nmeasure_power_secs=1\napi_call_interval=1\n"
        "allow_multiple_runs=false\nemissions_endpoint=http://127.0.0.1:9\nco2_signal_api_token=x\n"
    )
    script = """
import json, logging, os, signal, sys, time, warnings
warnings.simplefilter("error")
before = (logging.root.level, list(logging.root.handlers), signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))
from lowtide.tracker.codecarbon import CodeCarbonMeter
assert "codecarbon" not in sys.modules
meter = CodeCarbonMeter(); meter.start(); time.sleep(1.2); last = meter.stop()
assert before == (logging.root.level, list(logging.root.handlers), signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))
os.write(3, json.dumps([meter._tracker._pue, meter._tracker._ram_power.W, last.ram_energy_kwh, os.listdir()]).encode())
"""
    answer = tmp_path / "answer"
    with answer.open("w") as file:
        done = subprocess.run(
            ["bash", "-c", f'exec "$0" -c "$1" 3>&{file.fileno()}', sys.executable, script],
            cwd=tmp_path,
            env={
                "PYTHONPATH": str(ROOT),
                "PATH": "/usr/bin:/bin",
                "CODECARBON_LOG_LEVEL": "DEBUG",
                "CODECARBON_WUE": "9",
            },
            pass_fds=[file.fileno()],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    pue, ram_w, ram_kwh, files = json.loads(answer.read_text())
    assert pue == 1.0
    assert ram_w < 1000
    assert ram_kwh * JOULES_PER_KWH == pytest.approx(ram_w * 1.2, rel=0.2)
    assert sorted(files) == [".codecarbon.config", "answer"]


def test_a_constructor_that_codecarbon_lets_fail_in_silence_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A configuration file that is no INI file breaks CodeCarbon's constructor, which swallows it."""
    (tmp_path / ".codecarbon.config").write_text("no section, no sense\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MeasurementError, match=r"could not be set up \(MissingSectionHeaderError"):
        CodeCarbonMeter()
    assert logging.getLogger("codecarbon").filters == []


def test_what_flush_and_stop_swallow_is_raised() -> None:
    """CodeCarbon's hardware object breaks in mid-run: sample and stop say so with the reason, and a mended one goes on."""
    meter = CodeCarbonMeter(count_gpus=False)
    meter.start()
    hardware = meter._tracker._hardware
    meter._tracker._hardware = [object()]
    with pytest.raises(MeasurementError, match=r"could not measure .*AttributeError.*incomplete"):
        meter.sample()
    meter._tracker._hardware = hardware
    assert sum(meter.sample().energy_kwh) > 0
    meter._tracker._hardware = [object()]
    with pytest.raises(MeasurementError, match="gave no final figure"):
        meter.stop()
    assert logging.getLogger("codecarbon").filters == []


@pytest.mark.parametrize("before", [True, False], ids=["before the run", "during the run"])
def test_errors_are_heard_though_the_hosts_logging_configuration_switches_codecarbons_log_off(
    before: bool, request: pytest.FixtureRequest
) -> None:
    """As ``logging.config`` does to every logger that it is not told of, or to be rid of its lines."""

    def silence() -> None:
        logging.getLogger("codecarbon").disabled = True
        logging.getLogger("codecarbon").setLevel(logging.CRITICAL)
        logging.disable(logging.CRITICAL)
        request.addfinalizer(lambda: logging.disable(disabled_before))

    disabled_before = logging.root.manager.disable
    if before:
        silence()
    meter = CodeCarbonMeter(count_gpus=False)
    meter.start()
    hardware = meter._tracker._hardware
    if not before:
        silence()
    meter._tracker._hardware = [object()]
    with pytest.raises(MeasurementError, match=r"could not measure .*AttributeError.*incomplete"):
        meter.sample()
    meter._tracker._hardware = hardware
    meter.stop()


def test_a_meter_that_was_never_stopped_does_not_make_the_next_one_deaf() -> None:
    """A run that was refused after its meter was made leaves one."""
    left = CodeCarbonMeter(count_gpus=False)
    meter = CodeCarbonMeter(count_gpus=False)
    meter.start()
    hardware, meter._tracker._hardware = meter._tracker._hardware, [object()]
    with pytest.raises(MeasurementError, match=r"could not measure .*AttributeError.*incomplete"):
        meter.sample()
    meter._tracker._hardware = hardware
    meter.stop()
    left.start()
    left.stop()


def test_a_gpu_that_can_no_longer_be_read_is_an_error_not_zero_energy() -> None:
    """CodeCarbon's GPU class answers a broken driver with a warning and an empty list: energy would be silently low."""
    from codecarbon.core.gpu import AllGPUDevices
    from codecarbon.external.hardware import GPU

    class GoneDevices(AllGPUDevices):
        def __init__(self) -> None:
            self.devices, self.device_count = [object()], 1  # type: ignore[list-item]

    gpu = GPU.__new__(GPU)
    gpu.gpu_ids, gpu.devices, gpu._gpu_ids_resolved = [0], GoneDevices(), True
    meter = CodeCarbonMeter(count_gpus=False)
    meter.start()
    meter._tracker._hardware.append(gpu)
    for measure in (meter.sample, meter.stop):
        with pytest.raises(MeasurementError, match="AttributeError"):
            measure()


def test_a_meter_that_was_never_started_or_is_stopped_gives_no_reading() -> None:
    """CodeCarbon's flush would return None without a word."""
    meter = CodeCarbonMeter(count_gpus=False)
    for measure in (meter.sample, meter.stop):
        with pytest.raises(MeasurementError, match="incomplete"):
            measure()


def test_a_month_leaves_no_figures_behind_and_the_estimate_is_still_sampled_once_a_second() -> None:
    """CodeCarbon's own timer would keep four lists that grow for ever, and sum them at every row."""
    meter = CodeCarbonMeter(count_gpus=False)
    cpu = next(item for item in meter._tracker._hardware if type(item).__name__ == "CPU")
    meter.start()
    time.sleep(1.3)
    sampled = len(cpu._power_history)
    meter.sample()
    time.sleep(0.1)
    meter.stop()
    assert sampled == 0 if meter.methods["cpu"] == "rapl" else sampled in (1, 2)
    assert cpu._power_history == []
    kept = ("_cpu_utilization_history", "_gpu_utilization_history", "_ram_utilization_history", "_ram_used_history")
    assert [getattr(meter._tracker, name) for name in kept] == [[], [], [], []]
    assert [thread.name for thread in threading.enumerate() if "sampler" in thread.name] == []


UNSHARE = ("unshare", "--user", "--map-user=1000680000", "--map-group=0")


@pytest.mark.skipif(
    subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode != 0,
    reason="this machine does not permit user namespaces",
)
def test_it_measures_as_a_user_without_passwd_entry_home_and_name() -> None:
    script = "from lowtide.tracker.codecarbon import CodeCarbonMeter as M; m = M(); m.start(); print(m.stop().ram_energy_kwh)"
    done = subprocess.run(
        [*UNSHARE, sys.executable, "-c", script],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": os.environ.get("PYTHONPATH", "")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) >= 0
