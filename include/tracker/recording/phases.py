"""Cuts measured energy at the moments at which the phase changed."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from include.records import Phase
from include.tracker.meters.meter import MeterReading
from include.tracker.recording.booking import Energy
from include.tracker.recording.intervals import MeasuredInterval


class Mark(NamedTuple):
    """From this moment on the phase is another."""

    moment: datetime
    phase: Phase


class Edge(NamedTuple):
    """The meter's totals at a moment of policy time."""

    moment: datetime
    reading: MeterReading


def cut_at_marks(before: Edge, after: Edge, phase: Phase, marks: Sequence[Mark]) -> list[MeasuredInterval]:
    """Split the energy between two edges at the marks, in proportion to time; the last part takes the remainder.

    The sample follows a mark at once, so that the part in which the power is taken as even is short.
    """
    inside = [mark for mark in marks if before.moment < mark.moment < after.moment]
    phases = [_phase_at(before.moment, phase, marks), *(mark.phase for mark in inside)]
    moments = [before.moment, *(mark.moment for mark in inside), after.moment]
    seconds = [_meter_second(before, after, moment) for moment in moments]
    shares = _Shares(before, after)
    intervals = []
    for k, cut_phase in enumerate(phases):
        charged, machine = shares.take(moments[k], None if k == len(inside) else moments[k + 1])
        intervals.append(
            MeasuredInterval(
                start=moments[k],
                end=moments[k + 1],
                phase=cut_phase,
                energy=charged,
                monotonic_start_s=seconds[k],
                monotonic_end_s=seconds[k + 1],
                machine_energy=machine,
            )
        )
    return intervals


class _Shares:
    """Hands out the energy between two edges in proportion to time, and the remainder at the end."""

    def __init__(self, before: Edge, after: Edge) -> None:
        self._lasts = after.moment - before.moment
        self._knows_machine = None not in (before.reading.machine_energy_kwh, after.reading.machine_energy_kwh)
        self._used = [late - early for early, late in zip(totals(before.reading), totals(after.reading), strict=True)]
        self._left = list(self._used)

    def take(self, start: datetime, end: datetime | None) -> tuple[Energy, Energy | None]:
        """Return what the run is charged and what the machine used until ``end``; None = all that is left."""
        if end is None:
            taken = self._left
        else:
            share = (end - start) / self._lasts
            taken = [total * share for total in self._used]
        self._left = [max(0.0, rest - part) for rest, part in zip(self._left, taken, strict=True)]
        cpu, gpu, ram, *machine = taken
        return (cpu, gpu, ram), ((machine[0], machine[1], machine[2]) if self._knows_machine else None)


def totals(reading: MeterReading) -> tuple[float, ...]:
    """Return the six totals of a reading: CPU, GPU and RAM, charged and the machine's; the latter 0 where not known."""
    return (*reading.energy_kwh, *(reading.machine_energy_kwh or (0.0, 0.0, 0.0)))


def _phase_at(moment: datetime, phase: Phase, marks: Sequence[Mark]) -> Phase:
    due = [mark.phase for mark in marks if mark.moment <= moment]
    return due[-1] if due else phase


def _meter_second(before: Edge, after: Edge, moment: datetime) -> float:
    share = (moment - before.moment) / (after.moment - before.moment)
    return before.reading.monotonic_s + share * (after.reading.monotonic_s - before.reading.monotonic_s)
