"""What the ledger needs of an energy meter: totals since the start, and how each was obtained."""

import math
from dataclasses import dataclass
from typing import Literal, Protocol

from lowtide.errors import MeasurementError

Component = Literal["cpu", "gpu", "ram"]
Method = Literal["rapl", "nvml", "tdp_estimate", "constant", "none", "replayed"]
Scope = Literal["machine", "process_tree", "replayed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterReading:
    """Energy in kWh since the meter's start, before PUE, and the meter's own monotonic clock in seconds.

    The three figures are what the run is charged. ``machine_energy_kwh`` is CPU, selected GPUs and RAM of the whole machine
    over the same time, the upper bound of what can be charged; None where it is not known.

    :raises MeasurementError: a total that is negative or not finite; such a figure must never reach the ledger.
    """

    monotonic_s: float
    cpu_energy_kwh: float
    gpu_energy_kwh: float
    ram_energy_kwh: float
    machine_energy_kwh: tuple[float, float, float] | None = None

    def __post_init__(self) -> None:
        figures = (*zip(("CPU", "GPU", "RAM") * 2, (*self.energy_kwh, *(self.machine_energy_kwh or ())), strict=False),)
        for name, value in figures:
            if not math.isfinite(value) or value < 0:
                raise MeasurementError(f"the energy meter reports {value!r} kWh for the {name}; it is finite and >= 0")

    @property
    def energy_kwh(self) -> tuple[float, float, float]:
        """CPU, GPU and RAM that the run is charged."""
        return self.cpu_energy_kwh, self.gpu_energy_kwh, self.ram_energy_kwh


class EnergyMeter(Protocol):
    """A source of cumulative energy; all methods but the constructor are called by one thread at a time."""

    methods: dict[Component, Method]
    """How each component's energy is obtained."""
    scope: Scope
    """Whose energy it is."""
    versions: dict[str, str]
    """Versions of the software that the figures depend on."""
    gpu_devices: tuple[str, ...]
    """UUIDs of the GPUs whose energy is counted."""

    def start(self) -> MeterReading:
        """Open the measuring window; slow work comes before it, not inside it."""

    def sample(self) -> MeterReading:
        """Return the totals so far.

        :raises MeasurementError: no trustworthy figure this time; the next call may succeed and covers the gap.
        """

    def stop(self) -> MeterReading:
        """Close the window and return the final totals."""

    @property
    def problems(self) -> tuple[str, ...]:
        """What a reader of the figures should know, in sentences: a share that is unknown, a counter that was reset."""

    @property
    def shortfall(self) -> str | None:
        """Why the totals are too low at present; None while they are whole. A counter that comes back may complete them."""
