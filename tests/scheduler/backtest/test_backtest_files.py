"""Traces and their past: any order of files, any resolution, and what contradicts itself is refused."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from lowtide.errors import ArtifactError
from lowtide.scheduler.backtest.trace import read_grid

from tests.support.traces import SPRING, write_trace

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def hourly(path: Path, day: int, values: list[float]) -> Path:
    return write_trace(path, values, start=SPRING + day * DAY)


def test_histories_in_any_order_stand_before_the_trace_and_gaps_stay_gaps(tmp_path: Path) -> None:
    trace = hourly(tmp_path / "DE_2031.csv", 0, [1.0] * 24)
    near, far = hourly(tmp_path / "near.csv.gz", -1, [2.0] * 24), hourly(tmp_path / "far.csv", -3, [3.0] * 24)
    one, other = (read_grid(trace, files) for files in ([near, far], [far, near]))
    assert np.array_equal(one.known, other.known, equal_nan=True)
    assert one.known_from_s == (SPRING - 3 * DAY).timestamp()
    assert one.known[:24].tolist() == [3.0] * 24
    assert np.isnan(one.known[24:48]).all()
    assert one.known[48:].tolist() == [2.0] * 24 + [1.0] * 24
    assert one.notes == ()


def test_without_a_history_only_the_trace_is_known(tmp_path: Path) -> None:
    grid = read_grid(hourly(tmp_path / "DE.csv", 0, [4.0] * 5), [])
    assert grid.known.tolist() == [4.0] * 5
    assert grid.known_from_s == grid.actual.start_s


def test_an_hourly_history_holds_for_each_quarter_of_a_quarter_hourly_trace(tmp_path: Path) -> None:
    trace = write_trace(tmp_path / "DE.csv", [9.0] * 8, step=HOUR / 4)
    grid = read_grid(trace, [write_trace(tmp_path / "h.csv", [1.0, 2.0], start=SPRING - 2 * HOUR)])
    assert grid.known.tolist() == [1.0] * 4 + [2.0] * 4 + [9.0] * 8


def test_half_hours_are_averaged_for_an_hourly_trace_and_half_an_hour_alone_says_nothing(tmp_path: Path) -> None:
    trace = hourly(tmp_path / "DE.csv", 0, [9.0] * 3)
    history = write_trace(
        tmp_path / "h.csv", [1.0, 3.0, 5.0, 7.0], start=SPRING - 2 * HOUR, step=HOUR / 2, without=(3,)
    )
    known = read_grid(trace, [history]).known
    assert known[0] == 2.0
    assert len(known) == 4 or np.isnan(known[1])


def test_history_rows_within_the_trace_are_left_out_and_reported(tmp_path: Path) -> None:
    trace = hourly(tmp_path / "DE.csv", 0, [1.0] * 24)
    grid = read_grid(trace, [hourly(tmp_path / "h.csv", -1, [2.0] * 30)])
    assert grid.known.tolist() == [2.0] * 24 + [1.0] * 24
    (note,) = grid.notes
    assert "6 rows" in note


@pytest.mark.parametrize(
    ("histories", "told"),
    [
        ([(1, [1.0, 1.0])], "nothing in it is older than the trace DE.csv"),
        ([(-2, [1.0, 1.0]), (-2, [1.0, 5.0])], "overlap and do not agree"),
    ],
)
def test_a_history_that_cannot_be_is_refused(
    histories: list[tuple[int, list[float]]], told: str, tmp_path: Path
) -> None:
    trace = hourly(tmp_path / "DE.csv", 0, [1.0] * 24)
    files = [hourly(tmp_path / f"h{i}.csv", day, values) for i, (day, values) in enumerate(histories)]
    with pytest.raises(ArtifactError, match=told):
        read_grid(trace, files)


def test_histories_that_overlap_and_agree_are_one(tmp_path: Path) -> None:
    trace = hourly(tmp_path / "DE.csv", 0, [1.0] * 2)
    files = [hourly(tmp_path / f"h{i}.csv", -1, [2.0] * 24) for i in range(2)]
    assert read_grid(trace, files).known.tolist() == [2.0] * 24 + [1.0] * 2


def test_a_missing_file_is_looked_for_where_it_was_named(tmp_path: Path) -> None:
    trace = hourly(tmp_path / "DE.csv", 0, [1.0] * 2)
    for arguments, told in (((tmp_path / "x.csv", []), "--trace"), ((trace, [tmp_path / "x.csv"]), "--history")):
        with pytest.raises(ArtifactError, match=told):
            read_grid(*arguments)
