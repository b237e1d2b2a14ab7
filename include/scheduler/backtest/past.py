"""Where a backtest's outlooks come from: the days before, forecasts from them alone, or perfect knowledge."""

from datetime import datetime

from include.scheduler.backtest.files import Grid
from include.scheduler.backtest.jobs import room_s
from include.scheduler.backtest.outlooks import Predict, Recall
from include.scheduler.backtest.plan import Plan
from include.scheduler.backtest.truth import Truth
from include.scheduler.curves.curve import IntensityCurve
from include.scheduler.forecast import HistoryForecaster, Series
from include.scheduler.outlooks.foresight import prediction_of
from include.scheduler.outlooks.outlook import Prediction
from include.scheduler.outlooks.trailing import TrailingCurve


def recalling(grid: Grid) -> Recall:
    """Return what tells the window before a step of the trace; only what had ended by then is in it."""
    step_s = grid.truth.step_s
    edges = [grid.known_from_s + i * step_s for i in range(len(grid.known) + 1)]
    curve = IntensityCurve(edges, grid.known.tolist())
    return lambda step_start: TrailingCurve(curve, step_start.timestamp())


def perfect(plan: Plan, truth: Truth) -> Predict:
    """Return what foretells the trace itself, as far as the longest job can look."""
    ahead = int(max(room_s(plan, combination) for combination in plan.combinations()) // truth.step_s) + 2
    behind = int(plan.rules.jitter.total_seconds() // truth.step_s) + 1  # a job with jitter sees the curve later

    def predict(step_start: datetime) -> Prediction:
        row = truth.row_of(step_start.timestamp())
        first, last = max(0, row - behind), min(len(truth.values), row + ahead)
        edges = [truth.start_s + i * truth.step_s for i in range(first, last + 1)]
        curve = IntensityCurve(edges, truth.values[first:last].tolist())
        return Prediction(curve=curve, source="the trace itself", issued_at=step_start)

    return predict


def predicting(plan: Plan, grid: Grid) -> Predict:
    """Return what forecasts from history alone: the same forecaster as in production, on the same values."""
    series = Series(start_s=round(grid.known_from_s), step_s=round(grid.truth.step_s), values=grid.known)
    forecaster = HistoryForecaster(series, plan.timezone, history_limit=plan.history_limit)
    return lambda step_start: prediction_of(forecaster, step_start)
