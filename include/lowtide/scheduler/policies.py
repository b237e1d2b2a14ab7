"""The policies: immediate, threshold, percentile, window, interruptible. Each is a function from a context to a decision."""

from bisect import bisect_right
from collections.abc import Callable
from datetime import datetime, timedelta
from hashlib import blake2b
from math import inf, isnan
from typing import TYPE_CHECKING, NamedTuple

from lowtide.config.schema import PolicyName
from lowtide.grid.series import Block, IntensityCurve
from lowtide.records import IntensityKind, Reading
from lowtide.scheduler.types import Action, Decision, Planned, PolicyContext, Reason, at, utc
from lowtide.timeutil import format_duration

if TYPE_CHECKING:
    from lowtide.grid.planner import Plan, Plans, Task


def immediate(context: PolicyContext) -> Decision:
    """Start at once, whatever the grid does."""
    known = "" if context.outlook.reading is None else f"; {context.job.zone} has {context.figure()}"
    return context.decide(Action.RUN, Reason.IMMEDIATE, f"policy immediate: starting at once{known}")


# threshold, percentile: start once the grid is at or below a limit in g/kWh.


def threshold(context: PolicyContext) -> Decision:
    """Start when the intensity is at or below the threshold; without a usable reading, wait, then fall back."""
    limit = context.job.threshold_gco2eq_per_kwh
    if limit is None:  # Job rules it out; checked again for the types
        return without_signal(context, "no threshold")
    return _compare_with_limit(context, limit, f"the threshold of {limit:g} g/kWh")


def percentile(context: PolicyContext) -> Decision:
    """Start when the intensity is at or below a percentile of the last days; where that is unknown, fall back."""
    job, window = context.job, format_duration(context.job.percentile_window)
    trailing = context.outlook.trailing
    limit = None if trailing is None else trailing(job.percentile, job.percentile_window)
    if limit is None:  # also where less than half of the window is known
        return without_signal(context, f"too little is known of the last {window} in {job.zone} for a percentile")
    return _compare_with_limit(context, limit, f"{limit:.0f} g/kWh, percentile {job.percentile:g} of the last {window}")


def start_below_limit(context: PolicyContext) -> Decision | None:
    """Return a decision to start where the reading is below what every policy starts at; else None."""
    limit, reading = context.job.run_now_below_gco2eq_per_kwh, _usable_reading(context)
    if limit is None or reading is None or reading.carbon_intensity_gco2eq_per_kwh > limit:
        return None
    return _clean(context, reading, limit, f"the {limit:g} g/kWh below which any run starts")


def _compare_with_limit(context: PolicyContext, limit: float, words: str) -> Decision:
    """Start at or below the limit, else wait; start also where waiting can gain too little.

    :param limit: in g/kWh of the provider's signal.
    """
    reading = _usable_reading(context)
    if reading is None:
        return without_signal(context, f"no usable signal for {context.job.zone}")
    if reading.carbon_intensity_gco2eq_per_kwh <= limit:
        return _clean(context, reading, limit, words)
    dirty = f"{context.job.zone} has {context.figure()}, above {words}"
    return _not_worth_waiting(context, dirty) or context.wait(Reason.ABOVE_THRESHOLD, f"waiting: {dirty}", limit=limit)


def _usable_reading(context: PolicyContext) -> Reading | None:
    """Return the reading if its grams may be compared with a limit."""
    outlook, reading = context.outlook, context.outlook.reading
    if reading is None or not outlook.threshold_comparable:
        return None
    answered = outlook.failed_checks == 0 or reading.kind == IntensityKind.CACHED
    # a modelled reading of the right factor type counts only once the provider has had its chances
    is_last = not outlook.worth_retrying or outlook.failed_checks >= context.job.failure_budget
    return reading if answered or is_last else None


