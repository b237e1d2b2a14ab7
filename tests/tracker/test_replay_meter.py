"""The meter that tests and replays go by, and what no reading may hold."""

import math

import pytest
from lowtide.errors import MeasurementError
from lowtide.tracker.meter import MeterReading
from lowtide.units import JOULES_PER_KWH

from tests.support.replay_meter import ReplayMeter


def test_the_replay_meter_integrates_a_given_power() -> None:
    """sin^2 over ten periods of 1 s is 5 J per watt; read at uneven times."""
    now_s = 100.0
    meter = ReplayMeter(lambda s: (200 * math.sin(math.pi * s) ** 2, 10 * s, 5.0), clock=lambda: now_s)
    with pytest.raises(MeasurementError, match="before its start"):
        meter.sample()
    meter.start()
    for time_s in (100.7, 101.9, 103.0, 106.5, 108.1, 110.0):
        now_s = time_s
        total = meter.sample()
    assert total.cpu_energy_kwh * JOULES_PER_KWH == pytest.approx(1000, rel=1e-3)
    assert total.gpu_energy_kwh * JOULES_PER_KWH == pytest.approx(500)
    assert total.ram_energy_kwh * JOULES_PER_KWH == pytest.approx(50)
    assert set(meter.methods.values()) == {"replayed"}


@pytest.mark.parametrize("bad", [-1e-9, math.nan, math.inf])
def test_an_impossible_total_is_no_reading(bad: float) -> None:
    """NaN compares false with everything and would pass every later check."""
    with pytest.raises(MeasurementError, match="GPU"):
        MeterReading(monotonic_s=0.0, cpu_energy_kwh=0.0, gpu_energy_kwh=bad, ram_energy_kwh=0.0)
