"""What is to be run, and within which limits: the part of a decision that does not change while a job waits."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, Self, get_args

from include.config import LowtideConfig, PausingConfig, find_zone, resolve_deadline
from include.config.scheduler import OnLatestStart, PolicyName
from include.errors import ConfigurationError
from include.moments import as_utc, format_moment, parse_moment
from include.scheduler.outlooks.outlook import Wanted
from include.scheduler.pausing import PausingLimits, Progress

_DURATIONS = ("expected_duration", "poke_interval", "percentile_window", "jitter")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One training run to be placed in time. All moments and durations are in policy time (virtual under replay).

    ``progress`` is that of a job that has begun; only the policy ``interruptible`` pauses it.

    :raises ConfigurationError: an unknown policy, a duration or poke interval that is not positive, a negative jitter, a
        percentile that is none, or the policy ``threshold`` without a threshold.
    :raises ValueError: a moment without an offset.
    """

    job_id: str
    zone: str
    policy: PolicyName
    submitted_at: datetime
    deadline: datetime | None
    expected_duration: timedelta
    duration_margin: float
    on_latest_start: OnLatestStart
    threshold_gco2eq_per_kwh: float | None
    minimum_gain_percent: float
    poke_interval: timedelta
    failure_budget: int
    percentile: float = 30.0
    percentile_window: timedelta = timedelta(days=7)
    run_now_below_gco2eq_per_kwh: float | None = None
    jitter: timedelta = timedelta(0)
    pausing: PausingLimits | None = None
    progress: Progress | None = None

    def __post_init__(self) -> None:
        # UTC, not the zone's time: Python subtracts durations from local moments by the clock on the wall, wrong on two days a year
        object.__setattr__(self, "submitted_at", as_utc(self.submitted_at))
        object.__setattr__(self, "deadline", None if self.deadline is None else as_utc(self.deadline))
        _check_choice("policy", self.policy, get_args(PolicyName))
        _check_choice("on_latest_start", self.on_latest_start, get_args(OnLatestStart))
        for name, duration in (("expected_duration", self.expected_duration), ("poke_interval", self.poke_interval)):
            if duration <= timedelta(0):
                raise ConfigurationError(f"job {self.job_id}: {name} is {duration}; give a positive duration")
        if self.jitter < timedelta(0) or not 0 < self.percentile < 100:
            raise ConfigurationError(
                f"job {self.job_id}: jitter is {self.jitter} and percentile {self.percentile:g}; give a jitter of 0 or more"
                " and a percentile between 0 and 100"
            )
        if self.policy == "threshold" and self.threshold_gco2eq_per_kwh is None:
            raise ConfigurationError(
                f"job {self.job_id}: policy 'threshold' needs threshold_gco2eq_per_kwh; give one, e.g. 150"
            )

    @property
    def remaining(self) -> timedelta:
        """Expected work that is still to be done, without resumes; 0 once a job takes longer than expected."""
        if self.progress is None:
            return self.expected_duration
        return max(timedelta(0), self.expected_duration - self.progress.done)

    @property
    def limits(self) -> PausingLimits:
        """The limits of pausing; the defaults where none were given."""
        return self.pausing or PausingLimits()

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
    def wanted(self) -> Wanted:
        """What its policy goes by beside the reading that holds now."""
        plans = self.policy in ("window", "interruptible")
        # the others look ahead only to see whether waiting can gain the minimum at all: no request is spent on that
        prediction = plans or (self.policy != "immediate" and self.minimum_gain_percent > 0)
        return Wanted(forecast=plans, prediction=prediction, trailing=self.policy == "percentile")

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON with absolute moments; ``from_json`` reads it back, in another process or another day."""
        return {
            "job_id": self.job_id,
            "zone": self.zone,
            "policy": self.policy,
            "submitted_at": format_moment(self.submitted_at),
            "deadline": None if self.deadline is None else format_moment(self.deadline),
            "expected_duration_s": self.expected_duration.total_seconds(),
            "duration_margin": self.duration_margin,
            "on_latest_start": self.on_latest_start,
            "threshold_gco2eq_per_kwh": self.threshold_gco2eq_per_kwh,
            "minimum_gain_percent": self.minimum_gain_percent,
            "poke_interval_s": self.poke_interval.total_seconds(),
            "failure_budget": self.failure_budget,
            "percentile": self.percentile,
            "percentile_window_s": self.percentile_window.total_seconds(),
            "run_now_below_gco2eq_per_kwh": self.run_now_below_gco2eq_per_kwh,
            "jitter_s": self.jitter.total_seconds(),
            "pausing": None if self.pausing is None else self.pausing.as_json(),
            "progress": None if self.progress is None else self.progress.as_json(),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Read what ``as_json`` wrote, also what an earlier version wrote: a wait may be older than an update."""
        values = {key: data[key] for key in cls.__slots__ if key in data}
        values |= {name: timedelta(seconds=data[f"{name}_s"]) for name in _DURATIONS if f"{name}_s" in data}
        pausing, progress = data.get("pausing"), data.get("progress")
        return cls(
            **values
            | {
                "submitted_at": parse_moment(data["submitted_at"]),
                "deadline": None if data["deadline"] is None else parse_moment(data["deadline"]),
                "pausing": None if pausing is None else PausingLimits.from_json(pausing),
                "progress": None if progress is None else Progress.from_json(progress),
            }
        )


def job_from_config(config: LowtideConfig, *, job_id: str, submitted_at: datetime) -> Job:
    """Return the job of a configuration, its deadline fixed as an absolute moment.

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
        pausing=_limits(scheduler.pausing) if scheduler.policy == "interruptible" else None,
    )


def _limits(pausing: PausingConfig) -> PausingLimits:
    return PausingLimits(
        minimum_slice=pausing.minimum_slice,
        resume_time=pausing.resume_time,
        resume_energy=pausing.resume_energy,
        maximum_pauses=pausing.maximum_pauses,
    )


def _check_choice(name: Literal["policy", "on_latest_start"], value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ConfigurationError(f"{name} {value!r} is not known; choose one of {', '.join(known)}")