def _clean(context: PolicyContext, reading: Reading, limit: float, words: str) -> Decision:
    text = f"clean enough: {context.job.zone} has {context.figure()}, at or below {words}"
    start = context.now
    if context.job.jitter:  # the job's share of it, after the interval began
        start_s, end_s = reading.start.timestamp(), reading.end.timestamp()
        longest_s = min(context.job.jitter.total_seconds(), end_s - start_s)
        start = context.start_at(start_s + fraction(context.job.job_id) * longest_s)
    if start > context.now:
        text = f"waiting: {text}, but starts are spread over time"
        return context.wait(Reason.JITTER, text, plan=Planned(start), limit=limit)
    return context.decide(Action.RUN, Reason.BELOW_THRESHOLD, text, limit=limit)


def _not_worth_waiting(context: PolicyContext, dirty: str) -> Decision | None:
    """Return a decision to start where all until the latest finish is predicted, and no start in it gains enough."""
    if not context.job.minimum_gain_percent:
        return None
    view, _ = predicted(context)
    if view is None or not view.is_whole or view.contradiction:
        return None
    choice = choose(context, view)
    return None if choice is None or choice.is_worth_it else _settle(context, view, choice, f"{dirty}, but ")


# window: the best block before the deadline, by the prediction, else by the zone's usual order of hours.


_AT_ONCE_S = 1e-3
"""A start that is due sooner is due now: UNIX seconds in a float are exact to a microsecond."""


class Choice(NamedTuple):
    """The best block, the mean of a block that begins now in g/kWh, and whether the best is worth waiting for."""

    best: Block
    now_mean: float
    is_worth_it: bool


def window(context: PolicyContext, because: str = "") -> Decision:
    """Start at the beginning of the best block that is predicted.

    :param because: why another policy behaves as this one; ends in "; ".
    """
    view, why = predicted(context)
    if view is not None:
        choice = choose(context, view)
        if choice is not None:
            return _settle(context, view, choice, because)
        why = f"{view.words} does not cover a run that starts now{view.problems()}"
    return without_signal(context, because.removesuffix("; ") or why)


def without_signal(context: PolicyContext, why: str) -> Decision:
    """Wait for the provider while that may help, then use what is predicted or usual; without both, start at once.

    :param why: what is missing, as the beginning of a sentence.
    """
    outlook, budget = context.outlook, context.job.failure_budget
    if outlook.worth_retrying and 0 < outlook.failed_checks < budget:
        failed = f"{outlook.failed_checks} of {budget} failed checks before the fallback decides"
        return context.wait(Reason.SIGNAL_UNAVAILABLE, f"waiting: {why} ({failed})")
    for view in (predicted(context)[0], _usual_order(context)):
        choice = None if view is None else choose(context, view)
        if view is not None and choice is not None:
            return _settle(context, view, choice, f"{why}; ")
    text = f"{why} and no usual order of hours is known: starting at once"
    return context.decide(Action.RUN, Reason.SIGNAL_UNAVAILABLE, text)


def choose(context: PolicyContext, view: "ForecastView") -> Choice | None:
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
    return Choice(best, now_mean, best.start_s > now_s + _AT_ONCE_S and best.mean_gco2eq_per_kwh < least)


def _settle(context: PolicyContext, view: "ForecastView", choice: Choice, why: str) -> Decision:
    """Return the decision that a choice leads to.

    :param why: the reason to use this view, where it is not the policy's own; ends in "; " or "but ".
    """

    def block(start: datetime, saving_percent: float) -> Planned:
        return Planned(start, ((start, start + context.job.remaining),), saving_percent, view.source)

    if choice.is_worth_it:
        start, mean, now = context.start_at(choice.best.start_s), choice.best.mean_gco2eq_per_kwh, choice.now_mean
        share = 100.0 * (1.0 - mean / now)  # a block from now of 0 g/kWh leaves nothing to wait for
        better = f"{at(start)} is {share:.0f} % cleaner than now"
        if view.source is not None:
            better = (
                f"a start at {at(start)} has {mean:.0f} g/kWh, {share:.0f} % less than the {now:.0f} of a start now"
            )
        text = f"waiting: {why}by {view.words} {better}{view.problems()}"
        return context.wait(Reason.FORECAST_MINIMUM, text, plan=block(start, share))
    text = f"{why}by {view.words} no later start is better{_by_at_least(context)}{view.problems()}"
    if _is_spread(context, view):
        start = context.start_at(view.earliest_s)
        text = f"waiting: {text}, but starts are spread over time"
        return context.wait(Reason.JITTER, text, plan=block(start, 0.0))
    return context.decide(Action.RUN, Reason.FORECAST_MINIMUM, f"{text}: starting now", plan=block(context.now, 0.0))


