"""What a job can see of the hours to come, and what is wrong with it."""

from bisect import bisect_right
from collections.abc import Callable
from datetime import datetime, timedelta
from hashlib import blake2b
from math import inf, isnan
from typing import TYPE_CHECKING, NamedTuple

from lowtide.config.schema import PolicyName
from lowtide.grid.outlook import Prediction
from lowtide.grid.series import Block, IntensityCurve
from lowtide.records import IntensityKind, Reading
from lowtide.scheduler.job import Job
from lowtide.scheduler.types import Action, Decision, Planned, PolicyContext, Reason, at, utc
from lowtide.timeutil import format_duration

# Spreading starts by the name of the job: many jobs that see one curve must not all begin in its best minute.
#
# A job sees the curve later by a share of ``jitter`` that is its own, and starts in an interval only once that is as old.
# Nothing is remembered between looks: whoever looks again, in another process, finds the same start.

if TYPE_CHECKING:
    from lowtide.grid.planner import Plan, Plans, State, Task


_BYTES = 8


def fraction(job_id: str) -> float:
    """Return a job's share of the jitter, in [0, 1); evenly spread over job ids, the same in every process."""
    return int.from_bytes(blake2b(job_id.encode(), digest_size=_BYTES).digest(), "big") / 256.0**_BYTES


def delay_s(job: Job, curve: IntensityCurve, now_s: float) -> float:
    """Return by how much later the job sees a curve.

    A curve that begins with the interval that holds now says nothing of what held before it, so it cannot be seen later
    by more than that interval.
    """
    jitter_s = job.jitter.total_seconds()
    if curve.start_s > now_s - jitter_s:
        i = max(1, min(bisect_right(curve.edges_s, now_s), len(curve.values)))
        jitter_s = min(jitter_s, curve.edges_s[i] - curve.edges_s[i - 1])
    return fraction(job.job_id) * jitter_s


def delayed(curve: IntensityCurve, by_s: float) -> IntensityCurve:
    """Return the curve moved later, its first value extended back to where it began, or further."""
    start_s, first_s = curve.start_s + by_s, curve.edges_s[1] - curve.start_s
    # a step of the length of the first where that is enough: a regular curve stays regular, and quick
    edges = (start_s - max(first_s, by_s), start_s, *(edge + by_s for edge in curve.edges_s[1:]))
    return IntensityCurve(edges, (curve.values[0], *curve.values))


def ready_s(job: Job, reading: Reading) -> float:
    """Return from when on (UNIX seconds) the job may start on a reading: its share of the jitter after the interval began."""
    start_s, end_s = reading.start.timestamp(), reading.end.timestamp()
    return start_s + fraction(job.job_id) * min(job.jitter.total_seconds(), end_s - start_s)


# Start at once, whatever the grid does.


def immediate(context: PolicyContext) -> Decision:
    """Start at once."""
    known = "" if context.outlook.reading is None else f"; {context.job.zone} has {context.figure()}"
    return context.decide(Action.RUN, Reason.IMMEDIATE, f"policy immediate: starting at once{known}")


STALE = timedelta(hours=6)
"""A prediction older than this is called so: weather models are run every six hours."""
BRIDGED_S = 3 * 3600.0
"""A gap up to this is taken for the mean of its neighbours; the grid does not do much in three hours."""
CONTRADICTION_SHARE, CONTRADICTION_GCO2EQ_PER_KWH = 0.5, 30.0
"""By how much a reading and the prediction for its moment must differ, both at once, to contradict one another."""
_SLACK_S = 1.0


class ForecastView(NamedTuple):
    """A curve of the hours to come that holds now, as a job sees it."""

    curve: IntensityCurve
    earliest_s: float
    """No start before this: now, or later by the job's share of the jitter."""
    words: str
    source: str | None
    """None where hours are ordered only, and no grams are believed."""
    has_grams: bool = False
    remarks: tuple[str, ...] = ()
    is_whole: bool = True
    """Whether it sees all until the latest finish."""
    contradiction: str = ""

    def told(self) -> str:
        """Return what is wrong with it in brackets, or nothing."""
        remarks = (*self.remarks, self.contradiction) if self.contradiction else self.remarks
        return f" ({'; '.join(remarks)})" if remarks else ""


