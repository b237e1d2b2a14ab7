"""The recorder's thread: phases, replay, clock steps, failures, and no energy lost between the last row and the stop."""

import math
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from include.errors import ArtifactError, MeasurementError, ProviderUnavailable
from include.moments import utc_now
from include.records import LedgerRow, Phase, Reading, ReplayAnchor
from include.tracker import EnergyRecorder, LedgerWriter, MeterReading, PowerW, ReplayMeter, read_ledger, summarise
from include.tracker.recording.phases import Edge, Mark, cut_at_marks
from include.units import JOULES_PER_KWH
from tests.tracker.tracker_tools import T0, constant, reading, sampled

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
) -> EnergyRecorder:
    return EnergyRecorder(
        meter, LedgerWriter(path), readings_for, now=now, interval_s=interval_s, pue=1.5, attempt=attempt
    )


def assert_complete(rows: Sequence[LedgerRow], meter: LastReading) -> None:
    """Contiguous rows that sum to the meter's total."""
    assert all(a.end == b.start for a, b in pairwise(rows))
    assert all(r.start < r.end for r in rows)
    assert math.fsum(r.energy_kwh for r in rows) == pytest.approx(math.fsum(meter.last.energy_kwh), rel=1e-9)


def test_rows_sum_to_the_meters_total_and_power_times_time(tmp_path: Path) -> None:
    """360 W for the time that passed, PUE 1.5 and 100 g/kWh: every figure follows."""
    meter = LastReading(CONSTANT_W)
    with recorder(meter, tmp_path / "l") as recording:
        time.sleep(0.3)
    rows = read_ledger(tmp_path / "l").rows
    assert_complete(rows, meter)
    assert len(rows) >= 4
    total = summarise(rows)
    elapsed_s = (rows[-1].end - rows[0].start).total_seconds()
    assert total.total_energy_kwh == pytest.approx(360 * elapsed_s / JOULES_PER_KWH, rel=0.02)
    assert total.gpu_energy_kwh / total.total_energy_kwh == pytest.approx(300 / 360)
    assert total.emissions_gco2eq == pytest.approx(total.total_energy_kwh * 150, rel=1e-9)
    assert recording.failure is None
    assert recording.problems == ()
    live = recording.live()
    assert live.energy_kwh == pytest.approx(total.total_energy_kwh)
    assert live.emissions_gco2eq == pytest.approx(total.emissions_gco2eq)
    assert live.power_w == pytest.approx(360, rel=0.01)
    assert live.carbon_intensity_gco2eq_per_kwh == 100
    assert live.elapsed_s >= 0.3


def test_a_phase_begins_when_it_was_set_although_the_interval_is_long(tmp_path: Path) -> None:
    """With a row an hour: the boundaries come from the phases alone, and setting one does not block."""
    meter = LastReading(CONSTANT_W)
    set_at = []
    with recorder(meter, tmp_path / "l", interval_s=3600) as recording:
        for phase in (Phase.TRAIN, Phase.CHECKPOINT, Phase.TRAIN, Phase.TRAIN, Phase.EVALUATE):
            time.sleep(0.04)
            before = time.monotonic()
            recording.set_phase(phase)
            assert time.monotonic() - before < 0.2  # a row's fsync and an hour's interval are not waited for
            set_at.append((utc_now(), phase))
        time.sleep(0.04)
    rows = read_ledger(tmp_path / "l").rows
    assert_complete(rows, meter)
    changes = [(b.start, b.phase) for a, b in pairwise(rows) if a.phase is not b.phase]
    assert [phase for _, phase in changes] == [Phase.TRAIN, Phase.CHECKPOINT, Phase.TRAIN, Phase.EVALUATE]
    del set_at[3]  # TRAIN again is no change
    for (booked, _), (asked, _) in zip(changes, set_at, strict=True):
        assert abs(booked - asked) < timedelta(milliseconds=100)


