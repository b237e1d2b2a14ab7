"""The one decision function: sensor, trigger, operator, command line and backtest all call this."""

from dataclasses import replace
from datetime import datetime, timedelta

from lowtide.grid.outlook import Outlook
from lowtide.scheduler.job import Job
from lowtide.scheduler.policies import POLICIES, start_below_limit
from lowtide.scheduler.types import Action, Decision, PolicyContext, Reason, at

_AT_LATEST_START = {"start": Action.RUN, "skip": Action.SKIP, "fail": Action.FAIL}
_WORDS = {Action.RUN: "starting", Action.SKIP: "skipping the run", Action.FAIL: "failing the run"}


def decide(job: Job, now: datetime, outlook: Outlook) -> Decision:
    """Return what to do with a job now. Pure: the same arguments give the same decision.

    A job that has started is neither skipped nor failed; only the policy ``interruptible`` pauses it.

    :param now: in policy time.
    :raises ValueError: ``now`` has no offset.
    """
    context = PolicyContext(job, now, outlook)
    if job.policy == "immediate":
        return POLICIES["immediate"](context)
    if job.progress is not None:
        return _in_progress(context)
    if _is_latest_start(context):
        return _at_latest_start(context)
    return start_below_limit(context) or POLICIES[job.policy](context)


def _in_progress(context: PolicyContext) -> Decision:
    if context.job.policy != "interruptible":
        text = f"continuing: policy {context.job.policy} does not pause a run that has started"
        return context.decide(Action.RUN, Reason.IN_PROGRESS, text)
    if _is_latest_start(context) and context.job.remaining > timedelta(0):
        text = f"continuing: there is no time left for a pause before the deadline {at(context.job.deadline or context.now)}"
        return context.decide(Action.RUN, Reason.DEADLINE, text)
    decision = start_below_limit(context) or POLICIES["interruptible"](context)
    if context.job.progress is not None and context.job.progress.running and decision.action is Action.WAIT:
        # jitter delays starts only: a job that runs is paused by a plan or not at all
        return context.decide(Action.RUN, Reason.IN_PROGRESS, f"continuing: {decision.text}")
    return decision


def _is_latest_start(context: PolicyContext) -> bool:
    return context.latest_start is not None and context.now >= context.latest_start


def _at_latest_start(context: PolicyContext) -> Decision:
    if _can_meet_deadline(context):
        policy = start_below_limit(context) or POLICIES[context.job.policy](context)
        if _was_chosen(context, policy):  # clean, or planned, at the latest start: nothing to skip or to fail
            return policy
    action = _AT_LATEST_START[context.job.on_latest_start]
    return context.decide(action, Reason.DEADLINE, f"{_situation(context)}: {_WORDS[action]}")


def _was_chosen(context: PolicyContext, policy: Decision) -> bool:
    if policy.action is not Action.RUN:
        return False
    planned = context.job.policy in ("window", "interruptible") and policy.forecast_source is not None
    return policy.reason is Reason.BELOW_THRESHOLD or (planned and policy.reason is Reason.FORECAST_MINIMUM)


def _can_meet_deadline(context: PolicyContext) -> bool:
    return context.job.deadline is not None and context.now + context.job.expected_duration <= context.job.deadline


def _situation(context: PolicyContext) -> str:
    deadline, latest_start = context.job.deadline or context.now, context.latest_start or context.now
    if context.now >= deadline:
        return f"the deadline {at(deadline)} has already passed"
    if not _can_meet_deadline(context):
        return f"too late to meet the deadline {at(deadline)} if the run takes as long as expected"
    return f"the latest start {at(latest_start)} for the deadline {at(deadline)} has been reached"


def with_confidence_interval(decision: Decision, job: Job, outlook: Outlook) -> Decision:
    """Return the decision with the 80 % interval of its expected saving, in its figures and in its text.

    Unchanged where no saving is expected, where the plan has several pieces, and where too few past errors are known. It is
    not part of ``decide``: it is needed only where a decision is shown, and takes longer.
    """
    prediction, start = outlook.prediction, decision.planned_start
    if prediction is None or prediction.past_errors is None or start is None or len(decision.segments) != 1:
        return decision
    if not decision.expected_saving_percent or decision.forecast_source != prediction.source:
        return decision
    errors = prediction.past_errors(decision.decided_at)
    times_s = decision.decided_at.timestamp(), start.timestamp(), job.remaining.total_seconds()
    interval = None if errors is None else errors.saving_interval_percent(prediction.curve, *times_s)
    if interval is None:
        return decision
    low, high = interval
    text = f"{decision.text}; expected saving {low:.0f} to {high:.0f} % (80 % interval from past forecast errors)"
    return replace(decision, expected_saving_interval_percent=interval, text=text)
