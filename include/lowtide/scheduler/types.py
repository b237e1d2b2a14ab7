"""What a policy decides on and what it decides: context, action, reason, decision."""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, NamedTuple

from pydantic import PlainSerializer, TypeAdapter

from lowtide.grid.outlook import Outlook
from lowtide.records import Reading
from lowtide.scheduler.job import Job
from lowtide.timeutil import as_utc


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One decision; ``until`` is when to check again while waiting or paused, None otherwise.

    ``planned_start`` is when the plan begins or resumes; the grid is still checked before it. ``segments`` is the whole
    plan, resumes included. ``expected_saving_percent`` compares the plan with a start now and no pause; its interval are
    the 10 % and 90 % quantiles of past forecast errors, where enough are known. ``forecast_source`` names the prediction
    that the plan uses.
    """

    action: Action
    reason: Reason
    decided_at: datetime
    until: datetime | None
    text: str
    reading: Annotated[Reading, PlainSerializer(Reading.as_json)] | None
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
        written: dict[str, Any] = _DECISION.dump_python(self, mode="json")
        return written

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Decision":
        """Read what ``as_json`` wrote, also what an earlier version wrote.

        :raises ValueError: it is something else.
        """
        return _DECISION.validate_python(data)


_DECISION = TypeAdapter(Decision)


class Planned(NamedTuple):
    """The plan that a decision follows."""

    start: datetime | None = None
    segments: tuple[Span, ...] = ()
    saving_percent: float | None = None
    source: str | None = None


_NOTHING = Planned()


class PolicyContext:
    """All that a policy may use; times also in UNIX seconds, as curves have them.

    :param now: in policy time.
    :raises ValueError: ``now`` has no offset.
    """

    def __init__(self, job: Job, now: datetime, outlook: Outlook) -> None:
        self.job, self.now, self.outlook = job, as_utc(now), outlook
        self.latest_start = job.latest_start
        self.now_s = self.now.timestamp()
        self.latest_s = None if self.latest_start is None else self.latest_start.timestamp()

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

        :param limit: what the reading was compared with, in g/kWh; None for the job's threshold.
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
        """Return a decision to wait until the next check: one poke interval later, never after the latest start."""
        times = (self.now + self.job.poke_interval, plan.start, self.latest_start)
        until = min(time for time in times if time is not None)
        latest = "" if self.latest_start is None else f", latest start {at(self.latest_start)}"
        sentence = f"{text}; next check at {at(until)}{latest}"
        return self.decide(action, reason, sentence, plan=plan, limit=limit, until=until)

    def start_at(self, time_s: float) -> datetime:
        """Return a planned start: not before now, nor after the latest start."""
        start = max(self.now, utc(time_s))
        # where the latest start has passed, now is all there is
        return start if self.latest_start is None else max(self.now, min(start, self.latest_start))

    def figure(self) -> str:
        """Return the reading in words: value, kind, source."""
        reading = self.outlook.reading
        if reading is None:
            return "an unknown intensity"
        value = reading.carbon_intensity_gco2eq_per_kwh
        return f"{value:.0f} g/kWh ({reading.kind.value}, {reading.source})"


def utc(time_s: float) -> datetime:
    """Return the time of UNIX seconds."""
    return datetime.fromtimestamp(time_s, UTC)


def at(time: datetime) -> str:
    """Write a time, which is in UTC, for a log line; strftime would cost a tenth of the whole decision."""
    return f"{str(time)[:16]} UTC"
