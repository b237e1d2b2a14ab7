"""Peak memory on the CPU."""

import threading
import time
from collections.abc import Callable

import pytest
import torch
from lowtide.trainer.device import MemoryMeter, kernel_memory, sampled_memory, start_measuring
from lowtide.units import BYTES_PER_MIB

SIZE_MIB = 200


def kernel_meter() -> MemoryMeter:
    try:
        return kernel_memory()
    except OSError:
        pytest.skip("this kernel does not let the high-water mark be reset")


def hold(seconds: float, size_mib: int = SIZE_MIB) -> None:
    tensor = torch.ones(size_mib * BYTES_PER_MIB // 4)
    time.sleep(seconds)
    del tensor


def test_the_kernel_sees_a_peak_however_short() -> None:
    meter = kernel_meter()
    hold(0)
    assert meter.kind == "rss_above_base"
    assert meter.reserved_bytes() is None
    assert meter.peak_bytes() / BYTES_PER_MIB == pytest.approx(SIZE_MIB, rel=0.1)


def test_what_was_there_before_the_base_does_not_count() -> None:
    hold(0, size_mib=2 * SIZE_MIB)  # an earlier peak
    before = torch.ones(SIZE_MIB * BYTES_PER_MIB // 4)
    meter = kernel_meter()
    assert meter.base_rss_bytes > SIZE_MIB * BYTES_PER_MIB
    assert meter.peak_bytes() < 0.1 * SIZE_MIB * BYTES_PER_MIB
    assert before.sum() > 0


def test_samples_see_a_peak_that_lasts_and_the_sampler_ends() -> None:
    threads = threading.active_count()
    meter = sampled_memory()
    hold(0.2)
    assert meter.peak_bytes() / BYTES_PER_MIB == pytest.approx(SIZE_MIB, rel=0.1)
    del meter
    time.sleep(0.1)
    assert threading.active_count() == threads


def test_the_meter_names_its_method() -> None:
    assert start_measuring(torch.device("cpu")).method in (
        "kernel high-water mark",
        "resident set sampled every 0.02 s",
    )


@pytest.mark.parametrize("make", [kernel_meter, sampled_memory])
def test_a_peak_that_is_forgotten_does_not_count(make: Callable[[], MemoryMeter]) -> None:
    meter = make()
    hold(0.2)
    assert meter.peak_bytes() / BYTES_PER_MIB > 0.9 * SIZE_MIB
    meter.forget_peak()
    assert meter.peak_bytes() / BYTES_PER_MIB < 0.1 * SIZE_MIB
