"""What a run is charged: closed forms with given usage; and never more, together, than the machine used."""

import math
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lowtide.errors import MeasurementError
from lowtide.records import Phase
from lowtide.timeutil import utc_now
from lowtide.tracker.emissions import machine_totals
from lowtide.tracker.ledger import LedgerWriter, read_ledger
from lowtide.tracker.meter import MeterReading
from lowtide.tracker.process_share import AttributedMeter, Usage
from lowtide.tracker.recorder import EnergyRecorder
from lowtide.units import JOULES_PER_KWH

from tests.support.null_meter import NullMeter
from tests.support.replay_meter import PowerW, ReplayMeter
from tests.tracker.tracker_tools import constant, valued_ledger

GIB = 1024**3


class Given:
    """A usage source that tells what it is given."""

    def __init__(self, tree_cpu_s: float = 0.0, machine_cpu_s: float = 0.0, tree_gib: float = 1.0) -> None:
        self.tree_cpu_s, self.machine_cpu_s, self.tree_gib = tree_cpu_s, machine_cpu_s, tree_gib
        self.machine_gib = 4.0
        self.fails = False

    def usage(self) -> Usage:
        if self.fails:
            raise MeasurementError("/proc/stat cannot be read (Permission denied)")
        return Usage(
            tree_cpu_s=self.tree_cpu_s,
            machine_cpu_s=self.machine_cpu_s,
            tree_memory_bytes=self.tree_gib * GIB,
            machine_memory_bytes=self.machine_gib * GIB,
        )


def joules(kwh: float) -> float:
    return kwh * JOULES_PER_KWH


def at(seconds: list[float]) -> Callable[[], float]:
    return lambda: seconds[0]


def test_cpu_follows_cpu_time_ram_follows_memory_and_gpus_are_charged_whole() -> None:
    """100 W CPU, 300 W GPU, 20 W RAM for 10 s: a quarter, then half of the CPU time; a quarter of the memory."""
    now, source = [0.0], Given()
    meter = AttributedMeter(ReplayMeter(PowerW(100, 300, 20), clock=at(now)), source.usage)
    meter.start()
    now[0], source.tree_cpu_s, source.machine_cpu_s = 5.0, 2.0, 8.0
    first = meter.sample()
    now[0], source.tree_cpu_s, source.machine_cpu_s = 10.0, 6.0, 16.0
    last = meter.stop()
    assert [joules(kwh) for kwh in first.energy_kwh] == pytest.approx([125, 1500, 25])
    assert [joules(kwh) for kwh in last.energy_kwh] == pytest.approx([125 + 250, 3000, 50])
    assert [joules(kwh) for kwh in last.machine_energy_kwh or ()] == pytest.approx([1000, 3000, 200])
    assert (meter.scope, meter.problems, meter.shortfall) == ("process_tree", (), None)
    assert set(meter.methods.values()) == {"replayed"}


def test_memory_that_grows_is_charged_by_its_mean() -> None:
    """From 1 to 3 of 4 GiB within an interval: half of the RAM's energy."""
    now, source = [0.0], Given(tree_gib=1.0)
    meter = AttributedMeter(ReplayMeter(PowerW(ram=20), clock=at(now)), source.usage)
    meter.start()
    now[0], source.tree_gib = 10.0, 3.0
    assert joules(meter.sample().ram_energy_kwh) == pytest.approx(100)


def test_a_share_that_is_not_known_charges_too_much_and_never_too_little() -> None:
    """The whole, at first and later: the last share might be that of an idle start. Told once, and no shortfall."""
    now, source = [0.0], Given()
    source.fails = True
    meter = AttributedMeter(ReplayMeter(PowerW(cpu=100, ram=20), clock=at(now)), source.usage)
    meter.start()
    now[0] = 1.0
    assert [joules(kwh) for kwh in meter.sample().energy_kwh] == pytest.approx([100, 0, 20])
    source.fails = False
    meter.sample()
    now[0], source.tree_cpu_s, source.machine_cpu_s = 2.0, 1.0, 2.0
    assert joules(meter.sample().cpu_energy_kwh) == pytest.approx(150)
    source.fails, now[0] = True, 3.0
    assert [joules(kwh) for kwh in meter.sample().energy_kwh] == pytest.approx([250, 0, 20 + 5 + 20])
    source.fails, now[0], source.tree_cpu_s, source.machine_cpu_s = False, 4.0, 2.0, 6.0
    assert [joules(kwh) for kwh in meter.stop().energy_kwh] == pytest.approx([275, 0, 20 + 5 + 20 + 5])
    assert len(meter.problems) == 1
    assert "all that the machine used was charged for it" in meter.problems[0]
    assert meter.shortfall is None


