"""A machine that is suspended in a run: its clocks part, and no energy is spread over the time asleep."""

import time
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
from lowtide.records import Phase
from lowtide.timeutil import utc_now
from lowtide.tracker import recorder
from lowtide.tracker.ledger import LedgerWriter, read_ledger
from lowtide.tracker.meter import MeterReading
from lowtide.tracker.recorder import Edge, EnergyRecorder, Mark, PolicyClock, cut_rows

from tests.support.replay_meter import ReplayMeter
from tests.tracker.tracker_tools import T0, sampled, valued_ledger

NIGHT_S = 8 * 3600.0


def edge(seconds: float, kwh: float, monotonic_s: float) -> Edge:
    reading = MeterReading(monotonic_s=monotonic_s, cpu_energy_kwh=kwh, gpu_energy_kwh=0.0, ram_energy_kwh=0.0)
    return Edge(T0 + timedelta(seconds=seconds), reading)


@pytest.mark.parametrize("mark_s", [1.0, 3.0, None])
def test_the_energy_is_recorded_before_the_sleep_and_the_sleep_is_there_without_any(mark_s: float | None) -> None:
    """5 s awake around a night: with a change of phase in the 5 s, or at the time of waking, or none."""
    marks = [Mark(T0 + timedelta(seconds=mark_s), Phase.TRAIN)] if mark_s else []
    end_s = 5 + NIGHT_S
    cut = cut_rows(edge(0, 0, 0), edge(end_s, 1e-3, 5), Phase.STARTUP, marks, asleep=timedelta(seconds=NIGHT_S))
    assert all(one.end == two.start for one, two in pairwise(cut))
    assert (cut[0].start, cut[-1].end) == (T0, T0 + timedelta(seconds=end_s))
    *awake, night = cut
    assert night.energy_kwh == 0.0
    assert (night.end - night.start).total_seconds() == NIGHT_S
    assert sum(part.cpu_energy_kwh for part in awake) == pytest.approx(1e-3)
    assert night.monotonic_s == awake[-1].monotonic_s == 5
    assert len(awake) == (2 if mark_s else 1)


def test_without_a_sleep_nothing_is_added() -> None:
    (only,) = cut_rows(edge(0, 0, 0), edge(5, 1e-3, 5), Phase.TRAIN, [])
    assert only.cpu_energy_kwh == 1e-3


def test_a_night_asleep_is_a_night_in_policy_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under replay too, whose time is faster."""
    passed_s, asleep_s = 0.0, 0.0

    def steady() -> float:
        return passed_s + asleep_s

    def now() -> datetime:
        return T0 + timedelta(seconds=60 * (passed_s + asleep_s))

    monkeypatch.setattr(recorder, "time", SimpleNamespace(monotonic=lambda: passed_s))
    monkeypatch.setattr(recorder, "steady_s", steady)
    clock = PolicyClock(now, speed=60.0)
    passed_s = 0.5
    assert clock.time() == T0 + timedelta(seconds=30)
    assert clock.take_sleep() == timedelta(0)
    passed_s, asleep_s = 0.7, NIGHT_S
    clock.time()
    assert clock.take_sleep().total_seconds() == pytest.approx(60 * NIGHT_S, abs=0.001)
    (problem,) = clock.problems
    assert "was suspended for 28800.0 s" in problem


def test_a_recorder_whose_machine_sleeps_books_its_energy_at_the_grid_of_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock on the wall and the one that counts sleep jump by eight hours, the meter's does not: as after a suspend."""
    asleep_s = 0.0
    real_clock = time.clock_gettime
    monkeypatch.setattr(time, "clock_gettime", lambda which: real_clock(which) + asleep_s)

    def now() -> datetime:
        return utc_now() + timedelta(seconds=asleep_s)

    begun = utc_now()
    grid = sampled(begun - timedelta(minutes=30), 12, 1800, lambda h: 100 if h < 1 else 900)
    path = tmp_path / "ledger.jsonl"
    with LedgerWriter(path) as ledger:
        recording = EnergyRecorder(
            ReplayMeter((360.0, 0.0, 0.0)), ledger, lambda *_: grid, now=now, interval_s=0.2, pue=1.0, attempt=1
        )
        with recording:
            time.sleep(0.5)
            asleep_s = NIGHT_S
            time.sleep(0.5)
    contents = read_ledger(path)
    rows = contents.rows
    assert contents.problems == ()
    assert all(one.end == two.start for one, two in pairwise(rows))
    night = [row for row in rows if row.energy_kwh == 0]
    slept_s = sum((row.end - row.start).total_seconds() for row in night)
    assert slept_s == pytest.approx(NIGHT_S, abs=0.5)
    awake = [row for row in rows if row.energy_kwh > 0]
    powers = [row.energy_kwh * 3.6e6 / (row.end - row.start).total_seconds() for row in awake]
    assert max(powers) < 2 * 360, (
        "the night's row would have the power of a few seconds over hours, or the other way round"
    )
    before = [row for row in valued_ledger(path).rows if row.energy_kwh > 0 and row.end <= night[0].start]
    assert {row.carbon_intensity_gco2eq_per_kwh for row in before} == {100}
    (problem,) = recording.problems
    assert "was suspended for 28800" in problem
