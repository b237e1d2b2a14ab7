"""How far a job has come that may pause: what it has done, and the stretches of time in which it ran."""

from dataclasses import replace
from datetime import datetime, timedelta

from include.scheduler.backtest.runs import Segment
from include.scheduler.job import Job
from include.scheduler.pausing import Progress

_NONE = timedelta(0)


class Work:
    """The work of one job, of which only the real length says when it is over.

    :param real_s: the time that the job really takes without pauses; decisions know the expected one only.
    """

    def __init__(self, job: Job, real_s: float) -> None:
        self._job = job
        self._left = timedelta(seconds=real_s)
        self._done = _NONE  # in earlier slices
        self._begun: datetime | None = None  # the work of the present slice, after the resume
        self.segments: list[Segment] = []

    @property
    def is_over(self) -> bool:
        """Whether all is done."""
        return self._left <= _NONE

    def job_at(self, now: datetime) -> Job:
        """Return the job with its progress."""
        if not self.segments:
            return self._job
        running = self._begun is not None
        here = self._in_slice(now)
        pauses = len(self.segments) - (1 if running else 0)
        progress = Progress(
            done=self._done + here, running=running, pauses=pauses, slice_done=here if running else None
        )
        return replace(self._job, progress=progress)

    def go_on(self, now: datetime, until: datetime) -> datetime:
        """Run, or resume, until a moment or the end of the work, and return which came first."""
        if self._begun is None:
            lost = self._job.limits.resume_time if self.segments else _NONE
            self._begun = now + lost
            self.segments.append((now.timestamp(), now.timestamp()))
        end = self._begun + self._left
        if until < end:
            return until
        self.stop(end)
        return end

    def stop(self, now: datetime) -> None:
        """End the present slice, if there is one."""
        if self._begun is None:
            return
        here = self._in_slice(now)
        self._done, self._left = self._done + here, self._left - here
        self.segments[-1] = (self.segments[-1][0], now.timestamp())
        self._begun = None

    def _in_slice(self, now: datetime) -> timedelta:
        return _NONE if self._begun is None else max(_NONE, now - self._begun)
