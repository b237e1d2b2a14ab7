"""Which device trains, and what it is called."""

import platform
import resource
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

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
    return _processor_name() or platform.processor() or platform.machine()


def synchronize(device: torch.device) -> None:
    """Wait until the device has done what it was given; a clock read before that would flatter it."""
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
        found |= {"cuda": torch.version.cuda or "unknown", "nvidia_driver": _driver_version()}
    return found


def _processor_name() -> str | None:
    return _after(Path("/proc/cpuinfo"), "model name", ":")


def _driver_version() -> str:
    return _after(Path("/proc/driver/nvidia/version"), "NVRM version", ":") or "unknown"


def _after(path: Path, key: str, separator: str) -> str | None:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return None
    return next((line.partition(separator)[2].strip() for line in lines if line.startswith(key)), None)


# Peak memory of a training, from when everything is imported and nothing is made.
#
# On CUDA: what the allocator handed out (``cuda_allocated``) and what it took from the device. On the CPU: by how much the
# resident set rose above its base (``rss_above_base``); the kernel's own high-water mark where it can be reset (Linux, which
# sees every page), else the largest of samples (which may miss a short peak).


_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")
_RESET_HIGH_WATER_MARK = "5"
_SAMPLE_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class PeakMemory:
    """Bytes; ``reserved_bytes`` only on CUDA."""

    peak_bytes: int
    kind: Literal["cuda_allocated", "rss_above_base"]
    reserved_bytes: int | None


class MemoryMeter(Protocol):
    """Measures from its construction on."""

    base_rss_bytes: int
    method: str

    def peak_bytes_so_far(self) -> int:
        """Return the peak and continue measuring."""
        ...

    def forget_peak(self) -> None:
        """Count from the present on, above the same base."""
        ...

    def peak(self) -> PeakMemory:
        """Return the peak; the meter may then end."""
        ...


class CudaMemory:
    """The allocator's own peak counters."""

    method = "CUDA allocator"

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.base_rss_bytes = resident_bytes()
        torch.cuda.reset_peak_memory_stats(device)

    def peak_bytes_so_far(self) -> int:
        """Return the peak of allocated memory."""
        return torch.cuda.max_memory_allocated(self._device)

    def forget_peak(self) -> None:
        """Reset the counters to what is allocated now."""
        torch.cuda.reset_peak_memory_stats(self._device)

    def peak(self) -> PeakMemory:
        """Return the peaks of allocated and of reserved memory."""
        return PeakMemory(
            peak_bytes=torch.cuda.max_memory_allocated(self._device),
            kind="cuda_allocated",
            reserved_bytes=torch.cuda.max_memory_reserved(self._device),
        )


class KernelMemory:
    """The kernel's high-water mark, set back to the present size at the start."""

    method = "kernel high-water mark"

    def __init__(self) -> None:
        _CLEAR_REFS.write_text(_RESET_HIGH_WATER_MARK)
        self.base_rss_bytes = _status_bytes("VmRSS")

    def peak_bytes_so_far(self) -> int:
        """Return the high-water mark above the base."""
        return max(0, _status_bytes("VmHWM") - self.base_rss_bytes)

    def forget_peak(self) -> None:
        """Set the high-water mark back to the present size."""
        _CLEAR_REFS.write_text(_RESET_HIGH_WATER_MARK)

    def peak(self) -> PeakMemory:
        """Return the high-water mark above the base."""
        return PeakMemory(peak_bytes=self.peak_bytes_so_far(), kind="rss_above_base", reserved_bytes=None)


class SampledMemory:
    """The largest resident set that a sampling thread saw."""

    method = f"resident set sampled every {_SAMPLE_S:g} s"

    def __init__(self) -> None:
        self.base_rss_bytes = self._largest = resident_bytes()
        self._end = threading.Event()
        threading.Thread(target=self._sample, name="memory-sampler", daemon=True).start()

    def _sample(self) -> None:
        while not self._end.wait(_SAMPLE_S):
            self._largest = max(self._largest, resident_bytes())

    def peak_bytes_so_far(self) -> int:
        """Return the largest sample above the base."""
        return max(self._largest, resident_bytes()) - self.base_rss_bytes

    def forget_peak(self) -> None:
        """Forget the samples so far."""
        self._largest = resident_bytes()

    def peak(self) -> PeakMemory:
        """Return the largest sample above the base, and stop sampling."""
        self._end.set()
        return PeakMemory(peak_bytes=self.peak_bytes_so_far(), kind="rss_above_base", reserved_bytes=None)


def start_measuring(device: torch.device) -> MemoryMeter:
    """Return a meter that counts from now on."""
    if device.type == "cuda":
        return CudaMemory(device)
    try:
        return KernelMemory()
    except OSError:  # hardened kernels and other systems do not let the mark be reset
        return SampledMemory()


def resident_bytes() -> int:
    """Return the resident set's size; outside Linux its peak so far, the only figure to be had there."""
    try:
        return _status_bytes("VmRSS")
    except FileNotFoundError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def _status_bytes(key: str) -> int:
    with _STATUS.open() as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(f"{key}:"))
