"""Charges a run with its share of a machine's energy; the machine's total stays beside it as the upper bound."""

from dataclasses import replace

from include.errors import MeasurementError
from include.tracker.meters.meter import Component, EnergyMeter, MeterReading, Method, Scope
from include.tracker.meters.process_tree import Usage, UsageSource


class AttributedMeter:
    """CPU energy by the share of CPU time, RAM energy by the share of memory in use, GPU energy of the selected devices.

    All of the machine's energy, idling included, is shared among those that use it at the time: runs side by side are
    together charged no more than the machine used. Where a share cannot be read, the whole is charged until it can be.
    """

    scope: Scope = "process_tree"

    def __init__(self, meter: EnergyMeter, source: UsageSource) -> None:
        self._meter, self._source = meter, source
        self._usage: Usage | None = None
        self._machine = (0.0, 0.0, 0.0)
        self._charged = (0.0, 0.0, 0.0)
        self._cpu_share = self._ram_share = 1.0
        self._problems: list[str] = []

    def start(self) -> MeterReading:
        """Open the window; what the opening itself used is charged whole, since no share of it is known."""
        reading = self._meter.start()
        self._usage = self._look()
        self._ram_share = 1.0 if self._usage is None else _memory_share(self._usage)
        return self._charge(reading, 1.0, self._ram_share)

    def sample(self) -> MeterReading:
        """Charge the interval since the last reading.

        :raises MeasurementError: the machine's meter gave no figure.
        """
        return self._share(self._meter.sample())

    def stop(self) -> MeterReading:
        """Charge the last interval."""
        return self._share(self._meter.stop())

    @property
    def methods(self) -> dict[Component, Method]:
        """As the machine's meter has them."""
        return self._meter.methods

    @property
    def versions(self) -> dict[str, str]:
        """As the machine's meter has them."""
        return self._meter.versions

    @property
    def gpu_devices(self) -> tuple[str, ...]:
        """As the machine's meter has them."""
        return self._meter.gpu_devices

    @property
    def problems(self) -> tuple[str, ...]:
        """The machine's meter's, and where a share was not to be had."""
        return (*self._meter.problems, *self._problems)

    @property
    def shortfall(self) -> str | None:
        """As the machine's meter has it: an unknown share only ever charges too much."""
        return self._meter.shortfall

    def _share(self, reading: MeterReading) -> MeterReading:
        before, now = self._usage, self._look()
        self._usage = now or before
        if before is None or now is None:
            return self._charge(reading, 1.0, 1.0)  # the last share might be that of an idle start
        busy_s = now.machine_cpu_s - before.machine_cpu_s
        if busy_s > 0:  # else the clock of the CPU times has not ticked yet
            self._cpu_share = min(1.0, max(0.0, now.tree_cpu_s - before.tree_cpu_s) / busy_s)
        self._ram_share = (_memory_share(before) + _memory_share(now)) / 2
        return self._charge(reading, self._cpu_share, self._ram_share)

    def _charge(self, reading: MeterReading, cpu_share: float, ram_share: float) -> MeterReading:
        shares = (cpu_share, 1.0, ram_share)
        used = [now - before for now, before in zip(reading.energy_kwh, self._machine, strict=True)]
        cpu, gpu, ram = (total + part * share for total, part, share in zip(self._charged, used, shares, strict=True))
        charged = replace(
            reading, cpu_energy_kwh=cpu, gpu_energy_kwh=gpu, ram_energy_kwh=ram, machine_energy_kwh=reading.energy_kwh
        )
        self._machine, self._charged = reading.energy_kwh, charged.energy_kwh
        return charged

    def _look(self) -> Usage | None:
        try:
            return self._source.usage()
        except MeasurementError as error:
            if not self._problems:
                self._problems.append(
                    f"the run's share of CPU time and memory is not known for a part of it: {error};"
                    " all that the machine used was charged for it"
                )
            return None


def _memory_share(usage: Usage) -> float:
    if usage.machine_memory_bytes <= 0:
        return 1.0
    return min(1.0, usage.tree_memory_bytes / usage.machine_memory_bytes)
