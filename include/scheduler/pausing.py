"""Jobs that may pause: within which limits, at which cost, and how far one has come."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Self

from include.errors import ConfigurationError


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
