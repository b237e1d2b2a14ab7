"""What CodeCarbon 3.3.2 must be told so that nothing but us decides what it measures, and what it hides.

Everything here was checked against its source: an argument that is not passed is read from ``.codecarbon.config`` files and
``CODECARBON_*`` variables; exceptions in its constructor, ``start``, ``flush`` and ``stop`` end as a warning in its own log.
"""

import logging
import tempfile
import threading
import weakref
from collections.abc import Iterable
from typing import Any

from include.tracker.meters.meter import Component, Method

NEVER_S = 10 * 365 * 86_400
"""CodeCarbon's own timer must never fire: meeting our flush it would count an interval twice."""

_CPU_METHODS: dict[str, Method] = {
    "intel_rapl": "rapl",
    "windows_emi": "rapl",
    "cpu_load": "tdp_estimate",
    "constant": "constant",
}


def tracker_settings(output: object, gpu_ids: list[int] | None) -> dict[str, Any]:
    """Return every argument of ``OfflineEmissionsTracker`` that is read when ``output_methods`` is given.

    The deprecated ``save_to_*`` and ``co2_signal_api_token`` are left out: ``output_methods=[]`` and a token that is not
    None keep them from being read, and passing them warns.
    """
    return _measuring(gpu_ids) | _no_other_output(output) | _no_location()


def _measuring(gpu_ids: list[int] | None) -> dict[str, Any]:
    return {
        "measure_power_secs": NEVER_S,
        "tracking_mode": "machine",
        "gpu_ids": gpu_ids,
        "force_cpu_power": None,
        "force_ram_power": None,
        "force_mode_cpu_load": False,
        "rapl_include_dram": False,  # its RAM estimate is counted beside it: DRAM would be counted twice
        "rapl_prefer_psys": False,
        "pue": 1.0,  # ours is applied once, when a row is booked
        "wue": 0.0,
        "allow_multiple_runs": True,  # False takes over SIGINT and SIGTERM and leaves a lock file behind
    }


def _no_other_output(output: object) -> dict[str, Any]:
    return {
        "output_methods": [],
        "output_handlers": [output],
        "api_call_interval": -1,
        "api_endpoint": "",
        "api_key": "",
        "emissions_endpoint": None,
        "prometheus_url": "",
        "logging_logger": None,
        "logger_preamble": "",
        "log_level": "warning",  # swallowed exceptions are warnings; SwallowedErrors keeps them from the terminal
        "on_csv_write": "append",
        "output_dir": tempfile.gettempdir(),  # must exist, nothing is written to it
        "output_file": "",
        "project_name": "lowtide",
        "experiment_id": "",
        "experiment_name": "",
        "metadata": None,
    }


def _no_location() -> dict[str, Any]:
    return {
        "force_carbon_intensity_g_co2e_kwh": 0,  # energy only; grams are ours
        "electricitymaps_api_token": "",
        "country_iso_code": None,
        "country_2letter_iso_code": None,
        "region": None,
        "cloud_provider": None,
        "cloud_region": None,
    }


class _Silence(logging.Filter):
    """Stands before CodeCarbon's log handlers: nothing is printed, and every meter hears of it.

    One for all: of several filters the first that says no keeps a record from the others, so that a meter which was made
    and never stopped would make each later one deaf.
    """

    def __init__(self) -> None:
        super().__init__()
        self.listeners: weakref.WeakSet[SwallowedErrors] = weakref.WeakSet()

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell the listeners; the handlers get nothing."""
        for listener in tuple(self.listeners):
            listener.hear(record)
        return False


class SwallowedErrors:
    """Keeps what CodeCarbon swallowed on our thread."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()
        self.last: str | None = None

    def install(self) -> None:
        """Begin to listen; also silences the lines that CodeCarbon writes while it is imported."""
        _SILENCE.listeners.add(self)
        _audible_logger().addFilter(_SILENCE)

    def remove(self) -> None:
        """Leave CodeCarbon's log as it was."""
        _SILENCE.listeners.discard(self)
        if not _SILENCE.listeners:
            logger = logging.getLogger("codecarbon")
            logger.removeFilter(_SILENCE)
            vars(logger).pop("isEnabledFor", None)

    def expect(self) -> None:
        """Forget what was heard and listen to the calling thread."""
        self._thread, self.last = threading.get_ident(), None
        _audible_logger()

    def hear(self, record: logging.LogRecord) -> None:
        """Keep exceptions of our thread; its one-second monitor thread may miss a utilisation figure without harm."""
        if record.exc_info and record.exc_info[1] is not None and record.thread == self._thread:
            self.last = f"{type(record.exc_info[1]).__name__}: {record.exc_info[1]}"


_SILENCE = _Silence()


def _audible_logger() -> logging.Logger:
    """Return CodeCarbon's logger, switched on: the host's logging configuration may have switched it off, or all logging.

    Airflow does the latter (``logging.disable``). CodeCarbon's GPU class tells a driver that broke by a warning alone;
    unheard, energy would be silently low.
    """
    logger = logging.getLogger("codecarbon")
    logger.disabled = False
    vars(logger)["isEnabledFor"] = _from_warnings_on  # on this logger alone: others stay as the host wants them
    return logger


def _from_warnings_on(level: int) -> bool:
    return level >= logging.WARNING  # below, it tells of what it tries and does without


def energy_methods(hardware: Iterable[Any]) -> dict[Component, Method]:
    """Say how CodeCarbon obtains each component, from the objects that it built.

    What we do not know gets the weakest label, ``tdp_estimate``, so that no claim rests on it.
    """
    methods: dict[Component, Method] = {"cpu": "none", "gpu": "none", "ram": "none"}
    for item in hardware:
        kind = type(item).__name__
        if kind == "RAM":
            methods["ram"] = "constant"
        elif kind == "CPU":
            methods["cpu"] = _CPU_METHODS.get(item._mode, "tdp_estimate")
        elif kind == "GPU":
            methods["gpu"] = _gpu_method(item)
        else:  # Raspberry, AppleSiliconChip: one object per part of the chip
            part: Component = item.chip_part.lower()
            methods[part] = "tdp_estimate"
    return methods


def _gpu_method(gpu: Any) -> Method:
    if not gpu.gpu_ids:
        return "none"
    kinds = {type(device).__name__ for device in gpu.devices.devices}
    return "nvml" if kinds == {"NvidiaGPUDevice"} else "tdp_estimate"
