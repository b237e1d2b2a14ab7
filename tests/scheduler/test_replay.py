"""Replaying a trace or a typical day, and the one anchor between real and virtual time."""

import gzip
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lowtide.config.schema import GridConfig
from lowtide.errors import ArtifactError, ConfigurationError
from lowtide.grid.factory import open_signal, replay_anchor
from lowtide.grid.providers.offline import read_trace
from lowtide.records import Clock, IntensityKind, ReplayAnchor
from lowtide.timeutil import format_time, utc_now

from tests.support.grid import HOUR

START = datetime(2025, 4, 15, 0, 0, tzinfo=UTC)
HEADER = "timestamp,carbon_intensity_gco2eq_per_kwh\n"


def grid(trace: Path | str | None, virtual_start: str = "2025-04-15T02:00Z", zone: str = "GB") -> GridConfig:
    replay = {"trace": None if trace is None else str(trace), "virtual_start": virtual_start, "speed": 120}
    return GridConfig.model_validate({"zone": zone, "provider": "replay", "replay": replay})


def rows(*values: float, step: timedelta = HOUR) -> str:
    return HEADER + "".join(f"{format_time(START + i * step)},{value}\n" for i, value in enumerate(values))


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "GB_day.csv"
    path.write_text(rows(*range(100, 124)))
    return path


def test_a_trace_is_replayed_plain_or_packed_with_its_name_as_source(trace: Path) -> None:
    packed = trace.with_suffix(".csv.gz")
    packed.write_bytes(gzip.compress(trace.read_bytes()))
    for path in (trace, packed):
        outlook = open_signal(grid(path)).outlook(START + 2.5 * HOUR)
        assert outlook.reading is not None
        assert outlook.reading.carbon_intensity_gco2eq_per_kwh == 102.0
        assert (outlook.reading.kind, outlook.reading.source) == (IntensityKind.REPLAYED, f"replay:{path.name}")
        assert (outlook.failed_checks, outlook.threshold_comparable) == (0, True)


def test_quarter_hours_hold_for_a_quarter_of_an_hour(tmp_path: Path) -> None:
    path = tmp_path / "quarters.csv"
    path.write_text(rows(1, 2, 3, 4, step=timedelta(minutes=15)))
    pieces = open_signal(grid(path)).available(START, START + HOUR)
    assert [p.carbon_intensity_gco2eq_per_kwh for p in pieces] == [1, 2, 3, 4]


def test_booking_in_a_replay_follows_the_trace_exactly(trace: Path) -> None:
    pieces = open_signal(grid(trace)).available(START + 1.5 * HOUR, START + 3.25 * HOUR)
    assert [(p.carbon_intensity_gco2eq_per_kwh, (p.end - p.start) / HOUR) for p in pieces] == [
        (101, 0.5),
        (102, 1.0),
        (103, 0.25),
    ]


def test_beyond_the_trace_the_energy_is_valued_as_modelled_not_wrapped(trace: Path) -> None:
    pieces = open_signal(grid(trace)).available(START + 23 * HOUR, START + 25 * HOUR)
    assert [p.kind for p in pieces] == [IntensityKind.REPLAYED, IntensityKind.MODELLED]


@pytest.mark.parametrize("virtual_start", ["2025-04-14T23:59Z", "2025-04-16T00:00Z", "2026-04-15T12:00Z"])
def test_a_start_outside_the_trace_is_reported_when_the_signal_is_opened(trace: Path, virtual_start: str) -> None:
    config = grid(trace, virtual_start)
    with pytest.raises(ConfigurationError, match=r"outside the trace GB_day.csv \(2025-04-15T00:00:00Z"):
        open_signal(config, anchor=replay_anchor(config, utc_now()))


def test_a_wait_that_leaves_the_trace_is_reported_too(trace: Path) -> None:
    with pytest.raises(ConfigurationError, match="outside the trace"):
        open_signal(grid(trace)).outlook(START + 24 * HOUR)


