"""A recorder over a replay meter, and what must hold of its rows; shared by the recorder's tests."""

import math
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest
from lowtide.records import Reading, ValuedRow
from lowtide.timeutil import utc_now
from lowtide.tracker.ledger import LedgerWriter
from lowtide.tracker.meter import MeterReading
from lowtide.tracker.recorder import EnergyRecorder

from tests.support.replay_meter import PowerW, ReplayMeter
from tests.tracker.tracker_tools import constant

CONSTANT_W = PowerW(cpu=36.0, gpu=300.0, ram=24.0)


class LastReading(ReplayMeter):
    """A replay meter whose last totals can be looked at afterwards."""

    last: MeterReading

    def sample(self) -> MeterReading:
        self.last = super().sample()
        return self.last


def recorder(
    meter: ReplayMeter,
    path: Path,
    readings_for: Callable[[datetime, datetime], Sequence[Reading]] = constant,
    now: Callable[[], datetime] = utc_now,
    interval_s: float = 0.05,
    attempt: int = 1,
    speed: float = 1.0,
) -> EnergyRecorder:
    return EnergyRecorder(
        meter, LedgerWriter(path), readings_for, now=now, interval_s=interval_s, pue=1.5, attempt=attempt, speed=speed
    )


def assert_complete(rows: Sequence[ValuedRow], meter: LastReading) -> None:
    """Contiguous rows that sum to the meter's total."""
    assert all(a.end == b.start for a, b in pairwise(rows))
    assert all(r.start < r.end for r in rows)
    assert math.fsum(r.energy_kwh for r in rows) == pytest.approx(math.fsum(meter.last.energy_kwh), rel=1e-9)
