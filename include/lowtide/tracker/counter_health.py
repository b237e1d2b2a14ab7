"""Checks the counters that CodeCarbon could not read: it counts 0 there and reports nothing."""

import time
from collections.abc import Callable, Iterator
from typing import Any

from lowtide.units import JOULES_PER_KWH

_STUCK_S = 2.0
"""A GPU or a processor draws power whenever it can be read: a counter that does not move for so long is broken."""

_MOST_W = 1000.0
"""More than a processor package draws: RAPL's counter begins at 0 again after 65 kJ or 262 kJ, and CodeCarbon sees one of that."""


class CounterWatch:
    """Checks the counters and totals of a CodeCarbon tracker after each of its measurements.

    ``shortfall`` says why the totals are too low at present: a counter that comes back unharmed covers what was missed
    (a GPU's does), one that was begun anew meanwhile does not (RAPL's always is).
    """

    def __init__(self, tracker: Any, clock: Callable[[], float] = time.monotonic) -> None:
        self._watches = [*_watches(tracker, clock)]
        self.problems: list[str] = []

    def check(self) -> None:
        """Take the last measurement into account."""
        for watch in self._watches:
            problem = watch.check()
            if problem is not None and problem not in self.problems:
                self.problems.append(problem)

    @property
    def shortfall(self) -> str | None:
        """The first counter's that is amiss; None while all are well."""
        return next((watch.shortfall for watch in self._watches if watch.shortfall), None)


class _Still:
    """Notices a total that no longer grows."""

    def __init__(self, what: str, clock: Callable[[], float]) -> None:
        self._what, self._clock = what, clock
        self._last: float | None = None
        self._since_s = clock()

    def check(self, total: float) -> str | None:
        """Return what is wrong, or None."""
        if total != self._last:
            self._last, self._since_s = total, self._clock()
        return f"{self._what} does not move" if self._clock() - self._since_s >= _STUCK_S else None


class _GpuWatch:
    def __init__(self, device: Any, clock: Callable[[], float]) -> None:
        self._device, self._name = device, f"GPU {device.gpu_index}"
        self._still = _Still(f"the energy counter of {self._name}", clock)
        self._counted_kwh = _kwh(device)
        self._is_blind = self._lost = False
        self.shortfall: str | None = None

    def check(self) -> str | None:
        device, counted_kwh, averaged = self._device, _kwh(self._device), self._device._use_power_fallback
        was_reset = counted_kwh is not None and counted_kwh < (self._counted_kwh or 0.0)
        self._counted_kwh = self._counted_kwh if counted_kwh is None else counted_kwh
        blind = self._is_blind or (averaged and (device._warned_power_failure or device._warned_zero_power))
        self._lost = self._lost or (blind and (was_reset or not device._has_counter))
        self._is_blind = blind and averaged  # else the counter is back and covers the time without it
        reason = None if averaged else self._still.check(self._counted_kwh or 0.0)
        if self._lost:
            reason = (
                reason or f"{self._name} could not be read for a time, and its energy counter does not cover that time"
            )
        elif self._is_blind:
            reason = f"{self._name} can be read neither by its energy counter nor by its power"
        self.shortfall = f"{reason}; the GPU's energy is too low" if reason else None
        if was_reset:
            return f"{self._name}: its energy counter began anew; the energy around it follows from its power"
        if averaged and not self.shortfall:
            return f"{self._name}: its energy counter cannot be read; its energy follows from its power, once a second"
        return self.shortfall


class _RaplWatch:
    def __init__(self, cpu: Any, clock: Callable[[], float]) -> None:
        self._cpu, self._clock = cpu, clock
        self._checked_s: float | None = None
        self.shortfall: str | None = None

    def check(self) -> str | None:
        rapl = self._cpu._intel_interface
        before_s, self._checked_s = self._checked_s, self._clock()
        unseen_s = 0.0 if before_s is None else self._checked_s - before_s
        skipped = [file.path for file in rapl._rapl_files if file.sample_skipped]
        if any(
            0 < float(file.max_energy_reading.kWh) * JOULES_PER_KWH < _MOST_W * unseen_s for file in rapl._rapl_files
        ):
            self.shortfall = (
                f"the processor's RAPL counter was not read for {unseen_s:.0f} s, in which it may have begun at 0 more than"
                " once; the CPU's energy is too low (a shorter tracker.interval helps, unless the process was stopped)"
            )
        elif skipped or not rapl._cpu_details:
            where = skipped[0] if skipped else rapl._lin_rapl_dir
            self.shortfall = (
                f"the processor's RAPL counter {where} could not be read for a time; the CPU's energy is too low"
            )
        return self.shortfall


class _TotalWatch:
    """Whatever the reason: a total that no longer grows is none."""

    def __init__(self, tracker: Any, component: str, clock: Callable[[], float]) -> None:
        self._tracker, self._component = tracker, component
        self._still = _Still(f"CodeCarbon's total of the {component.upper()}'s energy", clock)
        self.shortfall: str | None = None

    def check(self) -> str | None:
        reason = self._still.check(float(getattr(self._tracker, f"_total_{self._component}_energy").kWh))
        self.shortfall = f"{reason}; it is too low" if reason else None
        return self.shortfall


def _watches(tracker: Any, clock: Callable[[], float]) -> Iterator[_GpuWatch | _RaplWatch | _TotalWatch]:
    for item in tracker._hardware:
        kind = type(item).__name__
        if kind == "GPU":
            chosen = [device for device in item.devices.devices if device.gpu_index in (item.gpu_ids or ())]
            yield from (_GpuWatch(device, clock) for device in chosen if hasattr(device, "_use_power_fallback"))
        elif kind in ("CPU", "RAM"):
            yield _TotalWatch(tracker, kind.lower(), clock)
            if getattr(item, "_mode", None) == "intel_rapl":
                yield _RaplWatch(item, clock)


def _kwh(device: Any) -> float | None:
    return None if device.last_energy is None else float(device.last_energy.kWh)
