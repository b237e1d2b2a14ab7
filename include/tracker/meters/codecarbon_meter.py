"""CodeCarbon behind one adapter: energy only, offline, no race, no exception swallowed."""

import os
import time
from importlib import import_module
from importlib.metadata import version
from typing import Any

from include.errors import MeasurementError
from include.tracker.meters.codecarbon_quirks import SwallowedErrors, energy_methods, tracker_settings
from include.tracker.meters.codecarbon_sampler import PowerSampler
from include.tracker.meters.codecarbon_watch import CounterWatch
from include.tracker.meters.gpu_selection import GpuSelection, gpus_of_this_machine, select_gpus
from include.tracker.meters.meter import Component, MeterReading, Method, Scope

_FRESH_S = 0.05
"""CodeCarbon skips a measurement this soon after the last and would report the old totals at a new time."""


class _Output:
    """CodeCarbon's output handler: keeps the latest totals, each with the moment at which they were complete."""

    def __init__(self) -> None:
        self.count = 0
        self.monotonic_s = 0.0
        self.total: Any = None

    def out(self, total: Any, delta: Any) -> None:  # noqa: ARG002 CodeCarbon's signature
        self.monotonic_s, self.total = time.monotonic(), total
        self.count += 1

    def exit(self) -> None:
        """Nothing to close; CodeCarbon calls it."""


class CodeCarbonMeter:
    """The whole machine's energy from CodeCarbon; the constructor takes 1 to 2 s the first time, ``start`` none.

    :param gpu_ids: NVML indices to count; None = those that a training in this environment can use; empty = no GPU.
    :raises MeasurementError: CodeCarbon cannot be set up, or does not find a GPU that was asked for.
    """

    scope: Scope = "machine"

    def __init__(self, gpu_ids: list[int] | None = None) -> None:
        self.selection, self._gpu_ids = _chosen(gpu_ids)
        self._output = _Output()
        self._errors = SwallowedErrors()
        self._errors.install()
        try:
            self._tracker = self._set_up()
        except MeasurementError:
            self._errors.remove()
            raise
        self.methods: dict[Component, Method] = energy_methods(self._tracker._hardware)
        if self._gpu_ids == []:  # CodeCarbon's cache of the hardware reads an empty list as "all"
            self.methods["gpu"] = "none"
        self.versions = _versions(self.methods["gpu"])
        self._watch = CounterWatch(self._tracker)

    @property
    def gpu_devices(self) -> tuple[str, ...]:
        """UUIDs of the GPUs whose energy is counted."""
        return self.selection.uuids

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

        self._errors.expect()
        tracker: Any = codecarbon.OfflineEmissionsTracker(**tracker_settings(self._output, self._gpu_ids))
        if not hasattr(tracker, "run_id"):
            raise self._failed("could not be set up")
        try:
            tracker.get_detected_hardware()
        except Exception as error:
            raise MeasurementError(f"CodeCarbon cannot read this machine's hardware ({error})") from error
        self._check_gpus(tracker)
        tracker._scheduler_monitor_power = PowerSampler(tracker._hardware)
        return tracker

    def _check_gpus(self, tracker: Any) -> None:
        found = {i for item in tracker._hardware if type(item).__name__ == "GPU" for i in item.gpu_ids}
        missing = sorted(set(self._gpu_ids or ()) - found)
        if missing:
            raise MeasurementError(
                f"CodeCarbon does not find the GPU with NVML index {missing[0]}; it finds {found or 'none'}"
                " (it looks only where nvidia-smi is on the PATH)"
            )

    def start(self) -> MeterReading:
        """Open the measuring window.

        :raises MeasurementError: CodeCarbon swallowed an exception.
        """
        self._errors.expect()
        self._tracker.start()
        return self._flush("start")

    def sample(self) -> MeterReading:
        """Return the totals so far; waits up to 50 ms where CodeCarbon would repeat its last figure.

        :raises MeasurementError: CodeCarbon swallowed an exception or gave no new record.
        """
        self._wait_until_fresh()
        self._errors.expect()
        return self._flush("measure")

    def stop(self) -> MeterReading:
        """Measure once more and close the window.

        :raises MeasurementError: CodeCarbon swallowed an exception or gave no final figure.
        """
        self._wait_until_fresh()
        self._errors.expect()
        before = self._output.count
        try:
            if self._tracker.stop() is None or self._output.count == before or self._errors.last:
                raise self._failed("gave no final figure")
        finally:
            self._errors.remove()
        self._watch.look()
        return self._reading()

    def _flush(self, verb: str) -> MeterReading:
        before = self._output.count
        self._tracker.flush()
        if self._output.count == before or self._errors.last:
            raise self._failed(f"could not {verb}")
        self._watch.look()
        return self._reading()

    def _wait_until_fresh(self) -> None:
        time.sleep(max(0.0, _FRESH_S - (time.perf_counter() - self._tracker._last_measured_time)))

    def _failed(self, what: str) -> MeasurementError:
        reason = self._errors.last or "it gave no reason"
        return MeasurementError(f"CodeCarbon {what} ({reason}); the energy of this run is incomplete")

    def _reading(self) -> MeterReading:
        total = self._output.total
        gpu_kwh = 0.0 if self.methods["gpu"] == "none" else total.gpu_energy
        return MeterReading(
            monotonic_s=self._output.monotonic_s,
            cpu_energy_kwh=total.cpu_energy,
            gpu_energy_kwh=gpu_kwh,
            ram_energy_kwh=total.ram_energy,
            machine_energy_kwh=(total.cpu_energy, gpu_kwh, total.ram_energy),
        )


def _chosen(gpu_ids: list[int] | None) -> tuple[GpuSelection, list[int] | None]:
    """Return the GPUs to count, and what CodeCarbon is told; None = all that it finds, which are not NVIDIA's."""
    gpus = gpus_of_this_machine()
    if gpu_ids is None and not gpus:
        return GpuSelection(), None
    if gpu_ids is None:
        selection = select_gpus(os.environ, gpus)
        return selection, list(selection.indices)
    uuids = tuple(gpus[index].uuid for index in gpu_ids if index < len(gpus))
    return GpuSelection(indices=tuple(gpu_ids), uuids=uuids), gpu_ids


def _versions(gpu_method: str) -> dict[str, str]:
    versions = {"codecarbon": version("codecarbon")}
    if gpu_method == "nvml":
        # comes with CodeCarbon, which has initialised it by now
        driver = import_module("pynvml").nvmlSystemGetDriverVersion()
        versions["nvidia_driver"] = driver.decode() if isinstance(driver, bytes) else str(driver)
    return versions
