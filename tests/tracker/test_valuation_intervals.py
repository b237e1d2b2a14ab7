"""Emissions are an integral: closed forms, boundaries and holes."""

import math
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lowtide.records import Phase, Reading, ValuedRow

from tests.support.valuing import value_interval
from tests.tracker.tracker_tools import T0, reading, sampled

HALF_HOURS = 1800.0


def valued(start: datetime, end: datetime, energy: float, readings: list[Reading], pue: float = 1.0) -> list[ValuedRow]:
    split = (energy * 0.5, energy * 0.3, energy * 0.2)
    return value_interval(start, end, split, readings, phase=Phase.TRAIN, attempt=1, monotonic_s=9.0, pue=pue)


def grams_at_constant_power(readings: list[Reading], start: datetime, hours: float, power_kw: float = 2.0) -> float:
    """A ledger of 5-minute rows, as a run writes it."""
    step = timedelta(minutes=5)
    grams = []
    for k in range(round(hours * 12)):
        rows = valued(start + k * step, start + (k + 1) * step, power_kw / 12, readings)
        grams += [row.emissions_gco2eq for row in rows]
    return math.fsum(grams)


def test_a_constant_grid_gives_energy_times_intensity() -> None:
    """6 h at 2 kW and 150 g/kWh are 1,800 g."""
    assert grams_at_constant_power(sampled(T0, 6, HALF_HOURS, lambda h: 150), T0, 6) == pytest.approx(1800, rel=1e-12)


def test_a_ramp_is_integrated_exactly() -> None:
    """The integral of 100 + 20 h over 6 h is 960; times 2 kW."""
    ramp = sampled(T0, 6, HALF_HOURS, lambda h: 100 + 20 * h)
    assert grams_at_constant_power(ramp, T0, 6) == pytest.approx(2 * 960, rel=1e-9)


def test_a_step_inside_a_row_is_split_where_it_is() -> None:
    """A step at 1 h 7 min 13 s, inside a 5-minute row: no smearing."""
    step_s = 4033
    readings = [
        reading(T0, T0 + timedelta(seconds=step_s), 400),
        reading(T0 + timedelta(seconds=step_s), T0 + timedelta(hours=3), 50),
    ]
    expected = 2 * (400 * step_s + 50 * (3 * 3600 - step_s)) / 3600
    assert grams_at_constant_power(readings, T0, 3) == pytest.approx(expected, rel=1e-9)


def test_a_sinusoid_in_half_hours_is_within_a_thousandth_of_its_integral() -> None:
    """Over 7 h the integral of 200 + 100 sin(2 pi h / 24) is 1400 + 100 x 24 / 2pi x (1 - cos(2 pi 7 / 24))."""
    wave = sampled(T0, 7, HALF_HOURS, lambda h: 200 + 100 * math.sin(2 * math.pi * h / 24))
    exact = 2 * (1400 + 100 * 24 / (2 * math.pi) * (1 - math.cos(2 * math.pi * 7 / 24)))
    assert grams_at_constant_power(wave, T0, 7) == pytest.approx(exact, rel=1e-3)


@pytest.mark.parametrize(("day", "hours"), [((2025, 3, 30), 23), ((2025, 10, 26), 25), ((2024, 2, 29), 24)])
def test_days_of_23_and_25_hours_and_leap_days_have_all_their_hours(day: tuple[int, int, int], hours: int) -> None:
    """A London day, given in local time: twice one o'clock in October, no one o'clock in March."""
    london = ZoneInfo("Europe/London")
    start = datetime(*day, tzinfo=london)
    end = start + timedelta(days=1)
    readings = sampled(start.astimezone(UTC), hours, 3600, lambda h: 100 + 10 * h)
    rows = valued(start, end, 2.0 * hours, readings)
    assert len(rows) == hours
    assert {row.end - row.start for row in rows} == {timedelta(hours=1)}
    assert math.fsum(row.emissions_gco2eq for row in rows) == pytest.approx(2 * (100 * hours + 5 * hours**2), rel=1e-9)


@given(
    start_s=st.floats(0, 7000),
    length_s=st.floats(0.001, 20000),
    energies=st.tuples(*[st.floats(0, 10)] * 3),
    step_s=st.sampled_from([300.0, 900.0, 1800.0]),
    pue=st.floats(1, 3),
)
def test_split_rows_are_contiguous_and_keep_the_energy(
    start_s: float, length_s: float, energies: tuple[float, float, float], step_s: float, pue: float
) -> None:
    """Whatever the interval: no time and no energy is added or lost, and each row's emissions are E x PUE x I."""
    start = T0 + timedelta(seconds=start_s)
    end = start + timedelta(seconds=length_s)
    readings = sampled(T0, 8, step_s, lambda h: 100 + 10 * h)
    rows = value_interval(start, end, energies, readings, phase=Phase.TRAIN, attempt=1, monotonic_s=1.0, pue=pue)
    assert (rows[0].start, rows[-1].end) == (start, end)
    assert all(a.end == b.start and a.start < a.end for a, b in pairwise(rows))
    for k, name in enumerate(("cpu_energy_kwh", "gpu_energy_kwh", "ram_energy_kwh")):
        assert math.fsum(getattr(row, name) for row in rows) == pytest.approx(energies[k], rel=1e-12, abs=0)
        assert all(getattr(row, name) >= 0 for row in rows)
    for row in rows:
        assert row.emissions_gco2eq == pytest.approx(
            row.energy_kwh * pue * row.carbon_intensity_gco2eq_per_kwh, rel=1e-9
        )


def test_the_later_of_two_overlapping_readings_counts_without_needless_rows() -> None:
    """A forecast first, the measured value after it: the measured one counts, in one piece."""
    old = sampled(T0, 2, 600, lambda h: 300)
    rows = valued(T0, T0 + timedelta(hours=2), 1.0, [*old, reading(T0, T0 + timedelta(hours=1), 100)])
    assert rows[0].carbon_intensity_gco2eq_per_kwh == 100
    assert rows[0].end == T0 + timedelta(hours=1)
    assert {row.carbon_intensity_gco2eq_per_kwh for row in rows[1:]} == {300}
