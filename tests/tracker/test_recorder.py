"""The recorder's thread: phases, replay, clock steps, and no energy lost between the last row and the stop."""

import threading
import time
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from lowtide.records import Phase, ReplayAnchor
from lowtide.timeutil import utc_now
from lowtide.tracker.ledger import LedgerWriter, read_ledger
from lowtide.tracker.meter import MeterReading
from lowtide.tracker.recorder import Edge, EnergyRecorder, Mark, cut_rows
from lowtide.units import JOULES_PER_KWH

from tests.support.replay_meter import ReplayMeter
from tests.tracker.recordings import CONSTANT_W, LastReading, assert_complete, recorder
from tests.tracker.tracker_tools import T0, constant, sampled, valued_ledger


def test_rows_sum_to_the_meters_total_and_power_times_time(tmp_path: Path) -> None:
    """360 W for the time that passed, PUE 1.5 and 100 g/kWh: every figure follows."""
    meter = LastReading(CONSTANT_W)
    with recorder(meter, tmp_path / "l") as recording:
        time.sleep(0.3)
    rows = read_ledger(tmp_path / "l").rows
    assert_complete(rows, meter)
    assert len(rows) >= 4
    total = valued_ledger(tmp_path / "l", pue=1.5)
    elapsed_s = (rows[-1].end - rows[0].start).total_seconds()
    assert total.energy_kwh == pytest.approx(360 * elapsed_s / JOULES_PER_KWH, rel=0.02)
    assert sum(row.gpu_energy_kwh for row in rows) / total.energy_kwh == pytest.approx(300 / 360)
    assert total.emissions_gco2eq == pytest.approx(total.energy_kwh * 150, rel=1e-9)
    assert recording.failure is None
    assert recording.problems == ()
    live = recording.live()
    assert live.energy_kwh == pytest.approx(total.energy_kwh)
    assert live.emissions_gco2eq == pytest.approx(total.emissions_gco2eq)
    assert live.power_w == pytest.approx(360, rel=0.01)
    assert live.carbon_intensity_gco2eq_per_kwh == 100


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
    with recorder(meter, tmp_path / "l", lambda a, b: ramp, lambda: anchor.virtual(utc_now()), speed=28_800):
        time.sleep(0.5)
    rows = read_ledger(tmp_path / "l").rows
    assert_complete(rows, meter)
    first_h = (rows[0].start - ramp[0].start).total_seconds() / 3600
    last_h = (rows[-1].end - ramp[0].start).total_seconds() / 3600
    assert last_h - first_h == pytest.approx(4, rel=0.2)
    valued = valued_ledger(tmp_path / "l", pue=1.5).rows
    mean = sum(r.emissions_gco2eq for r in valued) / sum(r.energy_kwh for r in rows) / 1.5
    # hourly means of the ramp, so the partial first and last hour differ from it by at most 10 g/kWh each
    assert mean == pytest.approx(100 + 10 * (first_h + last_h), abs=5)
    boundaries = {r.end for r in valued[:-1]}
    hours = [T0 + timedelta(hours=k) for k in range(8)]
    assert all(hour in boundaries for hour in hours if rows[0].start < hour < rows[-1].end)
    assert (rows[-1].monotonic_s - rows[0].monotonic_s) == pytest.approx(0.5, abs=0.1)
    assert [r.monotonic_s for r in rows] == sorted(r.monotonic_s for r in rows)


@pytest.mark.parametrize("step", [timedelta(hours=-1), timedelta(hours=1), timedelta(seconds=-0.5)])
def test_a_stepped_clock_neither_tears_nor_reverses_the_rows_and_is_reported(tmp_path: Path, step: timedelta) -> None:
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


def test_energy_between_two_samples_is_shared_by_time_at_the_marks() -> None:
    """10 s, marks at 2 s and 7 s: 20 %, 50 % and 30 %; a mark at the first edge changes the first part."""

    def edge(second: float, kwh: float) -> Edge:
        total = MeterReading(
            monotonic_s=100 + second / 2, cpu_energy_kwh=kwh, gpu_energy_kwh=2 * kwh, ram_energy_kwh=0.0
        )
        return Edge(T0 + timedelta(seconds=second), total)

    marks = [Mark(T0 + timedelta(seconds=s), p) for s, p in ((0, Phase.TRAIN), (2, Phase.CHECKPOINT), (7, Phase.TRAIN))]
    parts = cut_rows(edge(0, 1.0), edge(10, 2.0), Phase.STARTUP, marks)
    assert [part.phase for part in parts] == [Phase.TRAIN, Phase.CHECKPOINT, Phase.TRAIN]
    assert [part.gpu_energy_kwh for part in parts] == pytest.approx([0.4, 1.0, 0.6])
    assert [part.monotonic_s for part in parts] == pytest.approx([101, 103.5, 105])


def test_what_is_shown_continues_from_what_earlier_attempts_used(tmp_path: Path) -> None:
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
        rows = valued_ledger(path).rows
        assert shown.energy_kwh == pytest.approx(sum(row.energy_kwh for row in rows), rel=1e-9)
        assert shown.emissions_gco2eq == pytest.approx(sum(row.emissions_gco2eq for row in rows), rel=1e-9)