def _is_spread(context: PolicyContext, view: "ForecastView") -> bool:
    has_time = context.latest_s is None or context.now_s < context.latest_s
    return view.earliest_s > context.now_s + _AT_ONCE_S and has_time


def _by_at_least(context: PolicyContext) -> str:
    gain = context.job.minimum_gain_percent
    return f" by at least {gain:g} %" if gain else ""


# interruptible: run in the cleanest slots before the deadline, pause in between where that saves more than it costs.


def interruptible(context: PolicyContext) -> Decision:
    """Start, run, pause or resume by the best plan; without a clear view, behave as window does."""
    if context.job.progress is not None and context.job.remaining <= timedelta(0):
        return _run_on(context, "it takes longer than expected")
    view, why = predicted(context)
    if view is None:
        return _as_window(context, why)
    if view.contradiction:
        return _as_window(context, f"{view.words} contradicts the grid: {view.contradiction}")
    from lowtide.grid.planner import plans  # numpy: only where a job may pause

    task = _task(context, view)
    found = plans(view.curve, task)
    if found is None:
        return _as_window(context, f"{view.words} does not cover a run that starts now{view.problems()}")
    return _follow(context, view, task, found)


def _as_window(context: PolicyContext, why: str) -> Decision:
    progress = context.job.progress
    if progress is not None and progress.running:
        return _run_on(context, why)
    return window(context, f"no pauses are planned, since {why}; ")


def _run_on(context: PolicyContext, why: str) -> Decision:
    return context.decide(Action.RUN, Reason.IN_PROGRESS, f"running on without a pause: {why}")


def _task(context: PolicyContext, view: "ForecastView") -> "Task":
    from lowtide.grid.planner import Task

    job, limits, progress, finish = context.job, context.job.limits, context.job.progress, context.job.latest_finish
    slice_done = None if progress is None else progress.slice_done
    return Task(
        now_s=context.now_s,
        end_s=view.curve.end_s if finish is None else min(view.curve.end_s, finish.timestamp()),
        work_s=job.remaining.total_seconds(),
        state="new" if progress is None else "running" if progress.running else "paused",
        minimum_slice_s=limits.minimum_slice.total_seconds(),
        resume_time_s=limits.resume_time.total_seconds(),
        resume_energy_s=limits.resume_energy.total_seconds(),
        pauses_left=max(0, limits.maximum_pauses - (0 if progress is None else progress.pauses)),
        slice_done_s=inf if slice_done is None else slice_done.total_seconds(),
    )


def _follow(context: PolicyContext, view: "ForecastView", task: "Task", found: "Plans") -> Decision:
    plan, straight = found.best, found.straight
    if plan.cost >= straight.cost * (1.0 - context.job.minimum_gain_percent / 100.0):
        plan = straight
    planned = _planned(context, view, plan, 0.0 if straight.cost == 0 else 100.0 * (1.0 - plan.cost / straight.cost))
    if plan.segments[0][0] > context.now_s + _AT_ONCE_S:
        return _run_later(context, view, planned)
    if task.state != "running" and _is_spread(context, view):
        text = f"waiting: by {view.words} it is best to run now{view.problems()}, but starts are spread over time"
        return context.wait(Reason.JITTER, text, plan=planned._replace(start=context.start_at(view.earliest_s)))
    verb = {"running": "running on", "paused": "resuming", "new": "starting now"}[task.state]
    best = f"no pause or later start is better{_by_at_least(context)}"
    if len(planned.segments) > 1:
        end, saving = planned.segments[-1][1], planned.saving_percent or 0.0
        best = f"a run in {len(planned.segments)} pieces until {at(end)} emits {saving:.0f} % less than one"
    text = f"{verb}: by {view.words} {best}{view.problems()}"
    return context.decide(Action.RUN, Reason.FORECAST_MINIMUM, text, plan=planned)


