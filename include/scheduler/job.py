"""What is to be run, and within which limits: the part of a decision that does not change while a job waits."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, Self, get_args

from include.config import LowtideConfig, find_zone, resolve_deadline
from include.config.scheduler import OnLatestStart, PolicyName
from include.errors import ConfigurationError
from include.moments import as_utc, format_moment, parse_moment


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One training run to be placed in time. All moments and durations are in policy time (virtual under replay).

    :raises ConfigurationError: an unknown policy, a duration or poke interval that is not positive, or the policy
        ``threshold`` without a threshold.
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

    def __post_init__(self) -> None:
        # UTC, not the zone's time: Python subtracts durations from local moments by the clock on the wall, wrong on two days a year
        object.__setattr__(self, "submitted_at", as_utc(self.submitted_at))
        object.__setattr__(self, "deadline", None if self.deadline is None else as_utc(self.deadline))
        _check_choice("policy", self.policy, get_args(PolicyName))
        _check_choice("on_latest_start", self.on_latest_start, get_args(OnLatestStart))
        for name, duration in (("expected_duration", self.expected_duration), ("poke_interval", self.poke_interval)):
            if duration <= timedelta(0):
                raise ConfigurationError(f"job {self.job_id}: {name} is {duration}; give a positive duration")
        if self.policy == "threshold" and self.threshold_gco2eq_per_kwh is None:
            raise ConfigurationError(
                f"job {self.job_id}: policy 'threshold' needs threshold_gco2eq_per_kwh; give one, e.g. 150"
            )

    @property
    def latest_start(self) -> datetime | None:
        """``deadline - expected_duration x (1 + duration_margin)``; None without a deadline."""
        if self.deadline is None:
            return None
        return self.deadline - self.expected_duration * (1.0 + self.duration_margin)

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
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Read what ``as_json`` wrote."""
        values = {key: data[key] for key in cls.__slots__ if key in data}
        return cls(
            **values
            | {
                "submitted_at": parse_moment(data["submitted_at"]),
                "deadline": None if data["deadline"] is None else parse_moment(data["deadline"]),
                "expected_duration": timedelta(seconds=data["expected_duration_s"]),
                "poke_interval": timedelta(seconds=data["poke_interval_s"]),
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
    )


def _check_choice(name: Literal["policy", "on_latest_start"], value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ConfigurationError(f"{name} {value!r} is not known; choose one of {', '.join(known)}")
