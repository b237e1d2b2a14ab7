"""Plans and grids for tests of the backtest."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from lowtide.scheduler.backtest.simulate import SimConfig
from lowtide.scheduler.backtest.trace import ActualTrace, Grid

from tests.support.traces import SPRING

HOUR_S = 3600.0
POLICIES = ("immediate", "threshold", "percentile", "window", "interruptible")


def config(**changes: Any) -> SimConfig:
    """One job a night of 2 hours with 8 hours of slack, seen by perfect foresight."""
    values: dict[str, Any] = {
        "zone": "DE",
        "timezone": ZoneInfo("UTC"),
        "policies": ("window",),
        "durations": (timedelta(hours=2),),
        "slacks": (timedelta(hours=8),),
        "submit": "22:00",
        "forecast": "perfect",
    }
    return SimConfig(**values | changes)


def grid(values: Sequence[float], *, past: Sequence[float] = (), step_s: float = HOUR_S) -> Grid:
    """A grid that begins in SPRING; NaN is a gap."""
    actual = ActualTrace(SPRING.timestamp(), step_s, np.array(values, float))
    known = np.array([*past, *values], float)
    return Grid(actual=actual, known_from_s=actual.start_s - len(past) * step_s, known=known)


def hours(*amounts: float) -> tuple[timedelta, ...]:
    return tuple(timedelta(hours=amount) for amount in amounts)
