"""What is to be run, and within which limits: the part of a decision that does not change while a job waits."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any

from pydantic import Field, PlainSerializer, TypeAdapter

from lowtide.config.schema import LowtideConfig, OnLatestStart, PausingConfig, PolicyName
from lowtide.config.zones import find_zone
from lowtide.grid.outlook import DataNeeds
from lowtide.timeutil import as_utc, resolve_deadline

# A duration is written as seconds, under its name with the unit.
Seconds = Annotated[timedelta, PlainSerializer(timedelta.total_seconds)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a job has come that has begun.

    ``done``: useful work so far, without resumes. ``running``: False while it is paused. ``pauses``: so far, a present one
    included. ``slice_done``: work of the slice that runs; None where it was not counted, which is taken to be long enough.
    """

    done: Annotated[Seconds, Field(alias="done_s")]
    running: bool
    pauses: int
    slice_done: Annotated[Seconds | None, Field(alias="slice_done_s")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One training run to be placed in time. All times and durations are in policy time (virtual under replay).

    ``progress`` is that of a job that has begun; only the policy ``interruptible`` pauses it, within the limits of
    ``pausing``. The values are checked where people give them: in the configuration and on the command line.

    :raises ValueError: a time without an offset.
    """

    job_id: str
    zone: str
    policy: PolicyName
    submitted_at: datetime
    deadline: datetime | None
    expected_duration: Annotated[Seconds, Field(alias="expected_duration_s")]
    duration_margin: float
    on_latest_start: OnLatestStart
    threshold_gco2eq_per_kwh: float | None
    minimum_gain_percent: float
    poke_interval: Annotated[Seconds, Field(alias="poke_interval_s")]
    failure_budget: int
    percentile: float = 30.0
    percentile_window: Annotated[Seconds, Field(alias="percentile_window_s")] = timedelta(days=7)
    run_now_below_gco2eq_per_kwh: float | None = None
    jitter: Annotated[Seconds, Field(alias="jitter_s")] = timedelta(0)
    pausing: PausingConfig | None = None
    progress: Progress | None = None

    def __post_init__(self) -> None:
        # UTC, not the zone's time: Python subtracts durations from local times by the clock on the wall, wrong on two days a year
        object.__setattr__(self, "submitted_at", as_utc(self.submitted_at))
        object.__setattr__(self, "deadline", None if self.deadline is None else as_utc(self.deadline))

    @property
    def remaining(self) -> timedelta:
        """Expected work that is still to be done, without resumes; 0 once a job takes longer than expected."""
        if self.progress is None:
            return self.expected_duration
        return max(timedelta(0), self.expected_duration - self.progress.done)

    @property
    def limits(self) -> PausingConfig:
        """The limits of pausing; the defaults where none were given."""
        return self.pausing or _DEFAULT_LIMITS

    @property
    def latest_finish(self) -> datetime | None:
        """``deadline - remaining x duration_margin``: a plan that is over by then leaves room for its margin."""
        if self.deadline is None:
            return None
        return self.deadline - self.remaining * self.duration_margin

    @property
    def latest_start(self) -> datetime | None:
        """``deadline - remaining x (1 + duration_margin)``; None without a deadline.

        For a job that is paused it is the latest resume, by ``resume_time`` earlier.
        """
        if self.deadline is None:
            return None
        if self.progress is None:
            return self.deadline - self.expected_duration * (1.0 + self.duration_margin)
        resume = timedelta(0) if self.progress.running else self.limits.resume_time
        return self.deadline - self.remaining * (1.0 + self.duration_margin) - resume

    @property
    def wanted(self) -> DataNeeds:
        """What its policy goes by beside the reading that holds now."""
        plans = self.policy in ("window", "interruptible")
        # the others predict only whether waiting can gain the minimum at all: no request is spent on that
        prediction = plans or (self.policy != "immediate" and self.minimum_gain_percent > 0)
        return DataNeeds(forecast=plans, prediction=prediction, trailing=self.policy == "percentile")

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON with absolute times; ``from_json`` reads it back, in another process or another day."""
        written: dict[str, Any] = _JOB.dump_python(self, mode="json", by_alias=True)
        return written

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Job":
        """Read what ``as_json`` wrote, also what an earlier version wrote: a wait may be older than an update.

        :raises ValueError: it is something else.
        """
        return _JOB.validate_python(data)


_JOB = TypeAdapter(Job)
_DEFAULT_LIMITS = PausingConfig()


def job_from_config(config: LowtideConfig, *, job_id: str, submitted_at: datetime) -> Job:
    """Return the job of a configuration, its deadline fixed as an absolute time.

    :param submitted_at: in policy time; a clock time in the file is its next occurrence after this, in the zone.
    :raises ValueError: ``submitted_at`` has no offset.
    """
    grid, scheduler = config.grid, config.scheduler
    submitted_at = as_utc(submitted_at)
    deadline = scheduler.deadline
    timezone = find_zone(grid.zone).timezone
    return Job(
        job_id=job_id,
        zone=grid.zone,
        policy=scheduler.policy,
        submitted_at=submitted_at,
        deadline=None if deadline is None else resolve_deadline(deadline, submitted_at, timezone),
        expected_duration=scheduler.expected_duration,
        duration_margin=scheduler.duration_margin,
        on_latest_start=scheduler.on_latest_start,
        threshold_gco2eq_per_kwh=grid.threshold_gco2eq_per_kwh,
        minimum_gain_percent=scheduler.minimum_gain_percent,
        poke_interval=scheduler.poke_interval,
        failure_budget=scheduler.failure_budget,
        percentile=scheduler.percentile,
        percentile_window=scheduler.percentile_window,
        run_now_below_gco2eq_per_kwh=scheduler.run_now_below_gco2eq_per_kwh,
        jitter=scheduler.jitter or timedelta(0),
        pausing=scheduler.pausing if scheduler.policy == "interruptible" else None,
    )
