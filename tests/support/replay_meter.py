"""A meter without hardware: integrates a given power. For tests and dry runs; its figures say ``replayed``."""

import time
from collections.abc import Callable
from typing import NamedTuple

from lowtide.errors import MeasurementError
from lowtide.tracker.meter import Component, MeterReading, Method, Scope
from lowtide.units import JOULES_PER_KWH

_SIMPSON_STEPS = 16


class PowerW(NamedTuple):
    """Power in watts per component."""

    cpu: float = 0.0
    gpu: float = 0.0
    ram: float = 0.0


class ReplayMeter:
    """Integrates ``power_w``, constant or a function of the seconds since the start, by Simpson's rule."""

    methods: dict[Component, Method]
    scope: Scope = "replayed"

    def __init__(
        self,
        power_w: PowerW | tuple[float, float, float] | Callable[[float], tuple[float, float, float]] = (
            30.0,
            0.0,
            10.0,
        ),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._power_w = power_w if callable(power_w) else lambda _elapsed_s, constant=power_w: constant
        self._clock = clock
        self._started_s: float | None = None
        self._elapsed_s = 0.0
        self._joules = [0.0, 0.0, 0.0]
        self.methods = {"cpu": "replayed", "gpu": "replayed", "ram": "replayed"}
        self.versions: dict[str, str] = {}
        self.gpu_devices: tuple[str, ...] = ()
        self.problems: tuple[str, ...] = ()
        self.shortfall: str | None = None

    def start(self) -> MeterReading:
        """Begin at zero."""
        self._started_s = self._clock()
        return self._reading(self._started_s)

    def sample(self) -> MeterReading:
        """Integrate up to now.

        :raises MeasurementError: not started.
        """
        if self._started_s is None:
            raise MeasurementError("the replay meter was read before its start")
        now_s = self._clock()
        self._integrate(now_s - self._started_s)
        return self._reading(now_s)

    def stop(self) -> MeterReading:
        """Integrate up to now, for the last time."""
        return self.sample()

    def _integrate(self, until_s: float) -> None:
        step_s = (until_s - self._elapsed_s) / _SIMPSON_STEPS
        for k in range(_SIMPSON_STEPS + 1):
            weight = 1 if k in (0, _SIMPSON_STEPS) else 4 if k % 2 else 2
            for component, watts in enumerate(self._power_w(self._elapsed_s + k * step_s)):
                self._joules[component] += watts * weight * step_s / 3
        self._elapsed_s = until_s

    def _reading(self, monotonic_s: float) -> MeterReading:
        cpu, gpu, ram = (joules / JOULES_PER_KWH for joules in self._joules)
        return MeterReading(monotonic_s=monotonic_s, cpu_energy_kwh=cpu, gpu_energy_kwh=gpu, ram_energy_kwh=ram)