def test_phases_set_faster_than_rows_are_written_all_appear_and_share_the_energy_by_time(tmp_path: Path) -> None:
    """From several threads at once; nothing is lost or booked twice."""
    meter = LastReading(CONSTANT_W)
    with recorder(meter, tmp_path / "l", interval_s=0.01) as recording:
        phases = [Phase.TRAIN, Phase.CHECKPOINT] * 20

        def change_often() -> None:
            for phase in phases:
                recording.set_phase(phase)

        threads = [threading.Thread(target=change_often) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    rows = read_ledger(tmp_path / "l").rows
    assert_complete(rows, meter)
    assert {r.phase for r in rows} == {Phase.STARTUP, Phase.TRAIN, Phase.CHECKPOINT}


def test_under_replay_rows_are_in_virtual_time_and_split_at_the_grids_hours(tmp_path: Path) -> None:
    """0.5 s at speed 28,800 are 4 virtual hours on a ramp: grams agree with the closed-form integral."""
    anchor = ReplayAnchor(real_start=utc_now(), virtual_start=T0, speed=28_800)
    ramp = sampled(T0 - timedelta(hours=1), 24, 3600, lambda h: 100 + 20 * h)
    meter = LastReading(CONSTANT_W)
    with recorder(meter, tmp_path / "l", lambda a, b: ramp, lambda: anchor.virtual(utc_now())):
        time.sleep(0.5)
    rows = read_ledger(tmp_path / "l").rows
    assert_complete(rows, meter)
    first_h = (rows[0].start - ramp[0].start).total_seconds() / 3600
    last_h = (rows[-1].end - ramp[0].start).total_seconds() / 3600
    assert last_h - first_h == pytest.approx(4, rel=0.2)
    mean = sum(r.emissions_gco2eq for r in rows) / sum(r.energy_kwh for r in rows) / 1.5
    # hourly means of the ramp, so the partial first and last hour differ from it by at most 10 g/kWh each
    assert mean == pytest.approx(100 + 10 * (first_h + last_h), abs=5)
    boundaries = {r.end for r in rows[:-1]}
    hours = [T0 + timedelta(hours=k) for k in range(8)]
    assert all(hour in boundaries for hour in hours if rows[0].start < hour < rows[-1].end)
    assert (rows[-1].monotonic_s - rows[0].monotonic_s) == pytest.approx(0.5, abs=0.1)
    assert [r.monotonic_s for r in rows] == sorted(r.monotonic_s for r in rows)


@pytest.mark.parametrize("step", [timedelta(hours=-1), timedelta(hours=1), timedelta(seconds=-0.5)])
def test_a_stepped_clock_neither_tears_nor_reverses_the_rows_and_is_told(tmp_path: Path, step: timedelta) -> None:
    """The clock on the wall is set by an hour in mid-run: rows stay contiguous and as long as they really were."""
    offset = timedelta(0)
    meter = LastReading(CONSTANT_W)
    with recorder(meter, tmp_path / "l", now=lambda: utc_now() + offset) as recording:
        time.sleep(0.15)
        offset = step
        time.sleep(0.15)
    rows = read_ledger(tmp_path / "l").rows
    assert_complete(rows, meter)
    assert (rows[-1].end - rows[0].start).total_seconds() == pytest.approx(0.3, abs=0.1)
    direction = "back" if step < timedelta(0) else "forward"
    assert [p for p in recording.problems if f"set {direction} by {abs(step.total_seconds()):.1f} s" in p]
    assert len(recording.problems) == 1


def test_a_clock_set_back_between_two_attempts_does_not_make_rows_overlap(tmp_path: Path) -> None:
    """The second attempt begins where the first ended, and says why."""
    with recorder(LastReading(CONSTANT_W), tmp_path / "l"):
        time.sleep(0.06)
    second = recorder(LastReading(CONSTANT_W), tmp_path / "l", now=lambda: utc_now() - timedelta(hours=1), attempt=2)
    with second:
        time.sleep(0.06)
    contents = read_ledger(tmp_path / "l")
    assert {r.attempt for r in contents.rows} == {1, 2}
    assert contents.problems == ()
    assert "set back by 3600" in second.problems[0]


class Broken(LastReading):
    """Fails where it is told to; ``stop`` goes through ``sample``."""

    fails = False

    def sample(self) -> MeterReading:
        if self.fails:
            raise MeasurementError("the sensor is gone")
        return super().sample()


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


def test_a_meter_that_runs_backwards_is_never_booked_as_negative_energy(tmp_path: Path) -> None:
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


def test_a_grid_that_answers_late_is_booked_late_and_completely(tmp_path: Path) -> None:
    """Two ticks without an answer, then one: in order, nothing left out."""
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
    assert "written late: no answer" in recording.problems[0]


def test_a_hole_in_the_grids_history_is_left_out_named_and_raised_and_later_rows_are_written(tmp_path: Path) -> None:
    """No reading ever covers the first 0.1 s: one hole, not an empty ledger."""
    known_from = utc_now() + timedelta(seconds=0.1)
    meter = LastReading(CONSTANT_W)
    recording = recorder(meter, tmp_path / "l", lambda a, b: [reading(known_from, b + timedelta(days=1), 100.0)])
    recording.start()
    time.sleep(0.6)
    with pytest.raises(MeasurementError, match="no reading of the grid covers"):
        recording.stop()
    rows = read_ledger(tmp_path / "l").rows
    assert rows[0].start >= known_from
    assert 0.5 < math.fsum(r.energy_kwh for r in rows) / sum(meter.last.energy_kwh) < 1
    assert any("are not in the ledger" in problem for problem in recording.problems)


def test_a_hole_found_just_before_the_stop_does_not_cost_the_rows_after_it(tmp_path: Path) -> None:
    """There are no further ticks to wait for: the hole is left out, the training behind it is written."""
    known_from = utc_now() + timedelta(seconds=0.03)
    meter = LastReading(CONSTANT_W)
    recording = recorder(
        meter, tmp_path / "l", lambda a, b: [reading(known_from, b + timedelta(days=1), 100.0)], interval_s=3600
    )
    recording.start()
    time.sleep(0.1)
    recording.set_phase(Phase.TRAIN)
    time.sleep(0.1)
    with pytest.raises(MeasurementError, match="no reading of the grid covers"):
        recording.stop()
    assert {r.phase for r in read_ledger(tmp_path / "l").rows} == {Phase.TRAIN}


def test_energy_between_two_samples_is_shared_by_time_at_the_marks() -> None:
    """10 s, marks at 2 s and 7 s: 20 %, 50 % and 30 %; a mark at the first edge changes the first part."""

    def edge(second: float, kwh: float) -> Edge:
        total = MeterReading(
            monotonic_s=100 + second / 2, cpu_energy_kwh=kwh, gpu_energy_kwh=2 * kwh, ram_energy_kwh=0.0
        )
        return Edge(T0 + timedelta(seconds=second), total)

    marks = [Mark(T0 + timedelta(seconds=s), p) for s, p in ((0, Phase.TRAIN), (2, Phase.CHECKPOINT), (7, Phase.TRAIN))]
    parts = cut_at_marks(edge(0, 1.0), edge(10, 2.0), Phase.STARTUP, marks)
    assert [part.phase for part in parts] == [Phase.TRAIN, Phase.CHECKPOINT, Phase.TRAIN]
    assert [part.energy[1] for part in parts] == pytest.approx([0.4, 1.0, 0.6])
    assert [part.monotonic_end_s for part in parts] == pytest.approx([101, 103.5, 105])


def test_a_ledger_that_cannot_be_written_is_raised_at_stop_and_written_once_it_can(tmp_path: Path) -> None:
    """The file behind the writer is closed under it, then opened again: the rows waited in memory."""
    meter = LastReading(CONSTANT_W)
    ledger = LedgerWriter(tmp_path / "l")
    recording = EnergyRecorder(meter, ledger, constant, now=utc_now, interval_s=0.03, pue=1.0, attempt=1)
    recording.start()
    ledger.close()
    time.sleep(0.15)
    assert isinstance(recording.failure, ArtifactError)
    ledger._open()
    time.sleep(0.1)
    assert recording.failure is None
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


def test_the_replay_meter_integrates_a_given_power() -> None:
    """sin^2 over ten periods of 1 s is 5 J per watt; read at uneven moments."""
    now_s = 100.0
    meter = ReplayMeter(lambda s: (200 * math.sin(math.pi * s) ** 2, 10 * s, 5.0), clock=lambda: now_s)
    with pytest.raises(MeasurementError, match="before its start"):
        meter.sample()
    meter.start()
    for moment_s in (100.7, 101.9, 103.0, 106.5, 108.1, 110.0):
        now_s = moment_s
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


def test_what_is_shown_goes_on_from_what_earlier_attempts_used(tmp_path: Path) -> None:
    """A retry's figures so far are the run's, as its record's will be."""
    path = tmp_path / "ledger.jsonl"
    for attempt in (1, 2):
        with LedgerWriter(path) as ledger:
            recording = EnergyRecorder(
                ReplayMeter(), ledger, constant, now=utc_now, interval_s=0.05, pue=1.0, attempt=attempt
            )
            with recording:
                time.sleep(0.1)
            shown = recording.live()
        rows = read_ledger(path).rows
        assert shown.energy_kwh == pytest.approx(sum(row.energy_kwh for row in rows), rel=1e-9)
        assert shown.emissions_gco2eq == pytest.approx(sum(row.emissions_gco2eq for row in rows), rel=1e-9)
