"""Nothing that a policy decides may depend on what had not happened yet."""

import random
from datetime import UTC, datetime, timedelta

from lowtide.grid.outlook import Outlook
from lowtide.scheduler.backtest.results import run_backtest
from lowtide.scheduler.backtest.simulate import Knowledge, SimConfig
from lowtide.scheduler.backtest.trace import Grid

from tests.support.backtests import HOUR_S, POLICIES, config, grid, hours
from tests.support.traces import grid_like

DAYS, CUT = 12, 7 * 24 + 5
VALUES, PAST = grid_like(DAYS), grid_like(40, seed=5)


def scrambled(values: list[float], seed: int) -> list[float]:
    tail = values[CUT:]
    random.Random(seed).shuffle(tail)
    return [*values[:CUT], *(1.7 * value for value in tail)]


def decided_before(wanted: SimConfig, seen: Grid, cut_s: float) -> list[tuple[object, ...]]:
    """All that ran before a time, as far as it had been decided by then."""
    backtest = run_backtest(wanted, seen)
    return [
        (line.scenario, run.submitted_s, start, min(end, cut_s))
        for line in backtest.lines
        for run in line.runs
        for start, end in run.segments
        if start < cut_s
    ]


def test_scrambling_the_future_changes_no_decision_before_it() -> None:
    wanted = config(
        policies=POLICIES, durations=hours(1, 5.5), slacks=hours(6, 30), submit="random", forecast="history",
        threshold_gco2eq_per_kwh=350.0, minimum_gain_percent=1.0,
        run_now_below_gco2eq_per_kwh=150.0, jitter=timedelta(minutes=30),
    )  # fmt: skip
    seen = grid(VALUES, past=PAST)
    cut_s = seen.actual.start_s + CUT * HOUR_S
    before = decided_before(wanted, seen, cut_s)
    assert len(before) > 4 * 6
    for seed in (1, 2):
        assert decided_before(wanted, grid(scrambled(VALUES, seed), past=PAST), cut_s) == before


def test_the_check_would_notice_a_policy_that_knows_the_future() -> None:
    wanted = config(slacks=hours(6, 30), forecast="perfect")
    seen, other = grid(VALUES), grid(scrambled(VALUES, 1))
    cut_s = seen.actual.start_s + CUT * HOUR_S
    assert decided_before(wanted, seen, cut_s) != decided_before(wanted, other, cut_s)


def test_at_the_start_of_a_step_the_step_itself_is_not_known_to_forecast_and_window() -> None:
    one, other = (grid([*VALUES[:CUT], first, *VALUES[CUT + 1 :]], past=PAST) for first in (1.0, 999.0))
    time = datetime.fromtimestamp(one.actual.start_s + CUT * HOUR_S, UTC)
    wanted = config(forecast="history")
    first, second = (Knowledge(wanted, seen).outlook(time, with_prediction=True) for seen in (one, other))
    assert first.prediction is not None
    assert second.prediction is not None
    assert first.prediction.curve.values == second.prediction.curve.values
    for percent in (1, 50, 99):
        known = {_trailing(outlook, percent) for outlook in (first, second)}
        assert len(known) == 1
        assert None not in known


def _trailing(outlook: Outlook, percent: float) -> float | None:
    assert outlook.trailing is not None
    return outlook.trailing(percent, timedelta(days=3))
