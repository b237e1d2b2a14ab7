"""Walks one job through time, look by look, as the trigger and the operator do, and says when it ran."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from lowtide.grid.outlook import Outlook
from lowtide.scheduler.decision import decide
from lowtide.scheduler.job import Job, Progress
from lowtide.scheduler.types import Action

Look = Callable[[datetime], Outlook]
NOTHING = timedelta(0)


@dataclass(frozen=True)
class Walked:
    """When a job ran, resumes included, and what was decided."""

    segments: list[tuple[datetime, datetime]]
    decisions: int
    pauses: int

    @property
    def start(self) -> datetime:
        return self.segments[0][0]

    @property
    def end(self) -> datetime:
        return self.segments[-1][1]


def started(job: Job, look: Look, *, at: datetime | None = None) -> datetime:
    """Follow the decisions until one is not to wait, and return that time."""
    now = at or job.submitted_at
    for _ in range(100_000):
        decision = decide(job, now, look(now))
        if decision.action is not Action.WAIT:
            return now
        assert decision.until is not None
        assert decision.until > now
        now = decision.until
    raise AssertionError("the wait does not end")


def walked(job: Job, look: Look, duration: timedelta | None = None) -> Walked:
    """Run a job that may pause to its end; while it runs it is looked at every poke interval.

    :param duration: how long it really takes; None for as long as expected.
    """
    left = duration if duration is not None else job.expected_duration
    now, looks, pauses = started(job, look), 1, 0
    segments, begun = [], now
    progress = Progress(done=NOTHING, running=True, pauses=0, slice_done=NOTHING)
    resuming = NOTHING
    while left > NOTHING:
        looks += 1
        decision = decide(replace(job, progress=progress), now, look(now))
        assert decision.action in (Action.RUN, Action.WAIT, Action.PAUSE)
        if decision.action is not Action.RUN:
            assert decision.until is not None
            assert decision.until > now
            if progress.running:
                assert decision.action is Action.PAUSE
                segments.append((begun, now))
                pauses += 1
                progress = replace(progress, running=False, pauses=pauses)
            now = decision.until
            continue
        if not progress.running:
            begun, resuming = now, job.limits.resume_time
            progress = replace(progress, running=True, slice_done=NOTHING)
        step = min(job.poke_interval, resuming + left)
        worked = max(NOTHING, step - resuming)
        resuming = max(NOTHING, resuming - step)
        now, left = now + step, left - worked
        slice_done = (progress.slice_done or NOTHING) + worked
        progress = replace(progress, done=progress.done + worked, slice_done=slice_done)
    return Walked([*segments, (begun, now)], looks, pauses)
