"""One look at the grid, and a wait made of looks: the same for the sensor and the command line; the trigger's is shared."""

import time
from collections.abc import Callable

from include.scheduler import Action, Clock, Decision, GridSignal, Job, Outlook, decide

MINIMUM_PAUSE_S = 0.5
"""Real seconds between two looks at least: a fast replay must not become a busy loop."""


def look(job: Job, signal: GridSignal, clock: Clock) -> Decision:
    """Look at the grid once and decide. A job that starts at once asks nobody."""
    now = clock.now()
    return decide(job, now, Outlook() if job.policy == "immediate" else signal.outlook(now))


def pause_s(decision: Decision, clock: Clock) -> float:
    """Return the real seconds until the next look that a decision to wait asks for."""
    if decision.until is None:
        return MINIMUM_PAUSE_S
    return max(MINIMUM_PAUSE_S, clock.seconds_until(decision.until))


def log_line(decision: Decision) -> str:
    """Return a decision for a log, in one line; after a fallback with all its steps."""
    return decision.text if len(decision.steps) < 2 else f"{decision.text} [{'; '.join(decision.steps)}]"


def wait_in_foreground(
    job: Job,
    signal: GridSignal,
    clock: Clock,
    *,
    on_decision: Callable[[Decision], None],
    sleep: Callable[[float], None] = time.sleep,
) -> Decision:
    """Look until the decision is no longer to wait, and return it."""
    while True:
        decision = look(job, signal, clock)
        on_decision(decision)
        if decision.action is not Action.WAIT:
            return decision
        sleep(pause_s(decision, clock))
