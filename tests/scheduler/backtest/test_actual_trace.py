"""The trace as truth: means over any stretch, gaps, and what is no regular trace."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lowtide.errors import ArtifactError
from lowtide.grid.providers.offline import read_trace
from lowtide.scheduler.backtest.trace import ActualTrace, actual_trace

from tests.support.traces import SPRING, write_trace

VALUES = st.lists(st.floats(0, 1000) | st.just(float("nan")), min_size=1, max_size=30)


@given(VALUES, st.sampled_from([300.0, 900.0, 3600.0]), st.data())
def test_a_mean_is_the_sum_of_the_overlaps_and_a_gap_is_noticed(
    values: list[float], step: float, data: st.DataObject
) -> None:
    actual = ActualTrace(1000.0 * step, step, np.array(values))
    inside = st.floats(actual.start_s, actual.end_s - 1.0)
    begin = data.draw(inside)
    end = data.draw(st.floats(begin + 1.0, actual.end_s))
    overlaps = [
        (min(end, actual.start_s + (i + 1) * step) - max(begin, actual.start_s + i * step), value)
        for i, value in enumerate(values)
    ]
    touched = [(length, value) for length, value in overlaps if length > 0]
    gap = actual.curve.mean_over(begin, end) is None
    assert gap == any(np.isnan(value) for _, value in touched)
    if not gap:
        expected = sum(length * value for length, value in touched) / (end - begin)
        assert actual.mean(begin, end) == pytest.approx(expected, rel=1e-6, abs=1e-4)


def test_missing_rows_are_gaps_and_nothing_else(tmp_path: Path) -> None:
    path = write_trace(tmp_path / "t.csv", [float(i) for i in range(10)], without=(3, 4))
    actual = actual_trace(read_trace(path))
    assert np.flatnonzero(np.isnan(actual.values)).tolist() == [3, 4]
    assert actual.start_s == SPRING.timestamp()
    assert actual.end_s == (SPRING + timedelta(hours=10)).timestamp()


@pytest.mark.parametrize(
    ("step", "start", "told"),
    [
        (timedelta(hours=3), timedelta(0), "rows every 180 minutes"),
        (timedelta(minutes=25), timedelta(0), "rows every 25 minutes"),
        (timedelta(hours=1), timedelta(minutes=7), "begin on it"),
    ],
)
def test_a_trace_off_the_clock_is_refused(step: timedelta, start: timedelta, told: str, tmp_path: Path) -> None:
    path = write_trace(tmp_path / "t.csv", [1.0, 2.0, 3.0], start=SPRING + start, step=step)
    with pytest.raises(ArtifactError, match=told):
        actual_trace(read_trace(path))


def test_a_row_between_two_steps_is_named(tmp_path: Path) -> None:
    path = write_trace(tmp_path / "t.csv", [1.0, 2.0, 3.0])
    with path.open("a") as file:
        file.write("2031-02-03T04:20:00Z,5\n2031-02-03T05:20:00Z,5\n")
    with pytest.raises(ArtifactError, match="2031-02-03T04:20:00Z is not on the grid of 60 minutes"):
        actual_trace(read_trace(path))
