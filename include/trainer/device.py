"""Which device trains, and what it is called."""

import platform
from pathlib import Path
from typing import Literal

import torch

from include.errors import ConfigurationError


def select_device(name: Literal["auto", "cuda", "cpu"]) -> torch.device:
    """Return the device; ``auto`` is the current CUDA device where there is one.

    :raises ConfigurationError: CUDA is demanded and there is none.
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
