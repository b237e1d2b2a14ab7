"""More processes make no difference but to the time it takes."""

import os

from lowtide.scheduler.backtest.results import run_backtest
from lowtide.scheduler.backtest.simulate import worker_count

from tests.support.backtests import config, grid, hours
from tests.support.traces import grid_like


def test_two_processes_find_the_same_starts_as_one() -> None:
    seen = grid(grid_like(25), past=grid_like(60, seed=3))
    wanted = config(
        policies=("window", "interruptible"), durations=hours(1, 3), slacks=hours(6, 40), forecast="history"
    )
    one, two = (run_backtest(wanted, seen, workers=count) for count in (1, 2))
    assert [line.runs for line in one.lines] == [line.runs for line in two.lines]
    assert [line.result for line in one.lines] == [line.result for line in two.lines]


def test_processes_are_begun_only_for_many_jobs() -> None:
    assert worker_count(360) == 1
    assert worker_count(4_800) == min(2, len(os.sched_getaffinity(0)))


def test_there_are_never_more_processes_than_nights() -> None:
    (line,) = run_backtest(config(), grid([100.0] * 40), workers=200).lines
    assert line.result["jobs"] == 1
