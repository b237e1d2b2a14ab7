"""The best slots before the deadline: run in the cleanest, pause in between where that saves more than it costs."""

from datetime import timedelta
from math import inf

from include.scheduler.curves.segments import Plan, Plans, State, Task, plans
from include.scheduler.outcome import Action, Decision, Reason
from include.scheduler.policies.look import Look, Planned, at
from include.scheduler.policies.view import View, predicted
from include.scheduler.policies.window import AT_ONCE_S, window


def interruptible(look: Look) -> Decision:
    """Begin, go on, pause or resume by the best plan; without a clear view, behave as window does."""
    if look.job.progress is not None and look.job.remaining <= timedelta(0):
        return _go_on(look, "it takes longer than expected")
    view, why = predicted(look)
    if view is None:
        return _as_window(look, why)
    if view.contradiction:
        return _as_window(look, f"{view.words} contradicts the grid: {view.contradiction}")
    task = _task(look, view)
    found = plans(view.curve, task)
    if found is None:
        return _as_window(look, f"{view.words} does not cover a run that starts now{view.told()}")
    return _follow(look, view, task, found)


def _as_window(look: Look, why: str) -> Decision:
    progress = look.job.progress
    if progress is not None and progress.running:
        return _go_on(look, why)
    return window(look, f"no pauses are planned, since {why}; ")


def _go_on(look: Look, why: str) -> Decision:
    return look.decide(Action.RUN, Reason.IN_PROGRESS, f"running on without a pause: {why}")


def _task(look: Look, view: View) -> Task:
    job, limits, progress = look.job, look.job.limits, look.job.progress
    finish = job.latest_finish
    state: State = "new" if progress is None else "running" if progress.running else "paused"
    slice_done = None if progress is None else progress.slice_done
    return Task(
        now_s=look.now_s,
        end_s=view.curve.end_s if finish is None else min(view.curve.end_s, finish.timestamp()),
        work_s=job.remaining.total_seconds(),
        state=state,
        minimum_slice_s=limits.minimum_slice.total_seconds(),
        resume_time_s=limits.resume_time.total_seconds(),
        resume_energy_s=limits.resume_energy.total_seconds(),
        pauses_left=max(0, limits.maximum_pauses - (0 if progress is None else progress.pauses)),
        slice_done_s=inf if slice_done is None else slice_done.total_seconds(),
    )


def _follow(look: Look, view: View, task: Task, found: Plans) -> Decision:
    plan, straight = found.best, found.straight
    if plan.cost >= straight.cost * (1.0 - look.job.minimum_gain_percent / 100.0):
        plan = straight
    saving = 0.0 if straight.cost == 0 else 100.0 * (1.0 - plan.cost / straight.cost)
    begins_s = plan.segments[0][0]
    planned = _planned(look, view, plan, saving)
    if begins_s > look.now_s + AT_ONCE_S:
        return _later(look, view, planned)
    if task.state != "running" and view.earliest_s > look.now_s + AT_ONCE_S and _has_time(look):
        start = look.moment(view.earliest_s)
        text = f"waiting: by {view.words} it is best to run now{view.told()}, but starts are spread over time"
        return look.wait(Reason.JITTER, text, plan=planned._replace(start=start))
    verb = "running on" if task.state == "running" else "resuming" if task.state == "paused" else "starting now"
    told = f"{verb}: by {view.words} {_slots(planned, saving, look.job.minimum_gain_percent)}{view.told()}"
    return look.decide(Action.RUN, Reason.FORECAST_MINIMUM, told, plan=planned)


def _has_time(look: Look) -> bool:
    return look.latest_s is None or look.now_s < look.latest_s


def _later(look: Look, view: View, planned: Planned) -> Decision:
    progress, start = look.job.progress, planned.start or look.now
    share = planned.saving_percent or 0.0
    action, verb, what = Action.WAIT, "waiting", "a start"
    if progress is not None:
        what = "going on"
        if progress.running:
            action, verb = Action.PAUSE, "pausing"
    count = len(planned.segments)
    parts = "in one piece" if count == 1 else f"in {count} pieces"
    baseline = "a start now" if progress is None else "running on from now"
    text = (
        f"{verb}: by {view.words} {what} at {at(start)} {parts} emits {share:.0f} % less than {baseline}{view.told()}"
    )
    return look.wait(Reason.FORECAST_MINIMUM, text, plan=planned, action=action)


def _slots(planned: Planned, saving: float, gain: float) -> str:
    if len(planned.segments) == 1:
        return f"no pause or later start is better{f' by at least {gain:g} %' if gain else ''}"
    return f"a run in {len(planned.segments)} pieces until {at(planned.segments[-1][1])} emits {saving:.0f} % less than one"


def _planned(look: Look, view: View, plan: Plan, saving: float) -> Planned:
    moments = [(look.moment(plan.segments[0][0]), look.exactly(plan.segments[0][1]))]
    moments += [(look.exactly(start_s), look.exactly(end_s)) for start_s, end_s in plan.segments[1:]]
    return Planned(moments[0][0], tuple(moments), saving, view.source)
