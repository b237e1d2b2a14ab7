"""CodeCarbon behind one adapter: energy only, offline, no race, no exception swallowed."""

import logging
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

from lowtide.errors import MeasurementError
from lowtide.tracker.counter_health import CounterWatch
from lowtide.tracker.gpu import gpus_of_this_machine, select_gpus
from lowtide.tracker.meter import Component, MeterReading, Method, Scope

# The settings of CodeCarbon 3.3.2, so that Lowtide alone decides what it measures, and the faults that it hides.
#
# Everything here was checked against its source: an argument that is not passed is read from ``.codecarbon.config`` files and
# ``CODECARBON_*`` variables; exceptions in its constructor, ``start``, ``flush`` and ``stop`` end as a warning in its own log.


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
    measuring = {
        "measure_power_secs": NEVER_S,
        "tracking_mode": "machine",
        "gpu_ids": gpu_ids,
        "force_cpu_power": None,
        "force_ram_power": None,
        "force_mode_cpu_load": False,
        "rapl_include_dram": False,  # its RAM estimate is counted beside it: DRAM would be counted twice
        "rapl_prefer_psys": False,
        "pue": 1.0,  # PUE is applied once, when a row is valued
        "wue": 0.0,
        "allow_multiple_runs": True,  # False takes over SIGINT and SIGTERM and leaves a lock file behind
    }
    no_other_output = {
        "output_methods": [],
        "output_handlers": [output],
        "api_call_interval": -1,
        "api_endpoint": "",
        "api_key": "",
        "emissions_endpoint": None,
        "prometheus_url": "",
        "logging_logger": None,
        "logger_preamble": "",
        "log_level": "critical",  # it prints nothing; SwallowedErrors hears what it swallows
        "on_csv_write": "append",
        "output_dir": tempfile.gettempdir(),  # must exist, nothing is written to it
        "output_file": "",
        "project_name": "lowtide",
        "experiment_id": "",
        "experiment_name": "",
        "metadata": None,
    }
    no_location = {
        "force_carbon_intensity_g_co2e_kwh": 0,  # energy only; grams are ours
        "electricitymaps_api_token": "",
        "country_iso_code": None,
        "country_2letter_iso_code": None,
        "region": None,
        "cloud_provider": None,
        "cloud_region": None,
    }
    return measuring | no_other_output | no_location


_CODECARBONS_LOG = logging.getLogger("codecarbon")


class SwallowedErrors(logging.Filter):
    """Within its block: hears what CodeCarbon swallows on this thread, and keeps CodeCarbon's lines from the terminal.

    The host's logging configuration may have switched CodeCarbon's log off, or all logging (Airflow: ``logging.disable``).
    CodeCarbon's GPU class reports a driver that broke by a warning alone; unheard, energy would be silently low.
    """

    _alone = threading.RLock()
    """One block at a time: of several filters, the first that refuses a record keeps it from the others."""

    def __enter__(self) -> Self:
        self._alone.acquire()
        self._thread, self.last = threading.get_ident(), ""
        _CODECARBONS_LOG.disabled = False
        # on this logger alone, others stay as the host wants them; below a warning, it reports what it tries and does without
        vars(_CODECARBONS_LOG)["isEnabledFor"] = lambda level: level >= logging.WARNING
        _CODECARBONS_LOG.addFilter(self)
        return self

    def __exit__(self, *_: object) -> None:
        _CODECARBONS_LOG.removeFilter(self)
        vars(_CODECARBONS_LOG).pop("isEnabledFor", None)
        self._alone.release()

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep exceptions of the block's thread: another may miss a utilisation figure without harm. Print nothing."""
        if record.exc_info and record.exc_info[1] is not None and record.thread == self._thread:
            self.last = f"{type(record.exc_info[1]).__name__}: {record.exc_info[1]}"
        return False


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


# Takes the place of CodeCarbon's one-second timer, which costs more than all the rest and never forgets a figure.
#
# That timer starts a thread a second and keeps four lists of utilisation figures, which every flush sums from the beginning:
# after a month millions of figures, every five seconds. Nothing of ours reads them.


_PERIOD_S = 1.0


class PowerSampler:
    """Once a second, samples the power of what has no energy counter; the energy of the rest needs no help.

    Has the two methods of CodeCarbon's ``PeriodicScheduler`` that the tracker calls.
    """

    def __init__(self, hardware: Iterable[Any]) -> None:
        self._sampled = [item for item in hardware if _may_need_it(item)]
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="power-sampler", daemon=True)

    def start(self) -> None:
        """Begin, if there is anything to sample."""
        if self._sampled and self._thread.ident is None:
            self._thread.start()

    def stop(self) -> None:
        """End; a sample under way is waited for, so that none meets the tracker's last measurement."""
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(_PERIOD_S):
            for item in self._sampled:
                try:
                    item.monitor_power()
                except Exception:  # noqa: BLE001, S112 the next measurement covers this second, and reports what is wrong
                    continue


def _may_need_it(item: Any) -> bool:
    # a GPU's own code checks at once whether its counter fails
    kind = type(item).__name__
    return kind == "GPU" or (kind == "CPU" and item._mode not in ("intel_rapl", "windows_emi", "constant"))


def _ensure_home() -> None:
    """Set HOME as container runtimes do where neither it nor a passwd entry says it: CodeCarbon does not start without."""
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = "/"


