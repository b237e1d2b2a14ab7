"""Runs one job through decide(), look by look, as the trigger and the command line do."""

from collections.abc import Callable
from datetime import UTC, datetime

from include.errors import LowtideError
from include.scheduler.backtest.runs import Segment
from include.scheduler.backtest.work import Work
from include.scheduler.decision import decide
from include.scheduler.job import Job
from include.scheduler.outcome import Action, Decision
from include.scheduler.outlooks.outlook import Outlook

Sight = Callable[[datetime], Outlook]
Segments = tuple[Segment, ...]
_NEVER = datetime.max.replace(tzinfo=UTC)


def in_one_piece(job: Job, sight: Sight, real_s: float) -> Segments:
    """Return the run of a job that does not pause, looking again whenever a decision says so."""
    now = job.submitted_at
    while (decision := decide(job, now, sight(now))).action is Action.WAIT:
        now = next_look(decision)
    return ((now.timestamp(), now.timestamp() + real_s),)


def in_slices(job: Job, sight: Sight, real_s: float) -> Segments:
    """Return the run of a job that may pause: its progress goes back into every decision."""
    now, work = job.submitted_at, Work(job, real_s)
    while not work.is_over:
        decision = decide(work.job_at(now), now, sight(now))
        if decision.action is Action.RUN:
            now = work.go_on(now, _look_while_running(job, decision))
        else:
            work.stop(now)
            now = next_look(decision)
    return tuple(work.segments)


def as_planned_at_submission(job: Job, sight: Sight, real_s: float) -> Segments:
    """Return the run of a job that keeps to its first decision; without a plan it starts when it must."""
    now, work = job.submitted_at, Work(job, real_s)
    decision = decide(job, now, sight(now))
    start = now if decision.action is Action.RUN else decision.planned_start or job.latest_start or now
    *pieces, (last, _) = decision.segments or ((start, start),)
    for begin, end in pieces:
        work.stop(work.go_on(begin, end))
    if not work.is_over:  # what takes longer than expected runs on in the last piece
        work.go_on(last, _NEVER)
    return tuple(work.segments)


def next_look(decision: Decision) -> datetime:
    """Return when a decision to wait or to pause wants the next look.

    :raises LowtideError: not after the decision; such a wait would never end.
    """
    if decision.until is None or decision.until <= decision.decided_at:
        raise LowtideError(f"a decision to wait must name a later look: {decision.text}")
    return decision.until


def _look_while_running(job: Job, decision: Decision) -> datetime:
    # a slice of the plan may end between two polls
    ends = [end for _, end in decision.segments[:1] if end > decision.decided_at]
    return min([decision.decided_at + job.poke_interval, *ends])
