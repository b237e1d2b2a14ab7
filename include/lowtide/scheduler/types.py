"""One job, one moment, one outlook; and the decisions that can be made of it."""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple, Self

from lowtide.grid.outlook import Outlook
from lowtide.records import Reading
from lowtide.scheduler.job import Job
from lowtide.timeutil import as_utc, format_moment, parse_moment

# What was decided, why, and on which figures.


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


class Planned(NamedTuple):
    """What a decision to run or to wait aims at."""

    start: datetime | None = None
    segments: tuple[Span, ...] = ()
    saving_percent: float | None = None
    source: str | None = None


_NOTHING = Planned()


@dataclass(frozen=True, slots=True)
class PolicyContext:
    """All that a policy may use; moments also in UNIX seconds, as curves have them."""

    job: Job
    now: datetime
    outlook: Outlook
    latest_start: datetime | None
    now_s: float
    latest_s: float | None

    @classmethod
    def of(cls, job: Job, now: datetime, outlook: Outlook) -> Self:
        """Look at a job at a moment of policy time.

        :raises ValueError: ``now`` has no offset.
        """
        now, latest = as_utc(now), job.latest_start
        return cls(job, now, outlook, latest, now.timestamp(), None if latest is None else latest.timestamp())

    def decide(
        self,
        action: Action,
        reason: Reason,
        text: str,
        *,
        plan: Planned = _NOTHING,
        limit: float | None = None,
        until: datetime | None = None,
    ) -> Decision:
        """Return a decision that carries the figures it rests on.

        :param limit: what the reading was held against, in g/kWh; None for the job's threshold.
        """
        job, outlook = self.job, self.outlook
        return Decision(
            action=action,
            reason=reason,
            decided_at=self.now,
            until=until,
            text=text,
            reading=outlook.reading,
            threshold_gco2eq_per_kwh=job.threshold_gco2eq_per_kwh if limit is None else limit,
            deadline=job.deadline,
            latest_start=self.latest_start,
            steps=outlook.steps,
            planned_start=plan.start,
            expected_saving_percent=plan.saving_percent,
            forecast_source=plan.source,
            segments=plan.segments,
        )

    def wait(
        self,
        reason: Reason,
        text: str,
        *,
        plan: Planned = _NOTHING,
        limit: float | None = None,
        action: Action = Action.WAIT,
    ) -> Decision:
        """Return a decision to wait until the next look: a poke interval on, but never after the latest start."""
        until = self.now + self.job.poke_interval
        if plan.start is not None and plan.start < until:
            until = plan.start
        told = f"{text}; next look at "
        if self.latest_start is None:
            return self.decide(action, reason, f"{told}{at(until)}", plan=plan, limit=limit, until=until)
        until = min(until, self.latest_start)
        told = f"{told}{at(until)}, latest start {at(self.latest_start)}"
        return self.decide(action, reason, told, plan=plan, limit=limit, until=until)

    def moment(self, moment_s: float) -> datetime:
        """Return a planned moment: not before now, nor after the latest start."""
        moment = max(self.now, datetime.fromtimestamp(moment_s, UTC))
        # where the latest start has passed, now is all there is
        return moment if self.latest_start is None else max(self.now, min(moment, self.latest_start))

    @staticmethod
    def exactly(moment_s: float) -> datetime:
        """Return a moment of a curve."""
        return datetime.fromtimestamp(moment_s, UTC)

    def figure(self) -> str:
        """Return the reading in words: value, kind, source."""
        reading = self.outlook.reading
        if reading is None:
            return "an unknown intensity"
        value = reading.carbon_intensity_gco2eq_per_kwh
        return f"{value:.0f} g/kWh ({reading.kind.value}, {reading.source})"


def at(moment: datetime) -> str:
    """Write a moment, which is in UTC, for a log line; strftime would cost a tenth of the whole decision."""
    return f"{str(moment)[:16]} UTC"
