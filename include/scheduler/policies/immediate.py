"""Start at once, whatever the grid does."""

from include.scheduler.outcome import Action, Decision, Reason
from include.scheduler.policies.look import Look


def immediate(look: Look) -> Decision:
    """Start at once."""
    known = "" if look.outlook.reading is None else f"; {look.job.zone} has {look.figure()}"
    return look.decide(Action.RUN, Reason.IMMEDIATE, f"policy immediate: starting at once{known}")
