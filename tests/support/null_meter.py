"""A meter that counts nothing: what recording itself costs, and ledgers in tests whose energy is beside the point."""

import time
from collections.abc import Callable

from lowtide.tracker.meter import Component, MeterReading, Method, Scope


class NullMeter:
    """Always 0 kWh, obtained by ``none``; a run measured with it has no record, since no run uses nothing."""

    scope: Scope = "machine"

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.methods: dict[Component, Method] = {"cpu": "none", "gpu": "none", "ram": "none"}
        self.versions: dict[str, str] = {}
        self.gpu_devices: tuple[str, ...] = ()
        self.problems: tuple[str, ...] = ()
        self.shortfall: str | None = None

    def start(self) -> MeterReading:
        """Return 0 kWh, at the clock's second."""
        return self.sample()

    def sample(self) -> MeterReading:
        """Return 0 kWh, at the clock's second."""
        return MeterReading(monotonic_s=self._clock(), cpu_energy_kwh=0.0, gpu_energy_kwh=0.0, ram_energy_kwh=0.0)

    def stop(self) -> MeterReading:
        """Return 0 kWh, at the clock's second."""
        return self.sample()
