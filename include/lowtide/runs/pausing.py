"""Pauses a training while it runs, where decide() says so: a pause check is a check like any other."""

import json
import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from lowtide.errors import ArtifactError, TrainingPaused
from lowtide.grid.client import IntensityClient
from lowtide.io import write_atomically
from lowtide.records import Clock, TrainingRecord
from lowtide.runs.context import TrainingRun
from lowtide.runs.folder import RunFolder
from lowtide.runs.run import Progress as Snapshot
from lowtide.runs.run import run_training, unfinished
from lowtide.scheduler.job import Job, Progress
from lowtide.scheduler.types import Action
from lowtide.scheduler.waiting import DecisionEvent, check

_log = logging.getLogger(__name__)

_KEPT = ("progress", "expected_duration_s")

# How often a training has paused and how far it was, kept outside the process: the attempt that resumes must not start counting anew.


def after_pause(job: Job) -> Job:
    """Return a paused job as its next slice begins."""
    progress = job.progress or Progress(done=timedelta(0), running=True, pauses=0)
    return replace(job, progress=replace(progress, running=True))


def note_pause(folder: RunFolder, job: Job) -> None:
    """Keep a pause in the run's folder; a full disk is logged and does not end the run."""
    start = unfinished(folder)
    if start is None or job.progress is None:
        return
    known = {"training_id": start.training_id} | {name: job.as_json()[name] for name in _KEPT}
    try:
        write_atomically(folder.pauses, json.dumps(known) + "\n")
    except (ArtifactError, OSError) as error:
        _log.warning("%s: the pause is not counted if the training is resumed", error)


def earlier_pauses(folder: RunFolder, job: Job, training_id: str) -> Job:
    """Return the job of a folder's unfinished training as its next slice begins, with the pauses that were kept of it.

    :param training_id: of the training that resumes; the pauses of another one are not counted.
    """
    if unfinished(folder) is None:
        return job
    try:
        known = json.loads(folder.pauses.read_text(encoding="utf-8"))
        if known["training_id"] != training_id:
            return job
        paused = Job.from_json(job.as_json() | {name: known[name] for name in _KEPT})
    except FileNotFoundError:
        return job
    except (OSError, ValueError, KeyError, TypeError) as error:
        _log.warning("%s cannot be read (%s); its pauses are not counted", folder.pauses, error)
        return job
    return after_pause(paused)


_LEAST_SHARE = 0.02
"""Of the samples, before the training's own speed is used."""


class PauseWatch:
    """Checks while a slice of a job runs whether it should pause, and requests it; the signal's refresher calls ``check``.

    How far the job is follows from the share of its samples. It takes as long as expected, or longer where its own speed says so.

    :param job: as it begins the slice: with the progress and the pauses of the slices before.
    :param on_decision: called with each decision, on the refresher's thread.
    """

    def __init__(
        self, job: Job, signal: IntensityClient, clock: Clock, *, on_decision: Callable[[DecisionEvent], None]
    ) -> None:
        self.request = threading.Event()
        self._job, self._signal, self._clock, self._on_decision = job, signal, clock, on_decision
        self._first: tuple[datetime, int] | None = None
        begun = job.progress or Progress(done=timedelta(0), running=True, pauses=0)
        # the expected duration and the progress are replaced together, since the refresher's thread reads them
        self._pace = job.expected_duration, replace(begun, running=True, slice_done=timedelta(0))

    def see(self, snapshot: Snapshot) -> None:
        """Take the training's progress into account."""
        total, samples = snapshot.samples_total, snapshot.samples
        if not total or not samples:
            return
        now = self._clock.now()
        began, at_begin = self._first = self._first or (now, samples)
        in_slice = max(0, samples - at_begin)
        expected = self._job.expected_duration
        if in_slice >= _LEAST_SHARE * total:
            expected = max(expected, (now - began) / in_slice * total)
        done, slice_done = expected * min(1.0, samples / total), expected * (in_slice / total)
        self._pace = expected, replace(self._pace[1], done=done, slice_done=slice_done)

    def paused(self) -> Job:
        """Return the job as a pause leaves it."""
        expected, progress = self._pace
        after = Progress(done=progress.done, running=False, pauses=progress.pauses + 1)
        return replace(self._job, expected_duration=expected, progress=after)

    def check(self) -> None:
        """Decide once; a pause that was requested is not requested again.

        :raises LowtideError: a replay that left its trace, or decisions that cannot be kept; the training continues.
        """
        if self.request.is_set():
            return
        expected, progress = self._pace
        job = replace(self._job, expected_duration=expected, progress=progress)
        event = check(job, self._signal, self._clock)
        self._on_decision(event)
        if event.decision.action is Action.PAUSE:
            self.request.set()


def train_slice(
    run: TrainingRun,
    job: Job,
    signal: IntensityClient,
    clock: Clock,
    *,
    on_decision: Callable[[DecisionEvent], None],
    on_progress: Callable[[Snapshot], None],
    **callbacks: Any,
) -> TrainingRecord | Job:
    """Train until the end, or under the policy ``interruptible`` until the job should pause.

    Each pause is kept in the run's folder, so that an attempt that resumes later (``earlier_pauses``) counts it.

    :param callbacks: further ones of ``run_training``.
    :return: the record, or the job as the pause leaves it.
    :raises LowtideError: as ``run_training`` says.
    """
    if job.policy != "interruptible":
        return run_training(run, signal, on_progress=on_progress, **callbacks)
    watch = PauseWatch(job, signal, clock, on_decision=on_decision)

    def see(snapshot: Snapshot) -> None:
        watch.see(snapshot)
        on_progress(snapshot)

    try:
        return run_training(run, signal, pause=watch.request, check=watch.check, on_progress=see, **callbacks)
    except TrainingPaused as paused:
        _log.info("%s", paused)
    job = watch.paused()
    note_pause(run.folder, job)
    return job
