"""The best contiguous block before the deadline: by the prediction, else by the usual order of the hours."""

from datetime import datetime
from typing import NamedTuple

from include.scheduler.curves.blocks import Block
from include.scheduler.outcome import Action, Decision, Reason
from include.scheduler.policies.look import Look, Planned, at
from include.scheduler.policies.view import View, predicted, usual_order

AT_ONCE_S = 1e-3
"""A start that is due sooner is due now: moments in UNIX seconds hold no less than a microsecond."""


class Choice(NamedTuple):
    """The best block, the mean of a block that begins now in g/kWh, and whether the best is worth waiting for."""

    best: Block
    now_mean: float
    is_worth_it: bool

    @property
    def saving_percent(self) -> float:
        """What the best block saves against starting now."""
        return 0.0 if self.now_mean == 0 else 100.0 * (1.0 - self.best.mean_gco2eq_per_kwh / self.now_mean)


def window(look: Look, because: str = "") -> Decision:
    """Start at the beginning of the best block that can be seen.

    :param because: why another policy behaves as this one; ends in "; ".
    """
    view, why = predicted(look)
    if view is not None:
        choice = choose(look, view)
        if choice is not None:
            return settle(look, view, choice, because)
        why = f"{view.words} does not cover a run that starts now{view.told()}"
    return without_signal(look, because.removesuffix("; ") or why)


def choose(look: Look, view: View) -> Choice | None:
    """Return the best block; None where the view does not cover a block that begins now."""
    job, now_s = look.job, look.now_s
    duration_s = job.remaining.total_seconds()
    now_mean = view.curve.mean_over(now_s, now_s + duration_s)
    if now_mean is None:
        return None
    latest_s = view.curve.end_s - duration_s if look.latest_s is None else look.latest_s
    best = None
    if latest_s > now_s:
        best = view.curve.best_start(min(view.earliest_s, latest_s), latest_s, duration_s)
    if best is None:
        best = Block(now_s, now_mean)
    least = now_mean * (1.0 - job.minimum_gain_percent / 100.0)
    return Choice(best, now_mean, best.start_s > now_s + AT_ONCE_S and best.mean_gco2eq_per_kwh < least)


def settle(look: Look, view: View, choice: Choice, why: str = "") -> Decision:
    """Return the decision that a choice leads to.

    :param why: what makes the policy go by this view, where that is not what it is for; ends in "; " or "but ".
    """
    job = look.job
    if choice.is_worth_it:
        start = look.moment(choice.best.start_s)
        plan = _block(look, view, start, choice.saving_percent)
        return look.wait(Reason.FORECAST_MINIMUM, f"waiting: {why}{_better(view, choice, start)}", plan=plan)
    gain = job.minimum_gain_percent
    text = f"{why}by {view.words} no later start is better{f' by at least {gain:g} %' if gain else ''}{view.told()}"
    if view.earliest_s > look.now_s + AT_ONCE_S and (look.latest_s is None or look.now_s < look.latest_s):
        start = look.moment(view.earliest_s)
        text = f"waiting: {text}, but starts are spread over time"
        return look.wait(Reason.JITTER, text, plan=_block(look, view, start, 0.0))
    return look.decide(
        Action.RUN, Reason.FORECAST_MINIMUM, f"{text}: starting now", plan=_block(look, view, look.now, 0.0)
    )


def without_signal(look: Look, why: str) -> Decision:
    """Wait for the provider while that may help, then go by what can be seen; with nothing to go by, start at once.

    :param why: what is missing, as the beginning of a sentence.
    """
    outlook = look.outlook
    if outlook.worth_retrying and 0 < outlook.failed_looks < look.job.failure_budget:
        failed = f"{outlook.failed_looks} of {look.job.failure_budget} failed looks before the fallback decides"
        return look.wait(Reason.SIGNAL_UNAVAILABLE, f"waiting: {why} ({failed})")
    for view in (predicted(look)[0], usual_order(look)):
        choice = None if view is None else choose(look, view)
        if view is not None and choice is not None:
            return settle(look, view, choice, f"{why}; ")
    text = f"{why} and no usual order of hours to go by: starting at once"
    return look.decide(Action.RUN, Reason.SIGNAL_UNAVAILABLE, text)


def _block(look: Look, view: View, start: datetime, saving_percent: float) -> Planned:
    return Planned(start, ((start, start + look.job.remaining),), saving_percent, view.source)


def _better(view: View, choice: Choice, start: datetime) -> str:
    share = choice.saving_percent
    if not view.has_grams:
        return f"by {view.words} {at(start)} is {share:.0f} % cleaner than now{view.told()}"
    mean, now = choice.best.mean_gco2eq_per_kwh, choice.now_mean
    start_told = f"a start at {at(start)} has {mean:.0f} g/kWh, {share:.0f} % less than the {now:.0f} of a start now"
    return f"by {view.words} {start_told}{view.told()}"