def _run_later(context: PolicyContext, view: "ForecastView", planned: Planned) -> Decision:
    progress = context.job.progress
    pausing = progress is not None and progress.running
    what, baseline = ("a start", "a start now") if progress is None else ("resuming", "running on from now")
    count = len(planned.segments)
    parts = "in one piece" if count == 1 else f"in {count} pieces"
    text = (
        f"{'pausing' if pausing else 'waiting'}: by {view.words} {what} at {at(planned.start or context.now)} {parts}"
        f" emits {planned.saving_percent or 0.0:.0f} % less than {baseline}{view.problems()}"
    )
    return context.wait(Reason.FORECAST_MINIMUM, text, plan=planned, action=Action.PAUSE if pausing else Action.WAIT)


def _planned(context: PolicyContext, view: "ForecastView", plan: "Plan", saving_percent: float) -> Planned:
    (first_start_s, first_end_s), *later = plan.segments
    segments = [(context.start_at(first_start_s), utc(first_end_s))]
    segments += [(utc(start_s), utc(end_s)) for start_s, end_s in later]
    return Planned(segments[0][0], tuple(segments), saving_percent, view.source)


# What a job knows of the hours to come, and what is wrong with it.


STALE = timedelta(hours=6)
"""A prediction older than this is reported as old: weather models are run every six hours."""
BRIDGED_S = 3 * 3600.0
"""A gap up to this is filled with the mean of its neighbours; the grid does not change much in three hours."""
CONTRADICTION_SHARE, CONTRADICTION_GCO2EQ_PER_KWH = 0.5, 30.0
"""How much a reading and the prediction for its time must differ, both at once, to contradict one another."""
_SLACK_S = 1.0


class ForecastView(NamedTuple):
    """A curve of the hours to come that covers now, as a job sees it."""

    curve: IntensityCurve
    earliest_s: float
    """No start before this: now, or later by the job's share of the jitter."""
    words: str
    source: str | None
    """None where the curve only orders the hours, and its grams are not used."""
    remarks: tuple[str, ...] = ()
    is_whole: bool = True
    """Whether it covers all until the latest finish."""
    contradiction: str = ""

    def problems(self) -> str:
        """Return what is wrong with it in brackets, or nothing."""
        remarks = (*self.remarks, self.contradiction) if self.contradiction else self.remarks
        return f" ({'; '.join(remarks)})" if remarks else ""


def predicted(context: PolicyContext) -> tuple[ForecastView | None, str]:
    """Return what the prediction shows, or None and in words why it shows nothing."""
    prediction = context.outlook.prediction
    if prediction is None:
        return None, f"no forecast for {context.job.zone}"
    words, whole = f"the forecast of {prediction.source}", prediction.curve
    curve = bridged(whole) if whole.has_gaps else whole
    if curve.value_at(context.now_s) is None:
        return None, f"{words} does not cover now, only from {at(utc(whole.start_s))} to {at(utc(whole.end_s))}"
    age, missing = context.now - prediction.issued_at, _missing(context, whole, curve)
    remarks = (*([f"it is {age / timedelta(hours=1):.0f} h old"] if age > STALE else []), *missing)
    contradiction = _contradiction(context, curve)
    curve, earliest_s = _with_jitter(context, curve)
    return ForecastView(curve, earliest_s, words, prediction.source, remarks, not missing, contradiction), ""


