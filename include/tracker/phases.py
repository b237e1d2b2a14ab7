"""Cuts measured energy at the moments at which the phase changed."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from include.records import Phase
from include.tracker.intervals import MeasuredInterval
from include.tracker.meter import MeterReading


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
    used = [late - early for early, late in zip(before.reading.energy_kwh, after.reading.energy_kwh, strict=True)]
    left, intervals = list(used), []
    for k, cut_phase in enumerate(phases):
        share = (moments[k + 1] - moments[k]) / (after.moment - before.moment)
        cpu, gpu, ram = left if k == len(inside) else [total * share for total in used]
        left = [max(0.0, rest - part) for rest, part in zip(left, (cpu, gpu, ram), strict=True)]
        intervals.append(
            MeasuredInterval(
                start=moments[k],
                end=moments[k + 1],
                phase=cut_phase,
                energy=(cpu, gpu, ram),
                monotonic_start_s=seconds[k],
                monotonic_end_s=seconds[k + 1],
            )
        )
    return intervals


def _phase_at(moment: datetime, phase: Phase, marks: Sequence[Mark]) -> Phase:
    due = [mark.phase for mark in marks if mark.moment <= moment]
    return due[-1] if due else phase


def _meter_second(before: Edge, after: Edge, moment: datetime) -> float:
    share = (moment - before.moment) / (after.moment - before.moment)
    return before.reading.monotonic_s + share * (after.reading.monotonic_s - before.reading.monotonic_s)
