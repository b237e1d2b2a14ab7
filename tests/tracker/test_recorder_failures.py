"""What a recorder makes of a meter, a grid or a ledger that fails: nothing is silent, and the training goes on."""

import signal
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from lowtide.errors import ArtifactError, MeasurementError, ProviderUnavailable
from lowtide.records import EmissionFactorType, Phase, Reading, SignalType, read_intensity
from lowtide.timeutil import utc_now
from lowtide.tracker.emissions import value_rows
from lowtide.tracker.ledger import LedgerWriter, read_ledger
from lowtide.tracker.meter import MeterReading
from lowtide.tracker.recorder import EnergyRecorder

from tests.support.replay_meter import ReplayMeter
from tests.tracker.recordings import CONSTANT_W, LastReading, assert_complete, recorder
from tests.tracker.tracker_tools import constant, reading


class Broken(LastReading):
    """Fails where it is told to; ``stop`` goes through ``sample``."""

    fails = False

    def sample(self) -> MeterReading:
        if self.fails:
            raise MeasurementError("the sensor is gone")
        return super().sample()


def becomes(true: Callable[[], bool]) -> bool:
    """Wait for the recorder's thread: a busy machine may take long for a row of 30 ms."""
    until_s = time.monotonic() + 10
    while not true() and time.monotonic() < until_s:
        time.sleep(0.01)
    return true()


def test_a_meter_that_fails_for_a_while_costs_resolution_but_no_energy(tmp_path: Path) -> None:
    """Totals are cumulative: the sample after the gap covers it."""
    meter = Broken(CONSTANT_W)
    with recorder(meter, tmp_path / "l") as recording:
        time.sleep(0.12)
        meter.fails = True
        time.sleep(0.15)
        assert isinstance(recording.failure, MeasurementError)
        meter.fails = False
    assert_complete(read_ledger(tmp_path / "l").rows, meter)
    assert recording.problems == ("the meter failed: the sensor is gone",)


def test_a_meter_that_stays_broken_is_raised_at_stop_and_what_was_measured_is_kept(tmp_path: Path) -> None:
    """Training went on; the run is not passed off as measured."""
    meter = Broken(CONSTANT_W)
    recording = recorder(meter, tmp_path / "l")
    recording.start()
    time.sleep(0.12)
    meter.fails = True
    with pytest.raises(MeasurementError, match="the sensor is gone"):
        recording.stop()
    with pytest.raises(MeasurementError, match="the sensor is gone"):
        recording.stop()
    assert_complete(read_ledger(tmp_path / "l").rows, meter)


def test_a_meter_that_runs_backwards_is_never_recorded_as_negative_energy(tmp_path: Path) -> None:
    """As a counter that was reset: the run is marked, the rows are sound."""
    power = {"w": 100.0}
    meter = LastReading(lambda s: (power["w"], 0.0, 0.0))
    recording = recorder(meter, tmp_path / "l")
    recording.start()
    time.sleep(0.2)
    power["w"] = -50.0
    time.sleep(0.1)
    power["w"] = 100.0
    with pytest.raises(MeasurementError, match="ran backwards"):
        recording.stop()
    contents = read_ledger(tmp_path / "l")
    assert contents.rows
    assert all(r.cpu_energy_kwh >= 0 for r in contents.rows)


def test_a_grid_that_does_not_answer_for_a_while_costs_no_energy_and_is_reported_once(tmp_path: Path) -> None:
    """Two ticks without an answer, then one: every row is written, in order, when it was measured."""
    calls = 0

    def late(start: datetime, end: datetime) -> list[Reading]:
        nonlocal calls
        calls += 1
        if calls in (2, 3):
            raise ProviderUnavailable("no answer")
        return constant(start, end)

    meter = LastReading(CONSTANT_W)
    with recorder(meter, tmp_path / "l", late) as recording:
        time.sleep(0.4)
    assert_complete(read_ledger(tmp_path / "l").rows, meter)
    assert len(recording.problems) == 1
    assert "no intensity is known from" in recording.problems[0]


