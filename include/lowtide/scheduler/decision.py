"""The one decision function: sensor, trigger, operator, command line and backtest all call this."""

from dataclasses import replace
from datetime import datetime, timedelta

from lowtide.grid.outlook import Outlook
from lowtide.scheduler.job import Job
from lowtide.scheduler.policies import POLICIES, at_once
from lowtide.scheduler.types import Action, Decision, Look, Reason, at

_AT_LATEST_START = {"start": Action.RUN, "skip": Action.SKIP, "fail": Action.FAIL}
_WORDS = {Action.RUN: "starting", Action.SKIP: "skipping the run", Action.FAIL: "failing the run"}


def decide(job: Job, now: datetime, outlook: Outlook) -> Decision:
    """Return what to do with a job now. Pure: the same arguments give the same decision.

    A job that has begun is never skipped nor failed; only the policy ``interruptible`` pauses it.

    :param now: in policy time.
    :raises ValueError: ``now`` has no offset.
    """
    look = Look.of(job, now, outlook)
    if job.policy == "immediate":
        return POLICIES["immediate"](look)
    if job.progress is not None:
        return _in_progress(look)
    if look.latest_start is not None and look.now >= look.latest_start:
        return _at_latest_start(look, look.latest_start)
    return at_once(look) or POLICIES[job.policy](look)


def _in_progress(look: Look) -> Decision:
    if look.job.policy != "interruptible":
        text = f"running on: the policy {look.job.policy} does not pause a run that has begun"
        return look.decide(Action.RUN, Reason.IN_PROGRESS, text)
    if look.latest_start is not None and look.now >= look.latest_start and look.job.remaining > timedelta(0):
        text = f"running on: there is no time left for a pause before the deadline {at(look.job.deadline or look.now)}"
        return look.decide(Action.RUN, Reason.DEADLINE, text)
    decision = at_once(look) or POLICIES["interruptible"](look)
    if look.job.progress is not None and look.job.progress.running and decision.action is Action.WAIT:
        # only a start is spread over time; a job that runs is paused by a plan or not at all
        return look.decide(Action.RUN, Reason.IN_PROGRESS, f"running on: {decision.text}")
    return decision


def _at_latest_start(look: Look, latest_start: datetime) -> Decision:
    if _can_meet_deadline(look):
        policy = at_once(look) or POLICIES[look.job.policy](look)
        if _was_chosen(look, policy):  # clean, or planned, at the last moment: there is nothing to skip or to fail
            return policy
    action = _AT_LATEST_START[look.job.on_latest_start]
    return look.decide(action, Reason.DEADLINE, f"{_situation(look, latest_start)}: {_WORDS[action]}")


def _was_chosen(look: Look, policy: Decision) -> bool:
    if policy.action is not Action.RUN:
        return False
    planned = look.job.policy in ("window", "interruptible") and policy.forecast_source is not None
    return policy.reason is Reason.BELOW_THRESHOLD or (planned and policy.reason is Reason.FORECAST_MINIMUM)


def _can_meet_deadline(look: Look) -> bool:
    return look.job.deadline is not None and look.now + look.job.expected_duration <= look.job.deadline


def _situation(look: Look, latest_start: datetime) -> str:
    deadline = look.job.deadline
    if deadline is not None and look.now >= deadline:
        return f"the deadline {at(deadline)} has already passed"
    if deadline is not None and not _can_meet_deadline(look):
        return f"too late to meet the deadline {at(deadline)} if the run takes as long as expected"
    return f"the latest start {at(latest_start)} for the deadline {at(deadline or latest_start)} has been reached"


# How sure a decision's expected saving is, from what earlier predictions of its kind were worth.
#
# A step of its own: whoever shows a decision to a person takes it, the decision itself does not hang on it and stays quick.


def judged(decision: Decision, job: Job, outlook: Outlook) -> Decision:
    """Return the decision with the interval of its expected saving, in its figures and in its text.

    Unchanged where nothing is expected to be saved, where the plan has several pieces, and where past errors cannot tell.
    """
    prediction, start = outlook.prediction, decision.planned_start
    if prediction is None or prediction.past_errors is None or start is None or len(decision.segments) != 1:
        return decision
    if not decision.expected_saving_percent or decision.forecast_source != prediction.source:
        return decision
    interval = prediction.past_errors.saving_interval_percent(
        prediction.curve, decision.decided_at.timestamp(), start.timestamp(), job.remaining.total_seconds()
    )
    if interval is None:
        return decision
    low, high = interval
    text = f"{decision.text}; going by its past errors it saves {low:.0f} to {high:.0f} % in four of five cases"
    return replace(decision, expected_saving_interval_percent=interval, text=text)
