"""What of the time until a start was a queue's: it came after the decision to start, so it was no wait for the grid."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from include.records import TrainingRecord
from include.report.evidence import CLAIM_LIMIT_SHARE
from include.report.text.figures import duration_text

USUAL_START_S = 600.0
"""Real seconds that a start may take, all starts together: the scheduler, a new process, its imports. No queue is told below."""
_DECISIONS = "decisions.jsonl"


class Queue(NamedTuple):
    """Policy seconds in a queue: before the first start, and before going on after pauses. Both 0 where that is negligible."""

    before_start_s: float = 0.0
    in_pauses_s: float = 0.0

    @property
    def total_s(self) -> float:
        """Both together."""
        return self.before_start_s + self.in_pauses_s


def queue_of(run: TrainingRecord, decided_to_run: Sequence[datetime]) -> Queue:
    """Return how long a run stood in a queue after a decision had let it start, or go on.

    Of no more than ten real minutes, or a twentieth of the time until the starts, nothing is told.

    :param decided_to_run: when a decision said so, in time order; others than this run's waits and pauses are left aside.
    """
    first = _queued_s(run.submitted_at, run.started_at, decided_to_run)
    later = sum(_queued_s(gap.start, gap.end, decided_to_run) for gap in run.interruptions)
    until_starts_s = run.wait_s + sum((gap.end - gap.start).total_seconds() for gap in run.interruptions)
    real_s = (first + later) / (run.replay.speed if run.replay else 1.0)
    if real_s <= USUAL_START_S or first + later <= CLAIM_LIMIT_SHARE * until_starts_s:
        return Queue()
    return Queue(first, later)


def queue_reason(queued_s: float) -> str:
    """Say why waiting cannot be claimed for a run that stood in a queue, too."""
    return (
        f"{duration_text(queued_s)} of the time until the start came after the decision to start: that was a queue's, what it"
        " did to the emissions cannot be told from what the wait did, and neither is counted"
    )


def decision_files(folder: Path) -> tuple[Path, ...]:
    """Return where the decisions of a training lie: an instance of a mapped training (``RUN~3``) waited as its run did.

    The sensor of such a run is not mapped, so its decisions are in the run's own folder, beside those of the instances;
    the training's own are those about its pauses.
    """
    run, mark, index = folder.name.rpartition("~")
    beside = (folder.with_name(run) / _DECISIONS,) if mark and run and index.isdecimal() else ()
    return (*beside, folder / _DECISIONS)


def _queued_s(stop: datetime, start: datetime, decided_to_run: Sequence[datetime]) -> float:
    between = [at for at in decided_to_run if stop <= at <= start]
    return (start - between[-1]).total_seconds() if between else 0.0
