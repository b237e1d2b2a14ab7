"""Energy between two looks between which the machine was suspended: it was used while the machine was awake."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from include.records import Phase
from include.tracker.recording.intervals import MeasuredInterval
from include.tracker.recording.phases import Edge, Mark, cut_at_marks


def cut_awake(
    before: Edge, after: Edge, asleep: timedelta, phase: Phase, marks: Sequence[Mark]
) -> list[MeasuredInterval]:
    """Split the energy between two edges at the marks; the time asleep follows, with no energy.

    When in an interval the machine fell asleep is not known. It is booked at the grid of before, not spread over a night's
    hours in which nothing was used; the doubt is the length of one row.
    """
    if asleep <= timedelta(0):
        return cut_at_marks(before, after, phase, marks)
    awake_until = max(before.moment + timedelta(microseconds=1), after.moment - asleep)
    awake = cut_at_marks(before, Edge(awake_until, after.reading), phase, marks)
    return [*awake, _nothing(awake[-1], after.moment)] if awake_until < after.moment else awake


def _nothing(last: MeasuredInterval, end: datetime) -> MeasuredInterval:
    none = (0.0, 0.0, 0.0)
    return MeasuredInterval(
        start=last.end,
        end=end,
        phase=last.phase,
        energy=none,
        monotonic_start_s=last.monotonic_end_s,
        monotonic_end_s=last.monotonic_end_s,
        machine_energy=None if last.machine_energy is None else none,
    )