def test_an_interval_in_which_no_processor_clock_ticked_has_the_share_of_the_one_before() -> None:
    """Rows at phase boundaries can be shorter than a tick of 10 ms."""
    now, source = [0.0], Given()
    meter = AttributedMeter(ReplayMeter(PowerW(cpu=100), clock=at(now)), source.usage)
    meter.start()
    now[0], source.tree_cpu_s, source.machine_cpu_s = 1.0, 0.5, 1.0
    meter.sample()
    now[0] = 1.004
    assert joules(meter.sample().cpu_energy_kwh) == pytest.approx(50.2)


@given(
    st.lists(
        st.tuples(st.floats(0.01, 5), st.floats(0, 9), st.floats(0, 9), st.floats(0, 9), st.floats(0, 9)),
        min_size=1,
        max_size=20,
    )
)
def test_two_runs_side_by_side_are_together_charged_no_more_than_the_machine_used(
    steps: list[tuple[float, float, float, float, float]],
) -> None:
    """Whatever the two and everybody else do; and neither's figure ever runs backwards."""
    now, one, two = [0.0], Given(), Given()
    meters = [AttributedMeter(ReplayMeter(PowerW(100, 0, 20), clock=at(now)), source.usage) for source in (one, two)]
    before = [meter.start() for meter in meters]
    for lasted_s, one_s, two_s, others_s, gib in steps:
        now[0] += lasted_s
        for source, used_s in ((one, one_s), (two, two_s)):
            source.tree_cpu_s += used_s
            source.machine_cpu_s += one_s + two_s + others_s
            source.tree_gib, source.machine_gib = gib, 2 * gib + others_s
        after = [meter.sample() for meter in meters]
        for early, late in zip(before, after, strict=True):
            assert all(b >= a for a, b in zip(early.energy_kwh, late.energy_kwh, strict=True))
        before = after
    if all(one_s + two_s > 0 for _, one_s, two_s, _, _ in steps):
        assert sum(reading.cpu_energy_kwh for reading in before) <= joules_of(100, now[0]) * (1 + 1e-9)


def joules_of(watts: float, seconds: float) -> float:
    return watts * seconds / JOULES_PER_KWH


def test_rows_hold_both_figures_and_each_sums_to_its_total(tmp_path: Path) -> None:
    """Through phases and the grid's boundaries, to 1e-9."""

    class Kept(ReplayMeter):
        last: MeterReading

        def sample(self) -> MeterReading:
            self.last = super().sample()
            return self.last

    machine, source = Kept(PowerW(36, 300, 24)), Given()
    meter = AttributedMeter(machine, source.usage)
    ledger = LedgerWriter(tmp_path / "l")
    with EnergyRecorder(meter, ledger, constant, now=utc_now, interval_s=0.05, pue=1.0, attempt=1) as recording:
        for phase in (Phase.TRAIN, Phase.CHECKPOINT, Phase.TRAIN, Phase.EVALUATE):
            time.sleep(0.04)
            source.tree_cpu_s, source.machine_cpu_s = source.tree_cpu_s + 0.01, source.machine_cpu_s + 0.04
            recording.set_phase(phase)
    rows = read_ledger(tmp_path / "l").rows
    totals = machine_totals(rows)
    assert totals is not None
    assert totals.total == pytest.approx(math.fsum(machine.last.energy_kwh), rel=1e-9)
    assert totals.gpu == pytest.approx(math.fsum(row.gpu_energy_kwh for row in rows), rel=1e-12)
    assert math.fsum(row.ram_energy_kwh for row in rows) == pytest.approx(totals.ram / 4, rel=1e-9)
    assert math.fsum(row.cpu_energy_kwh for row in rows) < totals.cpu
    assert recording.live().power_w < 360
    for row in valued_ledger(tmp_path / "l").rows:
        assert row.emissions_gco2eq == pytest.approx(100 * row.energy_kwh)


def test_a_null_meter_costs_nothing_and_makes_no_record(tmp_path: Path) -> None:
    """Rows of 0 kWh: the recorder runs, and nobody can take them for a run's energy."""
    ledger = LedgerWriter(tmp_path / "l")
    with EnergyRecorder(NullMeter(), ledger, constant, now=utc_now, interval_s=0.02, pue=1.0, attempt=1):
        time.sleep(0.1)
    rows = read_ledger(tmp_path / "l").rows
    assert len(rows) >= 3
    assert {row.energy_kwh for row in rows} == {0.0}
    assert machine_totals(rows) is None
