"""A stand-in for libnvidia-ml beneath the real pynvml: its C functions with their return codes, devices of our making.

What calls it is the real binding and, above that, the real CodeCarbon: only the driver's library is another.
"""

import ctypes
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

SUCCESS, NOT_SUPPORTED, NOT_FOUND, GPU_IS_LOST = 0, 3, 6, 15


@dataclass
class Device:
    """One GPU; ``energy_mj`` counts what it draws, ``status`` is what every query about it returns."""

    uuid: str
    name: str = "NVIDIA A100-SXM4-80GB"
    power_w: float = 300.0
    mig: list[str] = field(default_factory=list)
    status: int = SUCCESS
    counter_status: int = SUCCESS
    counter: Callable[[], float] | None = None

    def __post_init__(self) -> None:
        self._began_s = time.monotonic()

    def energy_mj(self) -> float:
        """What the counter shows."""
        if self.counter is not None:
            return self.counter()
        return 5e9 + 1000 * self.power_w * (time.monotonic() - self._began_s)


class Library:
    """The functions of libnvidia-ml that pynvml calls for us and for CodeCarbon; any other raises FUNCTION_NOT_FOUND."""

    def __init__(self, devices: list[Device]) -> None:
        import pynvml

        self.devices = devices
        self._structs: list[tuple[Any, Device, str]] = []
        self._structure = pynvml.struct_c_nvmlDevice_t

    def nvmlInitWithFlags(self, flags: int) -> int:  # noqa: N802 the library's name, as the others
        return SUCCESS

    def nvmlShutdown(self) -> int:  # noqa: N802
        return SUCCESS

    def nvmlDeviceGetCount_v2(self, count: Any) -> int:  # noqa: N802
        count._obj.value = len(self.devices)
        return SUCCESS

    def nvmlDeviceGetHandleByIndex_v2(self, index: Any, handle: Any) -> int:  # noqa: N802
        device = self.devices[index.value]
        return self._hand_out(handle, device, device.uuid)

    def nvmlDeviceGetUUID(self, handle: Any, text: Any, length: Any) -> int:  # noqa: N802
        text.value = self._entry(handle)[1].encode()
        return SUCCESS

    def nvmlDeviceGetName(self, handle: Any, text: Any, length: Any) -> int:  # noqa: N802
        text.value = self._entry(handle)[0].name.encode()
        return SUCCESS

    def nvmlSystemGetDriverVersion(self, text: Any, length: Any) -> int:  # noqa: N802
        text.value = b"580.00"
        return SUCCESS

    def nvmlDeviceGetMaxMigDeviceCount(self, handle: Any, count: Any) -> int:  # noqa: N802
        mig = self._entry(handle)[0].mig
        count._obj.value = 7
        return SUCCESS if mig else NOT_SUPPORTED

    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle: Any, index: Any, instance: Any) -> int:  # noqa: N802
        device = self._entry(handle)[0]
        if index.value >= len(device.mig):
            return NOT_FOUND
        return self._hand_out(instance, device, device.mig[index.value])

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: Any, total: Any) -> int:  # noqa: N802
        device = self._entry(handle)[0]
        total._obj.value = int(device.energy_mj())
        return device.status or device.counter_status

    def nvmlDeviceGetPowerUsage(self, handle: Any, power: Any) -> int:  # noqa: N802
        device = self._entry(handle)[0]
        power._obj.value = int(1000 * device.power_w)
        return device.status

    def nvmlDeviceGetEnforcedPowerLimit(self, handle: Any, limit: Any) -> int:  # noqa: N802
        limit._obj.value = 400_000
        return SUCCESS

    def nvmlDeviceGetMemoryInfo(self, handle: Any, memory: Any) -> int:  # noqa: N802
        memory._obj.total = 80 * 2**30
        return SUCCESS

    def nvmlDeviceGetUtilizationRates(self, handle: Any, rates: Any) -> int:  # noqa: N802
        rates._obj.gpu = 90
        return self._entry(handle)[0].status

    def _hand_out(self, handle: Any, device: Device, uuid: str) -> int:
        struct = self._structure()
        self._structs.append((struct, device, uuid))
        handle._obj.contents = struct
        return SUCCESS

    def _entry(self, handle: Any) -> tuple[Device, str]:
        address = ctypes.addressof(handle.contents)
        return next((device, uuid) for struct, device, uuid in self._structs if ctypes.addressof(struct) == address)


@contextmanager
def driver(devices: list[Device], patch: pytest.MonkeyPatch, folder: Path) -> Iterator[Library]:
    """Let this process find an NVIDIA driver with these devices, and forget it afterwards."""
    import pynvml
    from codecarbon.core import gpu, gpu_nvidia, hardware_cache

    (folder / "nvidia-smi").write_text("#!/bin/sh\n")
    (folder / "nvidia-smi").chmod(0o755)
    patch.setenv("PATH", str(folder), prepend=":")
    library = Library(devices)
    patch.setattr(pynvml, "nvmlLib", library)
    patch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
    patch.setattr(gpu_nvidia, "pynvml", pynvml)
    patch.setattr(gpu_nvidia, "PYNVML_AVAILABLE", True)
    patch.setattr(gpu, "PYNVML_AVAILABLE", True)
    hardware_cache.clear_cache()
    try:
        yield library
    finally:
        patch.undo()
        hardware_cache.clear_cache()
