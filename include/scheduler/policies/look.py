"""One job, one moment, one outlook; and the decisions that can be made of it."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple, Self

from include.moments import as_utc
from include.scheduler.job import Job
from include.scheduler.outcome import Action, Decision, Reason, Span
from include.scheduler.outlooks.outlook import Outlook


class Planned(NamedTuple):
    """What a decision to run or to wait aims at."""

    start: datetime | None = None
    segments: tuple[Span, ...] = ()
    saving_percent: float | None = None
    source: str | None = None


_NOTHING = Planned()


@dataclass(frozen=True, slots=True)
class Look:
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
