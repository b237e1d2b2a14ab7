"""One look at the grid, and a wait made of looks: the same for the sensor and the command line; the trigger's is shared."""

import time
from collections.abc import Callable
from datetime import datetime

from include.pipeline.running.telling import Looked
from include.scheduler import Action, Clock, Decision, GridSignal, Job, Outlook, decide, judged

MINIMUM_PAUSE_S = 0.5
"""Real seconds between two looks at least: a fast replay must not become a busy loop."""


def look(job: Job, signal: GridSignal, clock: Clock) -> Looked:
    """Look at the grid once and decide. A job that starts at once asks nobody."""
    now = clock.now()
    outlook = Outlook() if job.policy == "immediate" else signal.outlook(now, job.wanted)
    return decided(job, now, outlook)


def decided(job: Job, now: datetime, outlook: Outlook) -> Looked:
    """Decide, and say how sure the expected saving is."""
    return Looked(job, judged(decide(job, now, outlook), job, outlook), outlook)


def pause_s(decision: Decision, clock: Clock) -> float:
    """Return the real seconds until the next look that a decision to wait asks for."""
    if decision.until is None:
        return MINIMUM_PAUSE_S
    return max(MINIMUM_PAUSE_S, clock.seconds_until(decision.until))


def wait_in_foreground(
    job: Job,
    signal: GridSignal,
    clock: Clock,
    *,
    on_look: Callable[[Looked], None],
    sleep: Callable[[float], None] = time.sleep,
) -> Decision:
    """Look until the decision is no longer to wait, and return it."""
    while True:
        looked = look(job, signal, clock)
        on_look(looked)
        decision = looked.decision
        if decision.action is not Action.WAIT:
            return decision
        sleep(pause_s(decision, clock))
