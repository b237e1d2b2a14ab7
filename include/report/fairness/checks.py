"""What is held against one another, and what a difference in it means."""

import re
from collections.abc import Callable
from typing import NamedTuple

from include.records import TrainingRecord
from include.report.fairness.model import Bars

Value = Callable[[TrainingRecord], str]
_KEY = re.compile(r"model=(?P<model>.*); data=(?P<data>.*); zone=(?P<zone>.*); effective_batch_size=(?P<batch>.*)")
_NO_NAMES = "none named"
"""There was no GPU, or a record of an older version does not say which; how GPU energy was obtained tells the two apart."""
_WORK = "the part of work holds what that does"


class Check(NamedTuple):
    """One thing that two runs should have in common."""

    what: str
    label: str
    value: Value
    bars: Bars
    why: str


def _part(name: str) -> Value:
    def value(record: TrainingRecord) -> str:
        found = _KEY.fullmatch(record.comparison_key)
        return found[name] if found else record.comparison_key

    return value


def _zone(record: TrainingRecord) -> str:
    return record.zone + (" (replay)" if record.replay else "")


def _version(package: str) -> Value:
    return lambda record: record.versions.get(package, "unknown")


def method(part: str) -> Value:
    """Return how a record says that the energy of ``cpu``, ``gpu`` or ``ram`` was obtained."""
    return lambda record: str(dict(record.energy_kwh.methods).get(part, "none"))  # type: ignore[call-overload]


def _gpu_count(record: TrainingRecord) -> str:
    return str(len(record.gpu_devices) or _NO_NAMES)


def _gpu_names(record: TrainingRecord) -> str:
    return ", ".join(sorted(record.gpu_devices)) or _NO_NAMES


CHECKS = (
    Check("zone", "zone", _zone, "comparison", "the grids are different ones"),
    Check("signal_type", "signal type", lambda r: r.signal_type, "comparison", "their g/kWh are not comparable"),
    Check(
        "emission_factor_type",
        "emission factor type",
        lambda r: r.emission_factor_type,
        "comparison",
        "their g/kWh are not comparable",
    ),
    Check(
        "measuring_scope", "measuring scope", lambda r: r.measuring_scope, "comparison", "their kWh are not comparable"
    ),
    Check("model", "model", _part("model"), "comparison", "another model is other work"),
    Check("data", "data set", _part("data"), "comparison", "another data set is other work"),
    Check(
        "effective_batch_size",
        "effective batch",
        lambda r: str(r.effective_batch_size),
        "comparison",
        "another effective batch is another training",
    ),
    Check("device", "device class", lambda r: r.device, "comparison", "the change is that of the hardware"),
    Check("pue", "PUE", lambda r: f"{r.pue:g}", "efficiency", "the site's overhead is no doing of the training"),
    Check("samples", "samples", lambda r: str(r.samples), "nothing", _WORK),
    Check("epochs", "epochs", lambda r: str(r.epochs), "nothing", _WORK),
    Check("peak_memory_kind", "kind of peak memory", lambda r: r.peak_memory_kind, "nothing", "it has no percentage"),
    Check(
        "gpus",
        "number of GPUs",
        _gpu_count,
        "efficiency",
        "another number of GPUs is other hardware, and the change in energy is that of the hardware, too",
    ),
    *(
        Check(
            f"versions.{name}", f"version of {name}", _version(name), "nothing", "another version may work differently"
        )
        for name in ("lowtide", "torch", "codecarbon")
    ),
)
"""All that is compared as text; seeds, meters and what the key has beside are looked at in ``fairness``."""

WHOLE_KEY = Check(
    "comparison_key",
    "comparison key",
    lambda r: r.comparison_key,
    "comparison",
    "runs of different keys are not the same work",
)
DEVICE_NAME = Check(
    "device_name",
    "device name",
    lambda r: r.device_name,
    "efficiency",
    "the change in energy is that of the hardware, too, and a meter's error does not cancel",
)
GPU_DEVICES = Check("gpu_devices", "set of GPUs", _gpu_names, "efficiency", "")
METHODS = tuple(
    Check(f"methods.{part}", f"method of {part} energy", method(part), "efficiency", "")
    for part in ("cpu", "gpu", "ram")
)
