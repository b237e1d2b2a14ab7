"""When a job of a backtest ran."""

from typing import NamedTuple

Segment = tuple[float, float]


class Run(NamedTuple):
    """When a job was submitted, when it had to be done, and when it really ran, in UNIX seconds."""

    submitted_s: float
    deadline_s: float
    segments: tuple[Segment, ...]
