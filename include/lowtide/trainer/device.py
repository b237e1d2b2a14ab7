"""The device that trains: its choice, its name, and the peak memory of a training on it."""

import platform
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import psutil
import torch

from lowtide.errors import ConfigurationError


def select_device(name: Literal["auto", "cuda", "cpu"]) -> torch.device:
    """Return the device; ``auto`` is the current CUDA device where there is one.

    :raises ConfigurationError: CUDA is demanded and not available.
    """
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        build = f"was built for CUDA {torch.version.cuda}" if torch.version.cuda else "is a CPU build"
        raise ConfigurationError(
            f"training.device is 'cuda', but PyTorch {torch.__version__} finds no CUDA device (it {build});"
            " use 'auto' or 'cpu', or install the NVIDIA driver and a CUDA build of PyTorch"
        )
    return torch.device("cuda" if available and name != "cpu" else "cpu")


def device_name(device: torch.device) -> str:
    """Return the model name of the GPU or processor."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return _value_in(Path("/proc/cpuinfo"), "model name") or platform.processor() or platform.machine()


def synchronize(device: torch.device) -> None:
    """Wait until the device has done what it was given; a clock read earlier would show too little."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def versions(device: torch.device) -> dict[str, str]:
    """Return what a second run would need to be the same: versions, the device, and the number of threads (sums depend on it)."""
    found = {
        "device_name": device_name(device),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torch_threads": str(torch.get_num_threads()),
    }
    if device.type == "cuda":
        found |= {
            "cuda": torch.version.cuda or "unknown",
            "nvidia_driver": _value_in(Path("/proc/driver/nvidia/version"), "NVRM version") or "unknown",
        }
    return found


def _value_in(path: Path, key: str) -> str | None:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), None)


_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")
_RESET_HIGH_WATER_MARK = "5"
_SAMPLE_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryMeter:
    """Peak memory of a training in bytes, from the meter's start on: before that, all is imported and nothing is made.

    ``kind`` says what is counted: what the CUDA allocator handed out, or by how much the resident set rose above its base.
    ``peak_bytes`` returns the peak so far, and after ``forget_peak`` the one since, above the same base. ``reserved_bytes``
    returns the peak of what the CUDA allocator took from the device; None on a CPU.
    """

    method: str
    base_rss_bytes: int
    peak_bytes: Callable[[], int]
    forget_peak: Callable[[], object]
    kind: Literal["cuda_allocated", "rss_above_base"] = "rss_above_base"
    reserved_bytes: Callable[[], int | None] = lambda: None


def cuda_memory(device: torch.device) -> MemoryMeter:
    """Return a meter of the allocator's own peak counters."""
    torch.cuda.reset_peak_memory_stats(device)
    return MemoryMeter(
        kind="cuda_allocated",
        method="CUDA allocator",
        base_rss_bytes=resident_bytes(),
        peak_bytes=partial(torch.cuda.max_memory_allocated, device),
        forget_peak=partial(torch.cuda.reset_peak_memory_stats, device),
        reserved_bytes=partial(torch.cuda.max_memory_reserved, device),
    )


def kernel_memory() -> MemoryMeter:
    """Return a meter of the kernel's high-water mark of the resident set, which includes every page.

    :raises OSError: the mark cannot be reset: a hardened kernel, or not Linux.
    """
    forget_peak = partial(_CLEAR_REFS.write_text, _RESET_HIGH_WATER_MARK)
    forget_peak()
    base_bytes = _status_bytes("VmRSS")
    return MemoryMeter(
        method="kernel high-water mark",
        base_rss_bytes=base_bytes,
        peak_bytes=lambda: max(0, _status_bytes("VmHWM") - base_bytes),
        forget_peak=forget_peak,
    )


class _Samples:
    """The largest resident set that a thread found, which takes samples as long as this is referenced."""

    def __init__(self) -> None:
        self.largest_bytes = resident_bytes()
        threading.Thread(target=_sample, args=(weakref.ref(self),), name="memory-sampler", daemon=True).start()

    def add(self) -> int:
        self.largest_bytes = max(self.largest_bytes, resident_bytes())
        return self.largest_bytes

    def forget(self) -> None:
        self.largest_bytes = resident_bytes()


def _sample(reference: "weakref.ref[_Samples]") -> None:
    while samples := reference():
        samples.add()
        del samples
        time.sleep(_SAMPLE_S)


def sampled_memory() -> MemoryMeter:
    """Return a meter of samples of the resident set, which may miss a short peak."""
    samples = _Samples()
    base_bytes = samples.largest_bytes
    return MemoryMeter(
        method=f"resident set sampled every {_SAMPLE_S:g} s",
        base_rss_bytes=base_bytes,
        peak_bytes=lambda: samples.add() - base_bytes,
        forget_peak=samples.forget,
    )


def start_measuring(device: torch.device) -> MemoryMeter:
    """Return a meter that counts from now on."""
    if device.type == "cuda":
        return cuda_memory(device)
    try:
        return kernel_memory()
    except OSError:  # hardened kernels and other systems do not let the mark be reset
        return sampled_memory()


def resident_bytes() -> int:
    """Return the resident set's size."""
    return int(psutil.Process().memory_info().rss)


def _status_bytes(key: str) -> int:
    with _STATUS.open() as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(f"{key}:"))