def test_a_hole_in_what_is_known_of_the_grid_leaves_the_energy_in_the_ledger_unvalued(tmp_path: Path) -> None:
    """No reading ever covers the first 0.1 s: its energy counts, its emissions are not known, and the rest is valued."""
    known_from = utc_now() + timedelta(seconds=0.1)
    meter = LastReading(CONSTANT_W)
    with recorder(meter, tmp_path / "l", lambda a, b: [reading(known_from, b + timedelta(days=1), 100.0)]):
        time.sleep(0.6)
    rows = read_ledger(tmp_path / "l").rows
    assert_complete(rows, meter)
    valuation = value_rows(rows, read_intensity(tmp_path)[0], pue=1.0)
    assert valuation.rows[0].start == known_from
    assert valuation.unvalued[-1].end == known_from
    assert valuation.energy_kwh == pytest.approx(sum(meter.last.energy_kwh), rel=1e-9)


def test_live_figures_leave_out_what_the_record_will_leave_out(tmp_path: Path) -> None:
    """The grid answers with direct factors, and the run's are lifecycle ones: no grams, in this attempt or from an earlier one."""
    meaning = (SignalType.AVERAGE, EmissionFactorType.LIFECYCLE)
    earlier_kwh = 0.0
    for attempt in (1, 2):
        ledger = LedgerWriter(tmp_path / "l")
        recording = EnergyRecorder(
            LastReading(CONSTANT_W),
            ledger,
            constant,
            now=utc_now,
            interval_s=0.03,
            pue=1.0,
            attempt=attempt,
            meaning=meaning,
        )
        with recording:
            assert recording.live().energy_kwh >= 0.999 * earlier_kwh
            time.sleep(0.2)
        ledger.close()
        assert recording.live().energy_kwh > earlier_kwh
        assert recording.live().emissions_gco2eq == 0
        earlier_kwh = recording.live().energy_kwh


def test_a_ledger_that_cannot_be_written_is_raised_at_stop_and_written_once_it_can(tmp_path: Path) -> None:
    """The file behind the writer is closed under it, then opened again: the rows waited in memory."""
    meter = LastReading(CONSTANT_W)
    ledger = LedgerWriter(tmp_path / "l")
    recording = EnergyRecorder(meter, ledger, constant, now=utc_now, interval_s=0.03, pue=1.0, attempt=1)
    recording.start()
    ledger.close()
    assert becomes(lambda: isinstance(recording.failure, ArtifactError))
    ledger._open()
    assert becomes(lambda: recording.failure is None)
    ledger.close()
    with pytest.raises(ArtifactError, match="cannot be written"):
        recording.stop()
    rows = read_ledger(tmp_path / "l").rows
    assert rows[0].start < rows[-1].end
    assert all(a.end == b.start for a, b in pairwise(rows))
    assert any("written late" in problem for problem in recording.problems)


def test_an_error_of_the_training_is_not_hidden_by_one_of_the_ledger(tmp_path: Path) -> None:
    """The training's own exception arrives, with the ledger's as a note."""
    meter = Broken(CONSTANT_W)
    with pytest.raises(ZeroDivisionError) as caught, recorder(meter, tmp_path / "l"):
        meter.fails = True
        raise ZeroDivisionError
    assert "the energy ledger is incomplete as well: the sensor is gone" in caught.value.__notes__


def test_a_meter_that_does_not_start_fails_at_once(tmp_path: Path) -> None:
    """Before any training; stopping then is harmless, starting twice and a phase before the start are refused."""

    class Dead(ReplayMeter):
        def start(self) -> MeterReading:
            raise MeasurementError("no sensor")

    dead = recorder(Dead(), tmp_path / "dead")
    with pytest.raises(MeasurementError, match="no sensor"):
        dead.start()
    dead.stop()
    recording = recorder(ReplayMeter(), tmp_path / "l")
    with pytest.raises(MeasurementError, match="before the energy recorder was started"):
        recording.set_phase(Phase.TRAIN)
    with recording, pytest.raises(MeasurementError, match="started twice"):
        recording.start()


def test_an_interrupt_while_the_meter_starts_leaves_no_thread_that_writes(tmp_path: Path) -> None:
    """As Ctrl-C during ``start``: the attempt is closed after it, and no row may come behind that line."""

    class Slow(LastReading):
        def start(self) -> MeterReading:
            time.sleep(0.5)
            return super().start()

    threads = set(threading.enumerate())
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        with pytest.raises(KeyboardInterrupt):
            recorder(Slow(CONSTANT_W), tmp_path / "l").start()
    finally:
        signal.signal(signal.SIGALRM, before)
    assert set(threading.enumerate()) == threads