_FRESH_S = 0.05
"""CodeCarbon skips a measurement this soon after the last and would report the old totals at a new time."""


class _Output:
    """CodeCarbon's output handler: keeps the latest totals, with the time at which they were complete."""

    latest: tuple[float, Any] = (0.0, None)

    def out(self, total: Any, delta: Any) -> None:  # noqa: ARG002 CodeCarbon's signature
        self.latest = (time.monotonic(), total)

    def exit(self) -> None:
        """Nothing to close; CodeCarbon calls it."""


class CodeCarbonMeter:
    """The whole machine's energy from CodeCarbon; the constructor takes 1 to 2 s the first time, ``start`` none.

    :param count_gpus: count those that a training in this environment can use; False = no GPU.
    :raises MeasurementError: CodeCarbon cannot be set up, or does not find a GPU that the training can use.
    """

    scope: Scope = "machine"

    def __init__(self, *, count_gpus: bool = True) -> None:
        gpus = gpus_of_this_machine() if count_gpus else []
        self.selection = select_gpus(os.environ, gpus)
        self.gpu_devices = self.selection.uuids
        # None: all that CodeCarbon finds, which are not NVIDIA's
        self._gpu_ids = None if count_gpus and not gpus else list(self.selection.indices)
        self._output, self._errors = _Output(), SwallowedErrors()
        with self._errors:  # CodeCarbon writes lines while it is imported, too
            self._tracker = self._set_up()
        self.methods: dict[Component, Method] = energy_methods(self._tracker._hardware)
        if self._gpu_ids == []:  # CodeCarbon's cache of the hardware reads an empty list as "all"
            self.methods["gpu"] = "none"
        self.versions = _versions(self.methods["gpu"])
        self._watch = CounterWatch(self._tracker)

    @property
    def problems(self) -> tuple[str, ...]:
        """What was charged for want of a better figure, and counters that were reset or could not be read."""
        return (*self.selection.problems, *self._watch.problems)

    @property
    def shortfall(self) -> str | None:
        """Which counter CodeCarbon takes for 0 although it cannot read it."""
        return self._watch.shortfall

    def _set_up(self) -> Any:
        import codecarbon
        import codecarbon.core.emissions  # otherwise imported inside the measuring window

        _ensure_home()
        tracker: Any = codecarbon.OfflineEmissionsTracker(**tracker_settings(self._output, self._gpu_ids))
        if not hasattr(tracker, "run_id"):
            raise self._failed("could not be set up")
        try:
            tracker.get_detected_hardware()
        except Exception as error:
            raise MeasurementError(f"CodeCarbon cannot read this machine's hardware ({error})") from error
        found = {i for item in tracker._hardware if type(item).__name__ == "GPU" for i in item.gpu_ids}
        missing = sorted(set(self._gpu_ids or ()) - found)
        if missing:
            raise MeasurementError(
                f"CodeCarbon does not find the GPU with NVML index {missing[0]}; it finds {found or 'none'}"
                " (it searches only where nvidia-smi is on the PATH)"
            )
        tracker._scheduler_monitor_power = PowerSampler(tracker._hardware)
        return tracker

    def start(self) -> MeterReading:
        """Open the measuring window.

        :raises MeasurementError: CodeCarbon swallowed an exception.
        """
        return self._read("could not start", self._tracker.start, self._tracker.flush)

    def sample(self) -> MeterReading:
        """Return the totals so far; waits up to 50 ms where CodeCarbon would repeat its last figure.

        :raises MeasurementError: CodeCarbon swallowed an exception or gave no new record.
        """
        self._wait_until_fresh()
        return self._read("could not measure", self._tracker.flush)

    def stop(self) -> MeterReading:
        """Measure once more and close the window.

        :raises MeasurementError: CodeCarbon swallowed an exception or gave no final figure.
        """
        self._wait_until_fresh()
        return self._read("gave no final figure", self._tracker.stop)

    def _wait_until_fresh(self) -> None:
        time.sleep(max(0.0, _FRESH_S - (time.perf_counter() - self._tracker._last_measured_time)))

    def _read(self, failure: str, *calls: Callable[[], object]) -> MeterReading:
        before = self._output.latest
        with self._errors:
            for call in calls:
                call()
        if self._output.latest is before or self._errors.last:
            raise self._failed(failure)
        self._watch.check()
        monotonic_s, total = self._output.latest
        gpu_kwh = 0.0 if self.methods["gpu"] == "none" else total.gpu_energy
        return MeterReading(
            monotonic_s=monotonic_s,
            cpu_energy_kwh=total.cpu_energy,
            gpu_energy_kwh=gpu_kwh,
            ram_energy_kwh=total.ram_energy,
            machine_energy_kwh=(total.cpu_energy, gpu_kwh, total.ram_energy),
        )

    def _failed(self, what: str) -> MeasurementError:
        reason = self._errors.last or "it gave no reason"
        return MeasurementError(f"CodeCarbon {what} ({reason}); the energy of this run is incomplete")


def _versions(gpu_method: str) -> dict[str, str]:
    versions = {"codecarbon": version("codecarbon")}
    if gpu_method == "nvml":
        # comes with CodeCarbon, which has initialised it by now
        driver = import_module("pynvml").nvmlSystemGetDriverVersion()
        versions["nvidia_driver"] = driver.decode() if isinstance(driver, bytes) else str(driver)
    return versions
