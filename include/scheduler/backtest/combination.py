"""One line of a backtest's result: a policy and a shape of job."""

from typing import NamedTuple

from include.config.scheduler import PolicyName


class Combination(NamedTuple):
    """A policy, and how long its jobs take and may wait.

    ``interruptible`` says that the job may pause: the oracle then may too, and the policy ``window`` plans with pauses.
    """

    policy: PolicyName
    duration_s: float
    slack_s: float
    interruptible: bool

    @property
    def rule(self) -> PolicyName:
        """The policy that decides."""
        return "interruptible" if self.interruptible and self.policy == "window" else self.policy
