"""Which GPUs' energy a run is charged: what ``CUDA_VISIBLE_DEVICES`` means, in NVML's numbers.

CodeCarbon is given these numbers and never the variable: of a UUID such as ``GPU-4e81...`` it strips the leading letters,
finds no device and counts nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

VISIBLE = "CUDA_VISIBLE_DEVICES"
_ORDER = "CUDA_DEVICE_ORDER"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """A device as NVML lists it, in the order of the PCI bus; ``mig_uuids`` are the instances it is divided into."""

    uuid: str
    name: str
    mig_uuids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuSelection:
    """NVML indices to count, their UUIDs, and what a reader of the figures should know.

    ``visible`` is what the training child's ``CUDA_VISIBLE_DEVICES`` must be so that it can use no other GPU than those
    counted; None = leave it as it is.
    """

    indices: tuple[int, ...] = ()
    uuids: tuple[str, ...] = ()
    visible: str | None = None
    problems: tuple[str, ...] = ()


def gpus_of_this_machine() -> list[Gpu]:
    """Return NVML's devices; empty without an NVIDIA driver."""
    try:
        nvml: Any = import_module("pynvml")  # comes with CodeCarbon
        nvml.nvmlInit()
    except Exception:  # noqa: BLE001 no library, no driver, no permission: pynvml raises a class for each
        return []
    try:
        handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
        return [
            Gpu(
                uuid=_text(nvml.nvmlDeviceGetUUID(handle)),
                name=_text(nvml.nvmlDeviceGetName(handle)),
                mig_uuids=tuple(_mig_uuids(nvml, handle)),
            )
            for handle in handles
        ]
    finally:
        nvml.nvmlShutdown()


def select_gpus(environment: Mapping[str, str], gpus: Sequence[Gpu]) -> GpuSelection:
    """Return the GPUs that a training with this environment can use.

    Without the variable that is the first one, and the child is shown no other: the loop trains on one device, and the
    work of others on the remaining ones is not this run's. Where it is unknown which GPU is meant, all are counted.
    """
    text = environment.get(VISIBLE)
    if not gpus or (text is None and len(gpus) == 1):
        return _selection(gpus, range(len(gpus)))
    by_bus = environment.get(_ORDER) == "PCI_BUS_ID" or len({gpu.name for gpu in gpus}) == 1
    if text is None:
        return _selection(gpus, [0], visible=gpus[0].uuid) if by_bus else _all_of(gpus)
    entries = [entry.strip() for entry in text.split(",")]
    if not by_bus and any(entry.isdigit() for entry in entries):
        return _all_of(gpus)
    notes = tuple(
        f"{entry} is a part of a GPU; NVML counts whole GPUs only, so the energy of the whole one is charged"
        for entry in entries
        if entry.startswith("MIG-")
    )
    return _selection(gpus, list(_indices(entries, gpus)), problems=notes)


def _selection(
    gpus: Sequence[Gpu], indices: Sequence[int], *, visible: str | None = None, problems: tuple[str, ...] = ()
) -> GpuSelection:
    chosen = tuple(sorted(set(indices)))
    return GpuSelection(
        indices=chosen, uuids=tuple(gpus[index].uuid for index in chosen), visible=visible, problems=problems
    )


def _all_of(gpus: Sequence[Gpu]) -> GpuSelection:
    problem = (
        f"the energy of all {len(gpus)} GPUs is charged: they differ, and without {_ORDER}=PCI_BUS_ID it is unknown"
        f" which one a number means; name the GPU's UUID in {VISIBLE}"
    )
    return _selection(gpus, range(len(gpus)), problems=(problem,))


def _indices(entries: Sequence[str], gpus: Sequence[Gpu]) -> Iterator[int]:
    for entry in entries:
        index = _index(entry, gpus)
        if index is None:
            return  # CUDA's rule: what follows an invalid entry is not visible
        yield index


def _index(entry: str, gpus: Sequence[Gpu]) -> int | None:
    if entry.isdigit():
        return int(entry) if int(entry) < len(gpus) else None
    if entry.startswith("MIG-GPU-"):  # before driver 470: MIG-GPU-<uuid>/<GPU instance>/<compute instance>
        entry = entry.removeprefix("MIG-").partition("/")[0]
    if not entry.startswith(("GPU-", "MIG-")):
        return None
    found = [
        index
        for index, gpu in enumerate(gpus)
        if any(uuid.lower().startswith(entry.lower()) for uuid in (gpu.uuid, *gpu.mig_uuids))
    ]
    return found[0] if len(found) == 1 else None  # a prefix that fits two names neither


def _mig_uuids(nvml: Any, handle: Any) -> Iterator[str]:
    try:
        count = nvml.nvmlDeviceGetMaxMigDeviceCount(handle)
    except nvml.NVMLError:  # a GPU that cannot be divided
        return
    for index in range(count):
        try:
            instance = nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, index)
        except nvml.NVMLError_NotFound:  # a place for an instance that has not been made
            continue
        yield _text(nvml.nvmlDeviceGetUUID(instance))


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
