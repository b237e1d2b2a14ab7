"""The device that trains: its choice, its name, and the peak memory of a training on it."""

import platform
import threading
import time
import weakref
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


class MemoryMeter:
    """Peak memory of a training in bytes, from the meter's construction on: before that, all is imported and nothing is made.

    ``kind`` says what is counted: what the CUDA allocator handed out, or by how much the resident set rose above its base.
    """

    kind: Literal["cuda_allocated", "rss_above_base"] = "rss_above_base"
    method: str
    base_rss_bytes: int

    def peak_bytes(self) -> int:
        """Return the peak so far."""
        raise NotImplementedError

    def reserved_bytes(self) -> int | None:
        """Return the peak of what the CUDA allocator took from the device; None on a CPU."""
        return None

    def forget_peak(self) -> None:
        """Count from now on, above the same base."""
        raise NotImplementedError


class CudaMemory(MemoryMeter):
    """The allocator's own peak counters."""

    kind = "cuda_allocated"
    method = "CUDA allocator"

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.base_rss_bytes = resident_bytes()
        self.forget_peak()

    def peak_bytes(self) -> int:
        """Return the peak of allocated memory."""
        return torch.cuda.max_memory_allocated(self._device)

    def reserved_bytes(self) -> int:
        """Return the peak of reserved memory."""
        return torch.cuda.max_memory_reserved(self._device)

    def forget_peak(self) -> None:
        """Reset the counters to what is allocated now."""
        torch.cuda.reset_peak_memory_stats(self._device)


class KernelMemory(MemoryMeter):
    """The kernel's high-water mark of the resident set, which includes every page; only where it can be reset (Linux)."""

    method = "kernel high-water mark"

    def __init__(self) -> None:
        self.forget_peak()
        self.base_rss_bytes = _status_bytes("VmRSS")

    def peak_bytes(self) -> int:
        """Return the high-water mark above the base."""
        return max(0, _status_bytes("VmHWM") - self.base_rss_bytes)

    def forget_peak(self) -> None:
        """Reset the high-water mark to the present size."""
        _CLEAR_REFS.write_text(_RESET_HIGH_WATER_MARK)


class SampledMemory(MemoryMeter):
    """The largest resident set that a sampling thread found, which may miss a short peak; it samples as long as it is referenced."""

    method = f"resident set sampled every {_SAMPLE_S:g} s"

    def __init__(self) -> None:
        self.base_rss_bytes = self._largest = resident_bytes()
        threading.Thread(target=_sample, args=(weakref.ref(self),), name="memory-sampler", daemon=True).start()

    def peak_bytes(self) -> int:
        """Return the largest sample above the base."""
        self.sample()
        return self._largest - self.base_rss_bytes

    def sample(self) -> None:
        """Take one sample."""
        self._largest = max(self._largest, resident_bytes())

    def forget_peak(self) -> None:
        """Forget the samples so far."""
        self._largest = resident_bytes()


def _sample(reference: "weakref.ref[SampledMemory]") -> None:
    while meter := reference():
        meter.sample()
        del meter
        time.sleep(_SAMPLE_S)


def start_measuring(device: torch.device) -> MemoryMeter:
    """Return a meter that counts from now on."""
    if device.type == "cuda":
        return CudaMemory(device)
    try:
        return KernelMemory()
    except OSError:  # hardened kernels and other systems do not let the mark be reset
        return SampledMemory()


def resident_bytes() -> int:
    """Return the resident set's size."""
    return int(psutil.Process().memory_info().rss)


def _status_bytes(key: str) -> int:
    with _STATUS.open() as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(f"{key}:"))