def predicted(context: PolicyContext) -> tuple[ForecastView | None, str]:
    """Return what the prediction shows, or None and in words why it shows nothing."""
    prediction = context.outlook.prediction
    if prediction is None:
        return None, f"no forecast for {context.job.zone}"
    words = f"the forecast of {prediction.source}"
    curve = prediction.curve if not prediction.curve.has_gaps else bridged(prediction.curve)
    if curve.value_at(context.now_s) is None:
        return None, f"{words} does not cover now, only {_from_to(prediction.curve)}"
    remarks, is_whole = _remarks(context, prediction, curve)
    contradiction = _contradiction(context, prediction, curve)
    curve, earliest_s = _as_seen(context, curve)
    grams = prediction.threshold_comparable
    return ForecastView(curve, earliest_s, words, prediction.source, grams, remarks, is_whole, contradiction), ""


def usual_order(context: PolicyContext) -> ForecastView | None:
    """Return the usual order of the hours as a view; None where there is none for now."""
    shape = context.outlook.shape
    if not shape:
        return None
    curve = IntensityCurve.from_readings(shape)
    if curve.value_at(context.now_s) is None:
        return None
    curve, earliest_s = _as_seen(context, curve)
    return ForecastView(curve, earliest_s, "the usual order of hours", None)


def bridged(curve: IntensityCurve) -> IntensityCurve:
    """Return a curve whose short inner gaps are filled with the mean of the values around them."""
    values = list(curve.values)
    i = 0
    while i < len(values):
        j = i
        while j < len(values) and isnan(values[j]):
            j += 1
        if 0 < i < j < len(values) and curve.edges_s[j] - curve.edges_s[i] <= BRIDGED_S:
            values[i:j] = [(values[i - 1] + values[j]) / 2.0] * (j - i)
        i = j + 1
    return IntensityCurve(curve.edges_s, values)


def _as_seen(context: PolicyContext, curve: IntensityCurve) -> tuple[IntensityCurve, float]:
    if not context.job.jitter:
        return curve, context.now_s
    by_s = delay_s(context.job, curve, context.now_s)
    return delayed(curve, by_s), max(context.now_s, curve.start_s + by_s)


def _remarks(context: PolicyContext, prediction: Prediction, curve: IntensityCurve) -> tuple[tuple[str, ...], bool]:
    finish = context.job.latest_finish
    finish_s = context.now_s if finish is None else finish.timestamp()
    remarks = []
    if context.now - prediction.issued_at > STALE:
        hours = (context.now - prediction.issued_at) / timedelta(hours=1)
        remarks.append(f"it is {hours:.0f} h old")
    is_whole = curve.end_s + _SLACK_S >= finish_s
    if not is_whole and finish is not None:
        remarks.append(f"it ends at {_written(curve.end_s)}, before the latest finish {at(finish)}")
    if prediction.curve.has_gaps:
        gap_s = _gaps_s(prediction.curve, context.now_s, finish_s)
        if gap_s > 0:
            remarks.append(f"{gap_s / 3600:.1f} h of it are missing")
            is_whole = False
    return tuple(remarks), is_whole


def _gaps_s(curve: IntensityCurve, start_s: float, end_s: float) -> float:
    steps = zip(curve.edges_s, curve.edges_s[1:], curve.values, strict=False)
    return sum(max(0.0, min(b, end_s) - max(a, start_s)) for a, b, value in steps if isnan(value))


def _contradiction(context: PolicyContext, prediction: Prediction, curve: IntensityCurve) -> str:
    """Return in words how the provider's reading and the prediction contradict one another; empty where they do not."""
    reading, outlook = context.outlook.reading, context.outlook
    if reading is None or not prediction.threshold_comparable or not outlook.threshold_comparable:
        return ""
    if reading.kind in (IntensityKind.CACHED, IntensityKind.MODELLED) or not reading.covers(context.now):
        return ""
    expected, found = curve.value_at(context.now_s) or 0.0, reading.carbon_intensity_gco2eq_per_kwh
    apart = abs(expected - found)
    if apart <= CONTRADICTION_GCO2EQ_PER_KWH or apart <= CONTRADICTION_SHARE * max(expected, found):
        return ""
    return f"it says {expected:.0f} g/kWh for now, the reading {found:.0f}"


