"""What a backtest asks: which jobs, under which rules, seen through which forecast."""

from dataclasses import dataclass, field
from datetime import timedelta
from itertools import product
from typing import Literal
from zoneinfo import ZoneInfo

from include.config.scheduler import PolicyName
from include.scheduler.backtest.combination import Combination
from include.scheduler.backtest.rules import Rules

ForecastName = Literal["history", "perfect"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that a backtest asks of a trace.

    ``duration_error`` is the real duration over the expected one, which is all that the policy and its deadline know.
    ``decide_once`` keeps what was planned at submission: no second look. ``history_limit`` is how far back the forecast
    may look; None is all of it.
    """

    zone: str
    timezone: ZoneInfo
    policies: tuple[PolicyName, ...]
    durations: tuple[timedelta, ...]
    slacks: tuple[timedelta, ...]
    submit: str = "22:00"
    seed: int = 0
    interruptible: bool = False
    forecast: ForecastName = "history"
    history_limit: timedelta | None = None
    poll: timedelta | None = None
    decide_once: bool = False
    duration_error: float = 1.0
    rules: Rules = field(default_factory=Rules)

    def combinations(self) -> list[Combination]:
        """Return one combination per policy, duration and slack, in the user's order."""
        return [
            Combination(
                policy, duration.total_seconds(), slack.total_seconds(), self.interruptible or policy == "interruptible"
            )
            for policy, duration, slack in product(self.policies, self.durations, self.slacks)
        ]
