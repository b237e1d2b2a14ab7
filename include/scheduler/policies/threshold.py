"""Start once the grid is at or below a limit."""

from include.records import IntensityKind, Reading
from include.scheduler.jitter import ready_s
from include.scheduler.outcome import Action, Decision, Reason
from include.scheduler.policies.look import Look, Planned
from include.scheduler.policies.view import predicted
from include.scheduler.policies.window import choose, settle, without_signal


def threshold(look: Look) -> Decision:
    """Start when the intensity is at or below the threshold; without a usable reading, wait, then fall back."""
    limit = look.job.threshold_gco2eq_per_kwh
    if limit is None:  # Job rules it out; said once more for the types
        return without_signal(look, "no threshold")
    return hold_against(look, limit, f"the threshold of {limit:g} g/kWh")


def at_once(look: Look) -> Decision | None:
    """Return a decision to start where the reading is below what every policy starts at; else None."""
    limit, reading = look.job.run_now_below_gco2eq_per_kwh, usable_reading(look)
    if limit is None or reading is None or reading.carbon_intensity_gco2eq_per_kwh > limit:
        return None
    return _clean(look, reading, limit, f"the {limit:g} g/kWh below which any run starts")


def hold_against(look: Look, limit: float, words: str) -> Decision:
    """Start at or below the limit, else wait; start also where waiting is seen to gain too little.

    :param limit: in g/kWh of the provider's signal.
    """
    reading = usable_reading(look)
    if reading is None:
        return without_signal(look, f"no usable signal for {look.job.zone}")
    if reading.carbon_intensity_gco2eq_per_kwh <= limit:
        return _clean(look, reading, limit, words)
    dirty = f"{look.job.zone} has {look.figure()}, above {words}"
    return _not_worth_waiting(look, dirty) or look.wait(Reason.ABOVE_THRESHOLD, f"waiting: {dirty}", limit=limit)


def usable_reading(look: Look) -> Reading | None:
    """Return the reading if its grams may be held against a limit."""
    outlook, reading = look.outlook, look.outlook.reading
    if reading is None or not outlook.threshold_comparable:
        return None
    answered = outlook.failed_looks == 0 or reading.kind == IntensityKind.CACHED
    # a modelled reading of the right factor type counts only once the provider has had its chances
    is_last = not outlook.worth_retrying or outlook.failed_looks >= look.job.failure_budget
    return reading if answered or is_last else None


def _clean(look: Look, reading: Reading, limit: float, words: str) -> Decision:
    text = f"clean enough: {look.job.zone} has {look.figure()}, at or below {words}"
    start = look.moment(ready_s(look.job, reading)) if look.job.jitter else look.now
    if start > look.now:
        told = f"waiting: {text}, but starts are spread over time"
        return look.wait(Reason.JITTER, told, plan=Planned(start), limit=limit)
    return look.decide(Action.RUN, Reason.BELOW_THRESHOLD, text, limit=limit)


def _not_worth_waiting(look: Look, dirty: str) -> Decision | None:
    """Return a decision to start where all until the latest finish is seen, and no start in it gains enough."""
    if not look.job.minimum_gain_percent:
        return None
    view, _ = predicted(look)
    if view is None or not view.is_whole or view.contradiction:
        return None
    choice = choose(look, view)
    if choice is None or choice.is_worth_it:
        return None
    return settle(look, view, choice, f"{dirty}, but ")
