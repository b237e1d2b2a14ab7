"""What a policy would have saved on a grid's past: the same decide(), look by look, against perfect knowledge."""

from include.scheduler.backtest.combination import Combination
from include.scheduler.backtest.engine import Backtest, Line, run_backtest
from include.scheduler.backtest.figures import Outcomes, Pooled, pooled
from include.scheduler.backtest.files import Grid, read_grid
from include.scheduler.backtest.picture import check_picture_path, draw
from include.scheduler.backtest.plan import ForecastName, Plan
from include.scheduler.backtest.rules import Rules
from include.scheduler.backtest.runs import Run
from include.scheduler.backtest.starts_file import write_starts
from include.scheduler.backtest.truth import Truth

__all__ = [
    "Backtest",
    "Combination",
    "ForecastName",
    "Grid",
    "Line",
    "Outcomes",
    "Plan",
    "Pooled",
    "Rules",
    "Run",
    "Truth",
    "check_picture_path",
    "draw",
    "pooled",
    "read_grid",
    "run_backtest",
    "write_starts",
]
