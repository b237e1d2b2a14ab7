"""A whole day's ledger, from the meter to the file and back, against the integral of power times intensity."""

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from lowtide.records import LedgerRow, Phase, Reading, read_intensity
from lowtide.tracker.emissions import value_rows
from lowtide.tracker.ledger import IntensityLog, LedgerWriter, read_ledger

from tests.support.replay_meter import ReplayMeter
from tests.tracker.tracker_tools import T0, reading

ROW_S = 60.0
SLOT_S = 1800.0
W = 2 * math.pi / 24


def ledger_grams(
    path: Path, start: datetime, hours: float, power_kw: Callable[[float], float], grid: list[Reading], pue: float = 1.0
) -> float:
    """A meter that integrates the power, a row a minute, split at the grid's half-hours, written, read back and added up."""
    clock = [0.0]
    meter = ReplayMeter(lambda s: (0.0, 1000 * power_kw(s / 3600), 0.0), clock=lambda: clock[0])
    before = meter.start()
    written: list[LedgerRow] = []
    with LedgerWriter(path) as ledger:
        for k in range(round(hours * 3600 / ROW_S)):
            clock[0] = (k + 1) * ROW_S
            after = meter.sample()
            begin = start + timedelta(seconds=k * ROW_S)
            row = LedgerRow(
                start=begin,
                end=begin + timedelta(seconds=ROW_S),
                phase=Phase.TRAIN,
                attempt=1,
                monotonic_s=after.monotonic_s,
                cpu_energy_kwh=0.0,
                gpu_energy_kwh=after.gpu_energy_kwh - before.gpu_energy_kwh,
                ram_energy_kwh=0.0,
            )
            written.append(row)
            before = after
        ledger.append(written)  # at once: each append waits for the disk
    contents = read_ledger(path)
    assert contents.problems == ()
    IntensityLog(path.parent / f"{path.name}-grid").append(grid, T0)
    entries, _ = read_intensity(path.parent / f"{path.name}-grid")
    valuation = value_rows(contents.rows, entries, pue=pue)
    assert valuation.unvalued == ()
    assert valuation.energy_kwh == pytest.approx(before.gpu_energy_kwh, rel=1e-9), "rows sum to the meter's total"
    return valuation.emissions_gco2eq


def slots(
    start: datetime, hours: float, mean: Callable[[float, float], float], offset_s: float = 700.0
) -> list[Reading]:
    """Half-hours with the exact mean of the intensity in each, not aligned with the run's rows."""
    begin = start - timedelta(seconds=offset_s)
    found = []
    for k in range(math.ceil((hours * 3600 + offset_s) / SLOT_S)):
        a_h, b_h = ((k + i) * SLOT_S / 3600 - offset_s / 3600 for i in (0, 1))
        found.append(
            reading(begin + k * timedelta(seconds=SLOT_S), begin + (k + 1) * timedelta(seconds=SLOT_S), mean(a_h, b_h))
        )
    return found


def ramp_mean(a_h: float, b_h: float) -> float:
    return 100 + 12 * (a_h + b_h) / 2


def wave_mean(a_h: float, b_h: float) -> float:
    return 250 + 150 * (math.cos(W * a_h) - math.cos(W * b_h)) / (W * (b_h - a_h))


def polynomial(p: tuple[float, float], i: tuple[float, float], t: float) -> float:
    """The integral of (p0 + p1 h)(i0 + i1 h) over t hours."""
    return p[0] * i[0] * t + (p[0] * i[1] + p[1] * i[0]) * t**2 / 2 + p[1] * i[1] * t**3 / 3


def waves(p: tuple[float, float], i: tuple[float, float], t: float) -> float:
    """The integral of (p0 + p1 sin wh)(i0 + i1 sin wh) over t hours."""
    single = (1 - math.cos(W * t)) / W
    double = t / 2 - math.sin(2 * W * t) / (4 * W)
    return p[0] * i[0] * t + (p[0] * i[1] + p[1] * i[0]) * single + p[1] * i[1] * double


CASES = {
    "constant x constant": (lambda h: 2.0, lambda a, b: 300.0, lambda t: 600 * t),
    "constant x ramp": (lambda h: 2.0, ramp_mean, lambda t: polynomial((2, 0), (100, 12), t)),
    "ramp x ramp": (lambda h: 1 + 0.3 * h, ramp_mean, lambda t: polynomial((1, 0.3), (100, 12), t)),
    "constant x sinusoid": (lambda h: 2.0, wave_mean, lambda t: waves((2, 0), (250, 150), t)),
    "sinusoid x sinusoid": (lambda h: 2 + math.sin(W * h), wave_mean, lambda t: waves((2, 1), (250, 150), t)),
}


@pytest.mark.parametrize("case", CASES)
def test_a_days_emissions_are_the_integral_of_power_times_intensity(tmp_path: Path, case: str) -> None:
    power, mean, exact = CASES[case]
    for hours in (24.0, 5.5):
        grams = ledger_grams(tmp_path / f"{hours}", T0, hours, power, slots(T0, hours, mean))
        assert grams == pytest.approx(exact(hours), rel=1e-3)


def test_a_step_of_both_is_valued_where_it_is(tmp_path: Path) -> None:
    """Power doubles at 2 h; the grid falls from 400 to 50 g/kWh at 3 h 17 min 20 s, inside a row."""
    step_s = 3 * 3600 + 17 * 60 + 20
    grid = [
        reading(T0 - timedelta(hours=1), T0 + timedelta(seconds=step_s), 400),
        reading(T0 + timedelta(seconds=step_s), T0 + timedelta(hours=9), 50),
    ]
    grams = ledger_grams(tmp_path / "l", T0, 6, lambda h: 1.0 if h < 2 else 2.0, grid)
    exact = 1 * 2 * 400 + 2 * (step_s / 3600 - 2) * 400 + 2 * (6 - step_s / 3600) * 50
    assert grams == pytest.approx(exact, rel=1e-3)


@pytest.mark.parametrize(
    ("day", "hours"),
    [((2025, 3, 30), 23), ((2025, 10, 26), 25), ((2024, 2, 28), 24), ((2024, 2, 29), 24), ((2024, 12, 31), 24)],
    ids=["spring forward", "fall back", "into a leap day", "leap day", "year's end"],
)
def test_a_local_day_has_as_many_hours_as_it_has(tmp_path: Path, day: tuple[int, int, int], hours: int) -> None:
    """From local midnight on, in London: 23 or 25 hours, with the PUE in it once."""
    london = ZoneInfo("Europe/London")
    local = datetime(*day, tzinfo=london)
    begin = local.astimezone(UTC)
    assert ((local + timedelta(days=1)).astimezone(UTC) - begin) == timedelta(hours=hours)
    grams = ledger_grams(tmp_path / "l", begin, hours, lambda h: 2.0, slots(begin, hours, wave_mean), pue=1.3)
    assert grams == pytest.approx(1.3 * waves((2, 0), (250, 150), hours), rel=1e-3)
