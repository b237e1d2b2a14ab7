"""Checks the grid until a job may start: in the foreground, or on an event loop where many waits share their checks."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from lowtide.grid.client import IntensityClient
from lowtide.grid.outlook import DataNeeds, Outlook
from lowtide.grid.shared import SharedOutlook, SharedSource, in_computing_thread, in_network_thread
from lowtide.records import Clock
from lowtide.scheduler.decision import decide, with_confidence_interval
from lowtide.scheduler.job import Job
from lowtide.scheduler.types import Action, Decision
from lowtide.timeutil import utc_now

MINIMUM_PAUSE_S = 0.5
"""Real seconds between two checks at least: a fast replay must not become a busy loop."""
LONGEST_SHARED_S = 1800.0
"""A check older than half an hour, the interval of most providers, is not shared, however long the poke interval is."""
FRESH_S = 60.0
"""A start is decided on a check no older than this."""


@dataclass(frozen=True, slots=True)
class DecisionEvent:
    """One check of a job: what was decided, on which outlook."""

    job: Job
    decision: Decision
    outlook: Outlook

    def lines(self) -> list[str]:
        """Return the check for a log: the decision and, where the signal fell back, the steps that led there."""
        steps = self.decision.steps
        return [self.decision.text, *([f"[{'; '.join(steps)}]"] if len(steps) > 1 else [])]


def check(job: Job, signal: IntensityClient, clock: Clock) -> DecisionEvent:
    """Check the grid once and decide. For a job that starts at once no provider is asked."""
    now = clock.now()
    outlook = Outlook() if job.policy == "immediate" else signal.outlook(now, job.wanted)
    return evaluate(job, now, outlook)


def evaluate(job: Job, now: datetime, outlook: Outlook) -> DecisionEvent:
    """Decide, and add the confidence interval of the expected saving."""
    return DecisionEvent(job, with_confidence_interval(decide(job, now, outlook), job, outlook), outlook)


def pause_s(decision: Decision, clock: Clock) -> float:
    """Return the real seconds until the next check of a decision to wait."""
    return MINIMUM_PAUSE_S if decision.until is None else max(MINIMUM_PAUSE_S, clock.seconds_until(decision.until))


def wait_in_foreground(
    job: Job, signal: IntensityClient, clock: Clock, *, on_decision: Callable[[DecisionEvent], None]
) -> Decision:
    """Check until the decision is no longer to wait, and return it."""
    while True:
        event = check(job, signal, clock)
        on_decision(event)
        decision = event.decision
        if decision.action is not Action.WAIT:
            return decision
        time.sleep(pause_s(decision, clock))


@dataclass(slots=True)
class OwnSource:
    """A replay or a profile: each wait has its own time, so nothing is shared, and no provider is asked."""

    signal: IntensityClient
    clock: Clock
    wanted: DataNeeds

    async def check(self, max_age_s: float) -> SharedOutlook:
        """Return what is known now; always fresh."""
        del max_age_s
        outlook = await in_network_thread(lambda: self.signal.outlook(self.clock.now(), self.wanted))
        return SharedOutlook(outlook=outlook)

    async def sleep(self, seconds: float, *, after: SharedOutlook) -> None:
        """Sleep; there is no newer outlook to wake up for."""
        del after
        await asyncio.sleep(seconds)


Source = SharedSource | OwnSource


async def wait_on_loop(
    job: Job, source: Source, clock: Clock, *, not_before: datetime, on_decision: Callable[[DecisionEvent], None]
) -> Decision:
    """Check until the decision is no longer to wait and the real time ``not_before`` has come; return that decision.

    :raises LowtideError: the signal cannot be opened, or a replay has left its trace.
    """
    interval_s = max_age_s = pause_s_of(job, clock)
    while True:
        shared = SharedOutlook(outlook=Outlook())
        if job.policy != "immediate":
            shared = await _check_in_time(job, source, clock, max_age_s)
        age_s = shared.age_s()
        # the confidence interval from four weeks of past errors takes too long for the event loop
        event = await in_computing_thread(partial(evaluate, job, clock.now(), shared.outlook))
        on_decision(event)
        decision = event.decision
        if decision.action is Action.WAIT:
            at_a_start = decision.until is not None and decision.until < decision.decided_at + job.poke_interval
            # the next check is due an interval after the shared one began, not after now; a planned or latest start is
            # decided on a fresh check
            pause = pause_s(decision, clock) - (0.0 if at_a_start else age_s)
            max_age_s = min(interval_s, FRESH_S) if at_a_start else interval_s
            await source.sleep(max(MINIMUM_PAUSE_S, pause), after=shared)
            continue
        remaining_s = remaining(not_before)
        if remaining_s <= 0:
            return decision
        await asyncio.sleep(remaining_s)


async def _check_in_time(job: Job, source: Source, clock: Clock, interval_s: float) -> SharedOutlook:
    """Check, but no longer than until the latest start: a provider that hangs must not delay the start beyond it."""
    interval_s = min(interval_s, LONGEST_SHARED_S)
    left_s = clock.seconds_until(job.latest_start) if job.latest_start else None
    if not left_s:  # no latest start, or it has come: one last check, bounded by the transport's limits
        return await source.check(interval_s)
    try:
        async with asyncio.timeout(left_s):
            return await source.check(interval_s)
    except TimeoutError:
        return SharedOutlook(outlook=Outlook(steps=("the provider did not answer before the latest start",)))


def remaining(not_before: datetime) -> float:
    """Return the real seconds until a time; 0.0 once it has passed."""
    return max(0.0, (not_before - utc_now()).total_seconds())


def pause_s_of(job: Job, clock: Clock) -> float:
    """Return a job's poke interval in real seconds."""
    return clock.seconds_until(clock.now() + job.poke_interval)