def test_a_gap_in_the_trace_is_a_failed_check_filled_by_the_profile(tmp_path: Path) -> None:
    path = tmp_path / "gap.csv"
    path.write_text(rows(1, 2) + f"{format_time(START + 5 * HOUR)},6\n")
    outlook = open_signal(grid(path)).outlook(START + 3 * HOUR)
    assert outlook.failed_checks == 1
    assert outlook.reading is not None
    assert outlook.reading.kind is IntensityKind.MODELLED
    assert "has a gap" in outlook.steps[0]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "column"),
        (b"time,value\n1,2\n", "the column 'carbon_intensity_gco2eq_per_kwh' is missing"),
        (HEADER.encode(), "at least two rows"),
        (rows(1, -2).encode(), "line 3"),
        (rows(1, float("nan")).encode(), "line 3"),
        ((HEADER + "15 April 2025,5\n2025-04-15T01:00:00,5\n").encode(), "line 2"),
        ((HEADER + "2025-04-15T00:00:00Z\n").encode(), "line 2"),
        ((rows(1, 2) + rows(1, 2).removeprefix(HEADER)).encode(), "twice"),
        (gzip.compress(b"abc" * 99, mtime=0)[:-9], "cannot be read"),
        (b"\x1f\x8bjunk", "cannot be read"),
        (b"\xff\xfe\x00", "cannot be read"),
    ],
)
def test_a_trace_that_cannot_be_used_is_reported_in_one_sentence(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=told) as caught:
        open_signal(grid(path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_timestamp_without_an_offset_is_utc_as_the_column_is_defined(tmp_path: Path) -> None:
    path = tmp_path / "plain.csv"
    path.write_text(HEADER + "2025-04-15T00:00:00,5\n2025-04-15T03:00:00+02:00,6\n")
    trace = read_trace(path)
    assert list(trace.starts) == [datetime(2025, 4, 15, hour, tzinfo=UTC) for hour in (0, 1)]


def test_a_trace_that_is_not_there_and_one_that_is_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no such trace file"):
        open_signal(grid(tmp_path / "missing.csv"))
    with pytest.raises(ArtifactError, match="cannot be read"):
        open_signal(grid(tmp_path))


def test_without_a_trace_the_typical_day_is_replayed_and_called_so() -> None:
    reading = open_signal(grid(None, zone="US-CAL-CISO")).outlook(START).reading
    assert reading is not None
    assert (reading.kind, reading.source) == (IntensityKind.REPLAYED, "replay:profile")
    with pytest.raises(ConfigurationError, match="FR has no profile"):
        open_signal(grid(None, zone="FR"))


def test_a_virtual_start_without_an_offset_is_the_zone_s_time() -> None:
    real = utc_now()
    anchor = replay_anchor(grid(None, "2025-04-15T05:00", "US-CAL-CISO"), real)
    assert anchor == ReplayAnchor(real_start=real, virtual_start=datetime(2025, 4, 15, 12, tzinfo=UTC), speed=120)
    assert replay_anchor(GridConfig(zone="GB", provider="neso"), real) is None


@pytest.mark.parametrize("text", ["dawn", "", "2025-13-01", "0001-01-01T00:00+23:00"])
def test_a_virtual_start_that_is_not_a_time_is_reported(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"grid\.replay\.virtual_start"):
        replay_anchor(grid(None, text), utc_now())


@given(
    st.integers(0, 10**9).map(lambda seconds: START + timedelta(seconds=seconds)),
    st.floats(0.01, 100_000),
    st.integers(0, 10**9),
)
def test_the_anchor_goes_to_virtual_time_and_back(virtual_start: datetime, speed: float, seconds: int) -> None:
    anchor = ReplayAnchor(real_start=START, virtual_start=virtual_start, speed=speed)
    virtual = virtual_start + timedelta(seconds=seconds)
    # real times hold whole microseconds, of which one is ``speed`` virtual ones
    assert abs(anchor.virtual(anchor.real(virtual)) - virtual) <= timedelta(microseconds=speed + 2)


def test_a_replay_s_clock_runs_at_its_speed_and_sleeps_real_seconds() -> None:
    clock = Clock(ReplayAnchor(real_start=utc_now() - timedelta(seconds=10), virtual_start=START, speed=120))
    assert clock.now() - START == pytest.approx(timedelta(minutes=20), abs=timedelta(minutes=1))
    assert clock.seconds_until(START + timedelta(minutes=40)) == pytest.approx(10.0, abs=0.5)
    assert clock.seconds_until(START) == 0.0


def test_the_system_clock_has_real_time_and_never_sleeps_backwards() -> None:
    clock = Clock()
    assert abs(clock.now() - utc_now()) < timedelta(seconds=1)
    assert clock.seconds_until(utc_now() + timedelta(seconds=60)) == pytest.approx(60.0, abs=1.0)
    assert clock.seconds_until(START) == 0.0
