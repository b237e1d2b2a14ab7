"""Pauses a training while it runs, where decide() says so: the pause check is a look like any other."""

import json
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from lowtide.errors import ArtifactError, TrainingPaused
from lowtide.grid.client import IntensityClient
from lowtide.grid.clock import Clock
from lowtide.io import write_json_atomically
from lowtide.records import TrainingRecord
from lowtide.runs.context import TrainingRun
from lowtide.runs.folder import RunFolder
from lowtide.runs.run import Progress as Snapshot
from lowtide.runs.run import run_training, unfinished
from lowtide.scheduler.job import Job, Progress
from lowtide.scheduler.types import Action, Decision
from lowtide.scheduler.waiting import DecisionEvent, look

# How often a training has paused and how far it was, in words that survive the process: who goes on must not count anew.


_log = logging.getLogger(__name__)


def resumed(job: Job) -> Job:
    """Return a paused job as its next slice begins."""
    progress = job.progress or Progress(done=timedelta(0), running=True, pauses=0)
    return replace(job, progress=replace(progress, running=True))


def pauses_as_json(job: Job, training_id: str) -> dict[str, Any]:
    """Return what ``with_pauses`` needs; nothing where the job has not begun."""
    if job.progress is None:
        return {}
    return {
        "training_id": training_id,
        "progress": job.progress.as_json(),
        "expected_duration_s": job.expected_duration.total_seconds(),
    }


def with_pauses(job: Job, known: Any, training_id: str) -> Job:
    """Return a job as its next slice begins; unchanged where what is known is of another training, or nothing."""
    if not isinstance(known, dict) or known.get("training_id") != training_id:
        return job
    expected = timedelta(seconds=known["expected_duration_s"])
    return resumed(replace(job, expected_duration=expected, progress=Progress.from_json(known["progress"])))


def note_pause(folder: RunFolder, job: Job) -> None:
    """Keep a pause in the run's folder; a full disk is told and does not end the run."""
    beginning = unfinished(folder)
    if beginning is None:
        return
    try:
        write_json_atomically(folder.pauses, json.dumps(pauses_as_json(job, beginning.training_id)))
    except (ArtifactError, OSError) as error:
        _log.warning("%s: the pause is not counted if the training must be gone on with by hand", error)


def earlier_pauses(folder: RunFolder, job: Job) -> Job:
    """Return the job of a folder's unfinished training with the pauses that were kept of it."""
    beginning = unfinished(folder)
    try:
        known = json.loads(folder.pauses.read_text(encoding="utf-8"))
        return with_pauses(job, known, beginning.training_id) if beginning else job
    except FileNotFoundError:
        return job
    except (OSError, ValueError, KeyError, TypeError) as error:
        _log.warning("%s cannot be read (%s); its pauses are not counted", folder.pauses, error)
        return job


_LEAST_SHARE = 0.02
"""Of the samples, before the training's own speed is believed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """How many samples were done when."""

    at: datetime
    samples: int


@dataclass(frozen=True, slots=True)
class _Pace:
    """How far a job is, and how long it takes: as expected, or longer where its own speed says so."""

    job: Job
    done: timedelta
    expected: timedelta
    slice_done: timedelta = timedelta(0)
    first: _Seen | None = None

    def after(self, snapshot: Snapshot, now: datetime) -> "_Pace":
        """Return the pace after a snapshot: the share of the samples is the share of the work."""
        total = snapshot.samples_total
        if not total or not snapshot.samples:
            return self
        first = self.first or _Seen(at=now, samples=snapshot.samples)
        in_slice = max(0, snapshot.samples - first.samples)
        expected = self.job.expected_duration
        if in_slice >= _LEAST_SHARE * total:
            expected = max(expected, (now - first.at) / in_slice * total)
        share = min(1.0, snapshot.samples / total)
        return replace(
            self, done=expected * share, expected=expected, slice_done=expected * (in_slice / total), first=first
        )


class PauseWatch:
    """Looks at the grid while a slice of a job runs, and asks for a pause; the signal's refresher calls ``look``.

    :param job: as it begins the slice: with the progress and the pauses of the slices before.
    :param on_look: told of each look, on the refresher's thread.
    """

    def __init__(
        self, job: Job, signal: IntensityClient, clock: Clock, *, on_look: Callable[[DecisionEvent], None]
    ) -> None:
        self.request = threading.Event()
        self._begun = job.progress or Progress(done=timedelta(0), running=True, pauses=0)
        self._job, self._signal, self._clock, self._on_look = job, signal, clock, on_look
        self._pace = _Pace(job, self._begun.done, job.expected_duration)

    def see(self, snapshot: Snapshot) -> None:
        """Take the training's progress into account."""
        self._pace = self._pace.after(snapshot, self._clock.now())

    def telling(self, on_progress: Callable[[Snapshot], None]) -> Callable[[Snapshot], None]:
        """Return what sees a snapshot and passes it on."""

        def see(snapshot: Snapshot) -> None:
            self.see(snapshot)
            on_progress(snapshot)

        return see

    def paused(self) -> Job:
        """Return the job as a pause leaves it."""
        pace = self._pace
        return self._with(pace, Progress(done=pace.done, running=False, pauses=self._begun.pauses + 1))

    def _with(self, pace: "_Pace", progress: Progress) -> Job:
        return replace(self._job, expected_duration=pace.expected, progress=progress)

    def look(self) -> None:
        """Look once; a pause that was asked for is not asked for again.

        :raises LowtideError: a replay that left its trace, or evidence that cannot be kept; the training goes on.
        """
        if self.request.is_set():
            return
        pace = self._pace
        running = Progress(done=pace.done, running=True, pauses=self._begun.pauses, slice_done=pace.slice_done)
        looked = look(self._with(pace, running), self._signal, self._clock)
        self._on_look(looked)
        if looked.decision.action is Action.PAUSE:
            self.request.set()


def train_with_pauses(
    run: TrainingRun,
    job: Job,
    signal: IntensityClient,
    clock: Clock,
    *,
    on_look: Callable[[DecisionEvent], None],
    on_progress: Callable[[Snapshot], None],
    wait: Callable[[Job], Decision],
) -> TrainingRecord:
    """Train in as many slices as the policy ``interruptible`` wants; any other policy trains in one.

    Each pause is kept in the run's folder, so that who goes on with it later (``pauses.earlier_pauses``) counts on.

    :param wait: holds a paused job until it is to go on.
    :raises LowtideError: as ``run_training`` says.
    """
    if job.policy != "interruptible":
        return run_training(run, signal, on_progress=on_progress)
    while True:
        watch = PauseWatch(job, signal, clock, on_look=on_look)
        try:
            return run_training(
                run, signal, pause=watch.request, look=watch.look, on_progress=watch.telling(on_progress)
            )
        except TrainingPaused:
            job = watch.paused()
        note_pause(run.folder, job)
        wait(job)
        job = resumed(job)
