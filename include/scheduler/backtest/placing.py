"""Places the jobs of one process: opens what they see of the grid, and runs each of them."""

from datetime import timedelta

from include.scheduler.backtest.combination import Combination
from include.scheduler.backtest.files import Grid
from include.scheduler.backtest.outlooks import Outlooks
from include.scheduler.backtest.past import perfect, predicting, recalling
from include.scheduler.backtest.plan import Plan
from include.scheduler.backtest.running import as_planned_at_submission, in_one_piece, in_slices
from include.scheduler.backtest.runs import Run


class Placing:
    """Runs jobs one after the other; their outlooks are shared, and dropped once no later job can ask for them."""

    def __init__(self, plan: Plan, grid: Grid) -> None:
        self._plan = plan
        self._poll = plan.poll or timedelta(seconds=grid.truth.step_s)
        recall = recalling(grid)
        predict = perfect(plan, grid.truth) if plan.forecast == "perfect" else predicting(plan, grid)
        self._foretold = Outlooks(grid.truth, plan.zone, predict=predict, recall=recall)
        self._plain = Outlooks(grid.truth, plan.zone, predict=None, recall=recall)

    def place(self, combination: Combination, submitted_s: float) -> Run:
        """Return the run of one job."""
        plan = self._plan
        job = plan.rules.job(plan.zone, combination, submitted_s, self._poll)
        sight = self._foretold if job.wanted.prediction else self._plain
        run = as_planned_at_submission if plan.decide_once else in_slices if job.pausing else in_one_piece
        segments = run(job, sight, combination.duration_s * plan.duration_error)
        deadline_s = submitted_s + combination.duration_s + combination.slack_s
        return Run(submitted_s, deadline_s, segments)

    def forget_before(self, moment_s: float) -> None:
        """Drop what was known before a moment, and is not asked for again."""
        self._foretold.forget_before(moment_s)
        self._plain.forget_before(moment_s)
