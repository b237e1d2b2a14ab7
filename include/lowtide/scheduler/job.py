"""What is to be run, and within which limits: the part of a decision that does not change while a job waits."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, Self, get_args

from lowtide.config.schema import LowtideConfig, OnLatestStart, PausingConfig, PolicyName
from lowtide.config.zones import find_zone
from lowtide.errors import ConfigurationError
from lowtide.grid.outlook import DataNeeds
from lowtide.timeutil import as_utc, format_moment, parse_moment, resolve_deadline

# Jobs that may pause: within which limits, at which cost, and how far one has come.


@dataclass(frozen=True, slots=True, kw_only=True)
class PausingLimits:
    """What a pause costs, and how many there may be.

    ``minimum_slice``: work between two pauses, at least; only a job that is shorter as a whole may have a shorter slice.
    ``resume_time``: passes after each pause before work goes on. ``resume_energy``: of a pause and its resume together, as
    time at full power, drawn during ``resume_time`` (at its moment if that is 0). ``maximum_pauses``: of the whole job.

    :raises ConfigurationError: a negative value.
    """

    minimum_slice: timedelta = timedelta(minutes=30)
    resume_time: timedelta = timedelta(minutes=2)
    resume_energy: timedelta = timedelta(minutes=2)
    maximum_pauses: int = 10

    def __post_init__(self) -> None:
        for name in ("minimum_slice", "resume_time", "resume_energy"):
            if getattr(self, name) < timedelta(0):
                raise ConfigurationError(f"pausing: {name} is {getattr(self, name)}; give 0 or more")
        if self.maximum_pauses < 0:
            raise ConfigurationError(f"pausing: maximum_pauses is {self.maximum_pauses}; give 0 or more")

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON; ``from_json`` reads it back."""
        return {
            "minimum_slice_s": self.minimum_slice.total_seconds(),
            "resume_time_s": self.resume_time.total_seconds(),
            "resume_energy_s": self.resume_energy.total_seconds(),
            "maximum_pauses": self.maximum_pauses,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Read what ``as_json`` wrote."""
        return cls(
            minimum_slice=timedelta(seconds=data["minimum_slice_s"]),
            resume_time=timedelta(seconds=data["resume_time_s"]),
            resume_energy=timedelta(seconds=data["resume_energy_s"]),
            maximum_pauses=data["maximum_pauses"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a job has come that has begun.

    ``done``: useful work so far, without resumes. ``running``: False while it is paused. ``pauses``: so far, a present one
    included. ``slice_done``: work of the slice that runs; None where nobody counted, which is taken to be long enough.

    :raises ConfigurationError: a negative value.
    """

    done: timedelta
    running: bool
    pauses: int
    slice_done: timedelta | None = None

    def __post_init__(self) -> None:
        if self.done < timedelta(0) or self.pauses < 0:
            raise ConfigurationError(f"progress: done {self.done} with {self.pauses} pauses; neither can be negative")

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON; ``from_json`` reads it back."""
        slice_done = self.slice_done
        return {
            "done_s": self.done.total_seconds(),
            "running": self.running,
            "pauses": self.pauses,
            "slice_done_s": None if slice_done is None else slice_done.total_seconds(),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Read what ``as_json`` wrote."""
        slice_done_s = data.get("slice_done_s")
        return cls(
            done=timedelta(seconds=data["done_s"]),
            running=data["running"],
            pauses=data["pauses"],
            slice_done=None if slice_done_s is None else timedelta(seconds=slice_done_s),
        )


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
    def wanted(self) -> DataNeeds:
        """What its policy goes by beside the reading that holds now."""
        plans = self.policy in ("window", "interruptible")
        # the others look ahead only to see whether waiting can gain the minimum at all: no request is spent on that
        prediction = plans or (self.policy != "immediate" and self.minimum_gain_percent > 0)
        return DataNeeds(forecast=plans, prediction=prediction, trailing=self.policy == "percentile")

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
