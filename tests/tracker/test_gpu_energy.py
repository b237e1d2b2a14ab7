"""CodeCarbon on GPUs of a stand-in driver: the selected devices only, and every way in which a counter can fail."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from lowtide.errors import MeasurementError
from lowtide.tracker.codecarbon import CodeCarbonMeter
from lowtide.units import JOULES_PER_KWH

from tests.support.nvml import GPU_IS_LOST, NOT_SUPPORTED, Device, driver

A = "GPU-4e817856-1fb8-192a-7ab7-0e0e4476c184"
B = "GPU-90000000-2222-3333-4444-555555555555"


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[Device]]:
    """Two equal GPUs, one of which somebody else uses at 700 W."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    devices = [Device(A, power_w=300.0), Device(B, power_w=700.0)]
    with driver(devices, monkeypatch, tmp_path):
        yield devices


def joules(kwh: float) -> float:
    return kwh * JOULES_PER_KWH


@pytest.mark.parametrize(
    ("visible", "uuids", "watts"), [(None, (A,), 300), ("1", (B,), 700), (B, (B,), 700), ("0,1", (A, B), 1000)]
)
def test_only_the_selected_devices_are_charged(
    gpus: list[Device],
    monkeypatch: pytest.MonkeyPatch,
    visible: str | None,
    uuids: tuple[str, ...],
    watts: float,
) -> None:
    """By index and by UUID; CodeCarbon itself would count nothing for the UUID."""
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    meter = CodeCarbonMeter()
    began_s = meter.start().monotonic_s
    time.sleep(0.4)
    last = meter.stop()
    assert meter.methods["gpu"] == "nvml"
    assert meter.gpu_devices == uuids
    assert joules(last.gpu_energy_kwh) == pytest.approx(watts * (last.monotonic_s - began_s), rel=0.2)
    assert last.machine_energy_kwh == last.energy_kwh
    assert (meter.shortfall, meter.problems) == (None, ())
    assert meter.versions["nvidia_driver"] == "580.00"


def test_codecarbon_itself_finds_no_gpu_by_its_uuid(gpus: list[Device]) -> None:
    """Why the variable is translated: should this ever fail, the translation can go."""
    from codecarbon.external.hardware import GPU

    assert GPU.from_utils([A]).gpu_ids == []


def test_a_gpu_that_codecarbon_does_not_find_is_an_error(
    gpus: list[Device], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It would ignore the GPU with a warning and count nothing."""
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\nexit 1\n")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    with pytest.raises(MeasurementError, match=r"NVML index 1; it finds none .*nvidia-smi"):
        CodeCarbonMeter()


def test_a_run_that_is_shown_no_gpu_is_charged_none(gpus: list[Device], monkeypatch: pytest.MonkeyPatch) -> None:
    """CUDA_VISIBLE_DEVICES= hides them all."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    meter = CodeCarbonMeter()
    meter.start()
    assert meter.stop().gpu_energy_kwh == 0
    assert meter.methods["gpu"] == "none"


def test_a_counter_that_is_away_for_a_while_makes_its_time_good(gpus: list[Device]) -> None:
    """The driver does not answer at all: marked while it lasts, whole again when the counter is back."""
    meter = CodeCarbonMeter()
    began_s = meter.start().monotonic_s
    gpus[0].status = GPU_IS_LOST
    time.sleep(0.3)
    with pytest.raises(Exception, match="NVMLError_GpuIsLost"):
        meter.sample()
    meter.sample()  # CodeCarbon warns once and then counts 0
    assert meter.shortfall == (
        "GPU 0 can be read neither by its energy counter nor by its power; the GPU's energy is too low"
    )
    gpus[0].status = 0
    time.sleep(0.1)
    last = meter.stop()
    assert joules(last.gpu_energy_kwh) == pytest.approx(300 * (last.monotonic_s - began_s), rel=0.2)
    assert meter.shortfall is None
    assert any("neither by its energy counter" in problem for problem in meter.problems)


def test_a_device_that_is_lost_for_good_marks_the_figures(gpus: list[Device]) -> None:
    """CPU and RAM go on being counted."""
    meter = CodeCarbonMeter()
    meter.start()
    gpus[0].status = GPU_IS_LOST
    time.sleep(0.1)
    with pytest.raises(Exception, match="GpuIsLost"):
        meter.sample()
    time.sleep(0.1)
    last = meter.stop()
    assert last.cpu_energy_kwh > 0
    assert "the GPU's energy is too low" in (meter.shortfall or "")


def test_a_counter_that_was_reset_is_reported_and_what_was_lost_before_it_marks_the_figures(gpus: list[Device]) -> None:
    """A driver that was reloaded: with readable power only a note, after an outage a gap that nothing can fill."""
    meter = CodeCarbonMeter()
    meter.start()
    gpus[0].counter = lambda: 1000.0
    time.sleep(0.1)
    last = meter.sample()
    assert last.gpu_energy_kwh > 0
    assert meter.shortfall is None
    assert meter.problems == ("GPU 0: its energy counter began anew; the energy around it follows from its power",)
    gpus[0].status = GPU_IS_LOST
    time.sleep(0.1)
    with pytest.raises(Exception, match="GpuIsLost"):
        meter.sample()
    meter.sample()
    gpus[0].status, gpus[0].counter = 0, lambda: 10.0
    time.sleep(0.1)
    meter.stop()
    assert "its energy counter does not cover that time" in (meter.shortfall or "")


@pytest.mark.parametrize("stands_at", [0.0, 5e9])
def test_a_counter_that_stands_still_marks_the_figures(
    gpus: list[Device], monkeypatch: pytest.MonkeyPatch, stands_at: float
) -> None:
    """NVML reports 0, or the same for ever: a GPU draws power whenever it answers."""
    monkeypatch.setattr("lowtide.tracker.counter_health._STUCK_S", 0.05)
    gpus[0].counter = lambda: stands_at
    meter = CodeCarbonMeter()
    meter.start()
    time.sleep(0.1)
    assert meter.sample().gpu_energy_kwh == 0
    assert meter.shortfall == "the energy counter of GPU 0 does not move; the GPU's energy is too low"
    meter.stop()


def test_a_device_without_a_counter_is_read_by_its_power_and_one_that_reports_0_w_marks_the_figures(
    gpus: list[Device],
) -> None:
    """Cards older than Volta have no counter; 0 W is what a broken sensor says."""
    gpus[0].counter_status = NOT_SUPPORTED
    meter = CodeCarbonMeter()
    began_s = meter.start().monotonic_s
    time.sleep(0.3)
    last = meter.sample()
    assert joules(last.gpu_energy_kwh) == pytest.approx(300 * (last.monotonic_s - began_s), rel=0.2)
    assert meter.shortfall is None
    assert "follows from its power" in meter.problems[0]
    gpus[0].power_w = 0.0
    time.sleep(0.1)
    meter.stop()
    assert "the GPU's energy is too low" in (meter.shortfall or "")
