"""A wait on an event loop beside many others: looks are shared where they can be, and nothing blocks the loop."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from include.moments import utc_now
from include.pipeline.running.telling import Looked
from include.pipeline.waiting.foreground import MINIMUM_PAUSE_S, decided, pause_s
from include.scheduler import Action, Clock, Decision, GridSignal, Job, Outlook, Wanted
from include.scheduler.network.sharing import Opener, SharedLook, SharedSources, SourceKey
from include.scheduler.network.threads import in_network_thread, in_thinking_thread

LONGEST_SHARED_S = 1800.0
"""A look older than half an hour, the interval of most providers, is not shared, however long the poke interval is."""


FRESH_S = 60.0
"""A start is decided on a look no older than this."""


class Source(Protocol):
    """Where a wait looks."""

    async def look(self, max_age_s: float) -> SharedLook:
        """Return a look that is no older than this."""
        ...

    async def sleep(self, seconds: float, *, after: int) -> None:
        """Sleep, or shorter if a look newer than number ``after`` comes in."""
        ...


@dataclass(slots=True)
class OwnSource:
    """A replay or a profile: every wait has a time of its own, so there is nothing to share, and nothing is asked."""

    signal: GridSignal
    clock: Clock
    wanted: Wanted
    looks: int = 0

    async def look(self, max_age_s: float) -> SharedLook:
        """Look at what lies at hand; always fresh."""
        del max_age_s
        self.looks += 1
        outlook = await in_network_thread(lambda: self.signal.outlook(self.clock.now(), self.wanted))
        return SharedLook(outlook=outlook, number=self.looks, begun_s=None)

    async def sleep(self, seconds: float, *, after: int) -> None:
        """Sleep."""
        del after
        await asyncio.sleep(seconds)


def shared_source(key: SourceKey, opener: Opener, *, linger_s: float) -> AbstractAsyncContextManager[Source]:
    """Lend the source that all waits of this loop on the same key share."""
    return SharedSources.of_running_loop().lease(key, opener, linger_s=linger_s, wanted=key.wanted)


@asynccontextmanager
async def own_source(opener: Opener, clock: Clock, wanted: Wanted) -> AsyncIterator[Source]:
    """Lend a source that nobody else uses."""
    yield OwnSource(await opener(), clock, wanted)


async def wait_on_loop(
    job: Job, source: Source, clock: Clock, *, not_before: datetime, on_look: Callable[[Looked], None]
) -> Decision:
    """Look until the decision is no longer to wait and the real moment ``not_before`` has come; return that decision.

    :raises LowtideError: the signal cannot be opened, or a replay has left its trace.
    """
    interval_s = max_age_s = pause_s_of(job, clock)
    while True:
        number, outlook, age_s = 0, Outlook(), 0.0
        if job.policy != "immediate":
            shared = await _look_in_time(job, source, clock, max_age_s)
            number, outlook, age_s = shared.number, shared.outlook, shared.age_s()
        looked = await _decided(job, clock, outlook)
        on_look(looked)
        decision = looked.decision
        if decision.action is Action.WAIT:
            at_a_start = decision.until is not None and decision.until < decision.decided_at + job.poke_interval
            # a look that was shared is as old as it is: the next one is due an interval after it began, not after now.
            # A planned or latest start is a moment of its own, and is not decided on what was seen long before it.
            pause = pause_s(decision, clock) - (0.0 if at_a_start else age_s)
            max_age_s = min(interval_s, FRESH_S) if at_a_start else interval_s
            await source.sleep(max(MINIMUM_PAUSE_S, pause), after=number)
            continue
        remaining_s = remaining(not_before)
        if remaining_s <= 0:
            return decision
        await asyncio.sleep(remaining_s)


async def _look_in_time(job: Job, source: Source, clock: Clock, interval_s: float) -> SharedLook:
    """Look, but no longer than until the latest start: a provider that hangs must not carry the wait past it."""
    interval_s = min(interval_s, LONGEST_SHARED_S)
    left_s = clock.seconds_until(job.latest_start) if job.latest_start else None
    if not left_s:  # no latest start, or it has come: one last look, bounded by the transport's own limits
        return await source.look(interval_s)
    try:
        async with asyncio.timeout(left_s):
            return await source.look(interval_s)
    except TimeoutError:
        return SharedLook(
            outlook=Outlook(steps=("the provider did not answer before the latest start",)), number=0, begun_s=None
        )


def remaining(not_before: datetime) -> float:
    """Return the real seconds until a moment; 0.0 once it has passed."""
    return max(0.0, (not_before - utc_now()).total_seconds())


def pause_s_of(job: Job, clock: Clock) -> float:
    """Return a job's poke interval in real seconds."""
    now = clock.now()
    return clock.seconds_until(now + job.poke_interval)


async def _decided(job: Job, clock: Clock, outlook: Outlook) -> Looked:
    # a decision takes a part of a millisecond, but judging its saving by four weeks of past errors would be felt on the loop
    return await in_thinking_thread(lambda: decided(job, clock.now(), outlook))
