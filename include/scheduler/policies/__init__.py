"""The policies: each one small function from what is known to a decision. A new policy is a file and a line below."""

from collections.abc import Callable

from include.config.scheduler import PolicyName
from include.scheduler.outcome import Decision
from include.scheduler.policies.immediate import immediate
from include.scheduler.policies.interruptible import interruptible
from include.scheduler.policies.look import Look, at
from include.scheduler.policies.percentile import percentile
from include.scheduler.policies.threshold import at_once, threshold
from include.scheduler.policies.window import window

__all__ = ["POLICIES", "Look", "Policy", "at", "at_once"]

Policy = Callable[[Look], Decision]

POLICIES: dict[PolicyName, Policy] = {
    "immediate": immediate,
    "threshold": threshold,
    "percentile": percentile,
    "window": window,
    "interruptible": interruptible,
}