def _usual_order(context: PolicyContext) -> ForecastView | None:
    """Return the usual order of the hours as a view; None where it is not known for now."""
    shape = context.outlook.shape
    curve = IntensityCurve.from_readings(shape) if shape else None
    if curve is None or curve.value_at(context.now_s) is None:
        return None
    return ForecastView(*_with_jitter(context, curve), "the usual order of hours", None)


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


def _missing(context: PolicyContext, whole: IntensityCurve, curve: IntensityCurve) -> list[str]:
    """Return in words what a curve lacks of the time until the latest finish, as it came and with its gaps bridged."""
    finish = context.job.latest_finish or context.now
    missing = []
    if curve.end_s + _SLACK_S < finish.timestamp():
        missing.append(f"it ends at {at(utc(curve.end_s))}, before the latest finish {at(finish)}")
    if whole.has_gaps:
        start_s, end_s = max(context.now_s, whole.start_s), min(finish.timestamp(), whole.end_s)
        gap_s = end_s - start_s - sum(end - start for start, end, _ in whole.steps(start_s, end_s))
        if gap_s > _AT_ONCE_S:
            missing.append(f"{gap_s / 3600:.1f} h of it are missing")
    return missing


def _contradiction(context: PolicyContext, curve: IntensityCurve) -> str:
    """Return in words how the provider's reading and the prediction contradict one another; empty where they do not."""
    reading, outlook = context.outlook.reading, context.outlook
    if reading is None or not outlook.threshold_comparable:
        return ""
    if reading.kind in (IntensityKind.CACHED, IntensityKind.MODELLED) or not reading.covers(context.now):
        return ""
    expected, found = curve.value_at(context.now_s) or 0.0, reading.carbon_intensity_gco2eq_per_kwh
    apart = abs(expected - found)
    if apart <= CONTRADICTION_GCO2EQ_PER_KWH or apart <= CONTRADICTION_SHARE * max(expected, found):
        return ""
    return f"it says {expected:.0f} g/kWh for now, the reading {found:.0f}"


# Jitter spreads starts by the name of the job: many jobs that see one curve must not all start in its best minute.
#
# A job sees the curve later by its own share of ``jitter``, and starts in an interval only once that is as old. Nothing is
# remembered between checks: another process finds the same start.


def fraction(job_id: str) -> float:
    """Return a job's share of the jitter, in [0, 1); evenly spread over job ids, the same in every process."""
    return int.from_bytes(blake2b(job_id.encode(), digest_size=8).digest(), "big") / 2.0**64


def delayed(curve: IntensityCurve, by_s: float) -> IntensityCurve:
    """Return the curve moved later, its first value extended back to where it began, or further."""
    start_s, first_s = curve.start_s + by_s, curve.edges_s[1] - curve.start_s
    # a step of the length of the first where that is enough: a regular curve stays regular, and quick
    edges = (start_s - max(first_s, by_s), start_s, *(edge + by_s for edge in curve.edges_s[1:]))
    return IntensityCurve(edges, (curve.values[0], *curve.values))


def _with_jitter(context: PolicyContext, curve: IntensityCurve) -> tuple[IntensityCurve, float]:
    """Return the curve as the job sees it, and the earliest start.

    A curve that begins with the interval that covers now says nothing of what came before it, so it cannot be seen later by
    more than that interval.
    """
    if not context.job.jitter:
        return curve, context.now_s
    jitter_s = context.job.jitter.total_seconds()
    if curve.start_s > context.now_s - jitter_s:
        i = max(1, min(bisect_right(curve.edges_s, context.now_s), len(curve.values)))
        jitter_s = min(jitter_s, curve.edges_s[i] - curve.edges_s[i - 1])
    by_s = fraction(context.job.job_id) * jitter_s
    return delayed(curve, by_s), max(context.now_s, curve.start_s + by_s)


POLICIES: dict[PolicyName, Callable[[PolicyContext], Decision]] = {
    "immediate": immediate,
    "threshold": threshold,
    "percentile": percentile,
    "window": window,
    "interruptible": interruptible,
}
