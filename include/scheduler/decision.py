"""The one decision function: sensor, trigger, operator, command line and backtest all call this."""

from datetime import datetime

from include.moments import as_utc
from include.scheduler.job import Job
from include.scheduler.outcome import Action, Decision, Reason
from include.scheduler.outlook import Outlook
from include.scheduler.policies import POLICIES, Look, at

__all__ = ["Action", "Decision", "Reason", "decide"]

_AT_LATEST_START = {"start": Action.RUN, "skip": Action.SKIP, "fail": Action.FAIL}
_WORDS = {Action.RUN: "starting", Action.SKIP: "skipping the run", Action.FAIL: "failing the run"}


def decide(job: Job, now: datetime, outlook: Outlook) -> Decision:
    """Return what to do with a job now. Pure: the same arguments give the same decision.

    :param now: in policy time.
    :raises ValueError: ``now`` has no offset.
    """
    look = Look(job=job, now=as_utc(now), outlook=outlook)
    if job.policy != "immediate" and job.latest_start is not None and look.now >= job.latest_start:
        return _at_latest_start(look, job.latest_start)
    return POLICIES[job.policy](look)


def _at_latest_start(look: Look, latest_start: datetime) -> Decision:
    if _can_meet_deadline(look):
        policy = POLICIES[look.job.policy](look)
        if policy.reason is Reason.BELOW_THRESHOLD:  # clean at the last moment: there is nothing to skip or to fail
            return policy
    action = _AT_LATEST_START[look.job.on_latest_start]
    return look.decide(action, Reason.DEADLINE, f"{_situation(look, latest_start)}: {_WORDS[action]}")


def _can_meet_deadline(look: Look) -> bool:
    return look.job.deadline is not None and look.now + look.job.expected_duration <= look.job.deadline


def _situation(look: Look, latest_start: datetime) -> str:
    deadline = look.job.deadline
    if deadline is not None and look.now >= deadline:
        return f"the deadline {at(deadline)} has already passed"
    if deadline is not None and not _can_meet_deadline(look):
        return f"too late to meet the deadline {at(deadline)} if the run takes as long as expected"
    return f"the latest start {at(latest_start)} for the deadline {at(deadline or latest_start)} has been reached"