def _from_to(curve: IntensityCurve) -> str:
    return f"from {_written(curve.start_s)} to {_written(curve.end_s)}"


def _written(moment_s: float) -> str:
    return at(utc(moment_s))


# The best contiguous block before the deadline: by the prediction, else by the usual order of the hours.


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


def window(context: PolicyContext, because: str = "") -> Decision:
    """Start at the beginning of the best block that can be seen.

    :param because: why another policy behaves as this one; ends in "; ".
    """
    view, why = predicted(context)
    if view is not None:
        choice = choose(context, view)
        if choice is not None:
            return settle(context, view, choice, because)
        why = f"{view.words} does not cover a run that starts now{view.told()}"
    return without_signal(context, because.removesuffix("; ") or why)


def choose(context: PolicyContext, view: ForecastView) -> Choice | None:
    """Return the best block; None where the view does not cover a block that begins now."""
    job, now_s = context.job, context.now_s
    duration_s = job.remaining.total_seconds()
    now_mean = view.curve.mean_over(now_s, now_s + duration_s)
    if now_mean is None:
        return None
    latest_s = view.curve.end_s - duration_s if context.latest_s is None else context.latest_s
    best = None
    if latest_s > now_s:
        best = view.curve.best_start(min(view.earliest_s, latest_s), latest_s, duration_s)
    if best is None:
        best = Block(now_s, now_mean)
    least = now_mean * (1.0 - job.minimum_gain_percent / 100.0)
    return Choice(best, now_mean, best.start_s > now_s + AT_ONCE_S and best.mean_gco2eq_per_kwh < least)


def settle(context: PolicyContext, view: ForecastView, choice: Choice, why: str = "") -> Decision:
    """Return the decision that a choice leads to.

    :param why: what makes the policy go by this view, where that is not what it is for; ends in "; " or "but ".
    """
    job = context.job
    if choice.is_worth_it:
        start = context.start_at(choice.best.start_s)
        plan = _block(context, view, start, choice.saving_percent)
        return context.wait(Reason.FORECAST_MINIMUM, f"waiting: {why}{_better(view, choice, start)}", plan=plan)
    gain = job.minimum_gain_percent
    text = f"{why}by {view.words} no later start is better{f' by at least {gain:g} %' if gain else ''}{view.told()}"
    if view.earliest_s > context.now_s + AT_ONCE_S and (context.latest_s is None or context.now_s < context.latest_s):
        start = context.start_at(view.earliest_s)
        text = f"waiting: {text}, but starts are spread over time"
        return context.wait(Reason.JITTER, text, plan=_block(context, view, start, 0.0))
    return context.decide(
        Action.RUN, Reason.FORECAST_MINIMUM, f"{text}: starting now", plan=_block(context, view, context.now, 0.0)
    )


def without_signal(context: PolicyContext, why: str) -> Decision:
    """Wait for the provider while that may help, then go by what can be seen; with nothing to go by, start at once.

    :param why: what is missing, as the beginning of a sentence.
    """
    outlook = context.outlook
    if outlook.worth_retrying and 0 < outlook.failed_checks < context.job.failure_budget:
        failed = f"{outlook.failed_checks} of {context.job.failure_budget} failed looks before the fallback decides"
        return context.wait(Reason.SIGNAL_UNAVAILABLE, f"waiting: {why} ({failed})")
    for view in (predicted(context)[0], usual_order(context)):
        choice = None if view is None else choose(context, view)
        if view is not None and choice is not None:
            return settle(context, view, choice, f"{why}; ")
    text = f"{why} and no usual order of hours to go by: starting at once"
    return context.decide(Action.RUN, Reason.SIGNAL_UNAVAILABLE, text)


def _block(context: PolicyContext, view: ForecastView, start: datetime, saving_percent: float) -> Planned:
    return Planned(start, ((start, start + context.job.remaining),), saving_percent, view.source)


def _better(view: ForecastView, choice: Choice, start: datetime) -> str:
    share = choice.saving_percent
    if not view.has_grams:
        return f"by {view.words} {at(start)} is {share:.0f} % cleaner than now{view.told()}"
    mean, now = choice.best.mean_gco2eq_per_kwh, choice.now_mean
    start_told = f"a start at {at(start)} has {mean:.0f} g/kWh, {share:.0f} % less than the {now:.0f} of a start now"
    return f"by {view.words} {start_told}{view.told()}"


