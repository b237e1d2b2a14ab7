"""What was decided, why, and on which figures."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from include.moments import format_moment, parse_moment
from include.records import Reading


class Action(StrEnum):
    """What to do with the job."""

    RUN = "run"
    WAIT = "wait"
    PAUSE = "pause"
    SKIP = "skip"
    FAIL = "fail"


class Reason(StrEnum):
    """What the decision rests on."""

    IMMEDIATE = "immediate"
    BELOW_THRESHOLD = "below_threshold"
    ABOVE_THRESHOLD = "above_threshold"
    FORECAST_MINIMUM = "forecast_minimum"
    DEADLINE = "deadline"
    JITTER = "jitter"
    IN_PROGRESS = "in_progress"
    SIGNAL_UNAVAILABLE = "signal_unavailable"


Span = tuple[datetime, datetime]

_MOMENTS = ("decided_at", "until", "planned_start", "deadline", "latest_start")


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One decision; ``until`` is when to look again while waiting or paused, None otherwise.

    ``planned_start`` is when the plan begins, or goes on; the grid is still looked at before it. ``segments`` is the whole
    plan, resumes included. ``expected_saving_percent`` is that of the plan against starting now and going through, with its
    10 % and 90 % quantiles where past errors can tell. ``forecast_source`` says on whose prediction all this rests.
    """

    action: Action
    reason: Reason
    decided_at: datetime
    until: datetime | None
    text: str
    reading: Reading | None
    threshold_gco2eq_per_kwh: float | None
    deadline: datetime | None
    latest_start: datetime | None
    steps: tuple[str, ...]
    planned_start: datetime | None = None
    expected_saving_percent: float | None = None
    expected_saving_interval_percent: tuple[float, float] | None = None
    forecast_source: str | None = None
    segments: tuple[Span, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON; ``from_json`` reads it back."""
        moments = {name: getattr(self, name) for name in _MOMENTS}
        interval = self.expected_saving_interval_percent
        return {
            "action": self.action.value,
            "reason": self.reason.value,
            "text": self.text,
            "reading": None if self.reading is None else self.reading.as_json(),
            "threshold_gco2eq_per_kwh": self.threshold_gco2eq_per_kwh,
            "steps": list(self.steps),
            "expected_saving_percent": self.expected_saving_percent,
            "expected_saving_interval_percent": None if interval is None else list(interval),
            "forecast_source": self.forecast_source,
            "segments": [[format_moment(start), format_moment(end)] for start, end in self.segments],
        } | {name: None if moment is None else format_moment(moment) for name, moment in moments.items()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Read what ``as_json`` wrote, also what an earlier version wrote."""
        moments = {name: None if data[name] is None else parse_moment(data[name]) for name in _MOMENTS}
        interval = data.get("expected_saving_interval_percent")
        return cls(
            **{key: data[key] for key in cls.__slots__ if key in data}
            | moments
            | {
                "action": Action(data["action"]),
                "reason": Reason(data["reason"]),
                "reading": None if data["reading"] is None else Reading.from_json(data["reading"]),
                "steps": tuple(data["steps"]),
                "expected_saving_interval_percent": None if interval is None else (interval[0], interval[1]),
                "segments": tuple((parse_moment(start), parse_moment(end)) for start, end in data.get("segments", ())),
            }
        )