# The best slots before the deadline: run in the cleanest, pause in between where that saves more than it costs.


def interruptible(context: PolicyContext) -> Decision:
    """Begin, go on, pause or resume by the best plan; without a clear view, behave as window does."""
    if context.job.progress is not None and context.job.remaining <= timedelta(0):
        return _go_on(context, "it takes longer than expected")
    view, why = predicted(context)
    if view is None:
        return _as_window(context, why)
    if view.contradiction:
        return _as_window(context, f"{view.words} contradicts the grid: {view.contradiction}")
    task = _task(context, view)
    from lowtide.grid.planner import plans  # numpy: only where a job may pause

    found = plans(view.curve, task)
    if found is None:
        return _as_window(context, f"{view.words} does not cover a run that starts now{view.told()}")
    return _follow(context, view, task, found)


def _as_window(context: PolicyContext, why: str) -> Decision:
    progress = context.job.progress
    if progress is not None and progress.running:
        return _go_on(context, why)
    return window(context, f"no pauses are planned, since {why}; ")


def _go_on(context: PolicyContext, why: str) -> Decision:
    return context.decide(Action.RUN, Reason.IN_PROGRESS, f"running on without a pause: {why}")


def _task(context: PolicyContext, view: ForecastView) -> "Task":
    job, limits, progress = context.job, context.job.limits, context.job.progress
    finish = job.latest_finish
    from lowtide.grid.planner import Task

    state: State = "new" if progress is None else "running" if progress.running else "paused"
    slice_done = None if progress is None else progress.slice_done
    return Task(
        now_s=context.now_s,
        end_s=view.curve.end_s if finish is None else min(view.curve.end_s, finish.timestamp()),
        work_s=job.remaining.total_seconds(),
        state=state,
        minimum_slice_s=limits.minimum_slice.total_seconds(),
        resume_time_s=limits.resume_time.total_seconds(),
        resume_energy_s=limits.resume_energy.total_seconds(),
        pauses_left=max(0, limits.maximum_pauses - (0 if progress is None else progress.pauses)),
        slice_done_s=inf if slice_done is None else slice_done.total_seconds(),
    )


def _follow(context: PolicyContext, view: ForecastView, task: "Task", found: "Plans") -> Decision:
    plan, straight = found.best, found.straight
    if plan.cost >= straight.cost * (1.0 - context.job.minimum_gain_percent / 100.0):
        plan = straight
    saving = 0.0 if straight.cost == 0 else 100.0 * (1.0 - plan.cost / straight.cost)
    begins_s = plan.segments[0][0]
    planned = _planned(context, view, plan, saving)
    if begins_s > context.now_s + AT_ONCE_S:
        return _later(context, view, planned)
    if task.state != "running" and view.earliest_s > context.now_s + AT_ONCE_S and _has_time(context):
        start = context.start_at(view.earliest_s)
        text = f"waiting: by {view.words} it is best to run now{view.told()}, but starts are spread over time"
        return context.wait(Reason.JITTER, text, plan=planned._replace(start=start))
    verb = "running on" if task.state == "running" else "resuming" if task.state == "paused" else "starting now"
    told = f"{verb}: by {view.words} {_slots(planned, saving, context.job.minimum_gain_percent)}{view.told()}"
    return context.decide(Action.RUN, Reason.FORECAST_MINIMUM, told, plan=planned)


def _has_time(context: PolicyContext) -> bool:
    return context.latest_s is None or context.now_s < context.latest_s


def _later(context: PolicyContext, view: ForecastView, planned: Planned) -> Decision:
    progress, start = context.job.progress, planned.start or context.now
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
    return context.wait(Reason.FORECAST_MINIMUM, text, plan=planned, action=action)


def _slots(planned: Planned, saving: float, gain: float) -> str:
    if len(planned.segments) == 1:
        return f"no pause or later start is better{f' by at least {gain:g} %' if gain else ''}"
    return f"a run in {len(planned.segments)} pieces until {at(planned.segments[-1][1])} emits {saving:.0f} % less than one"


def _planned(context: PolicyContext, view: ForecastView, plan: "Plan", saving: float) -> Planned:
    moments = [(context.start_at(plan.segments[0][0]), utc(plan.segments[0][1]))]
    moments += [(utc(start_s), utc(end_s)) for start_s, end_s in plan.segments[1:]]
    return Planned(moments[0][0], tuple(moments), saving, view.source)


# Start once the grid is at or below a limit.


def threshold(context: PolicyContext) -> Decision:
    """Start when the intensity is at or below the threshold; without a usable reading, wait, then fall back."""
    limit = context.job.threshold_gco2eq_per_kwh
    if limit is None:  # Job rules it out; said once more for the types
        return without_signal(context, "no threshold")
    return compare_with_limit(context, limit, f"the threshold of {limit:g} g/kWh")


def start_below_limit(context: PolicyContext) -> Decision | None:
    """Return a decision to start where the reading is below what every policy starts at; else None."""
    limit, reading = context.job.run_now_below_gco2eq_per_kwh, usable_reading(context)
    if limit is None or reading is None or reading.carbon_intensity_gco2eq_per_kwh > limit:
        return None
    return _clean(context, reading, limit, f"the {limit:g} g/kWh below which any run starts")


def compare_with_limit(context: PolicyContext, limit: float, words: str) -> Decision:
    """Start at or below the limit, else wait; start also where waiting is seen to gain too little.

    :param limit: in g/kWh of the provider's signal.
    """
    reading = usable_reading(context)
    if reading is None:
        return without_signal(context, f"no usable signal for {context.job.zone}")
    if reading.carbon_intensity_gco2eq_per_kwh <= limit:
        return _clean(context, reading, limit, words)
    dirty = f"{context.job.zone} has {context.figure()}, above {words}"
    return _not_worth_waiting(context, dirty) or context.wait(Reason.ABOVE_THRESHOLD, f"waiting: {dirty}", limit=limit)


def usable_reading(context: PolicyContext) -> Reading | None:
    """Return the reading if its grams may be held against a limit."""
    outlook, reading = context.outlook, context.outlook.reading
    if reading is None or not outlook.threshold_comparable:
        return None
    answered = outlook.failed_checks == 0 or reading.kind == IntensityKind.CACHED
    # a modelled reading of the right factor type counts only once the provider has had its chances
    is_last = not outlook.worth_retrying or outlook.failed_checks >= context.job.failure_budget
    return reading if answered or is_last else None


def _clean(context: PolicyContext, reading: Reading, limit: float, words: str) -> Decision:
    text = f"clean enough: {context.job.zone} has {context.figure()}, at or below {words}"
    start = context.start_at(ready_s(context.job, reading)) if context.job.jitter else context.now
    if start > context.now:
        told = f"waiting: {text}, but starts are spread over time"
        return context.wait(Reason.JITTER, told, plan=Planned(start), limit=limit)
    return context.decide(Action.RUN, Reason.BELOW_THRESHOLD, text, limit=limit)


def _not_worth_waiting(context: PolicyContext, dirty: str) -> Decision | None:
    """Return a decision to start where all until the latest finish is seen, and no start in it gains enough."""
    if not context.job.minimum_gain_percent:
        return None
    view, _ = predicted(context)
    if view is None or not view.is_whole or view.contradiction:
        return None
    choice = choose(context, view)
    if choice is None or choice.is_worth_it:
        return None
    return settle(context, view, choice, f"{dirty}, but ")


# Start once the grid is as clean as in the cleanest part of the last days.


def percentile(context: PolicyContext) -> Decision:
    """Start at or below a percentile of the trailing window; where that is not known, fall back as threshold does."""
    job, trailing = context.job, context.outlook.trailing
    window = format_duration(job.percentile_window)
    limit = None if trailing is None else trailing.percentile(job.percentile, job.percentile_window)
    if limit is None:
        return without_signal(context, f"too little is known of the last {window} in {job.zone} for a percentile")
    return compare_with_limit(context, limit, f"{limit:.0f} g/kWh, percentile {job.percentile:g} of the last {window}")


# The policies: each one small function from what is known to a decision. A new policy is a file and a line below.


Policy = Callable[[PolicyContext], Decision]

POLICIES: dict[PolicyName, Policy] = {
    "immediate": immediate,
    "threshold": threshold,
    "percentile": percentile,
    "window": window,
    "interruptible": interruptible,
}
