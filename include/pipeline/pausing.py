"""Pauses a training while it runs, where decide() says so: the pause check is a look like any other."""

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from types import TracebackType
from typing import Self

from include.errors import TrainingPaused, UserError
from include.pipeline.progress import Progress as Snapshot
from include.pipeline.telling import Looked
from include.pipeline.training import run_training
from include.pipeline.training_run import TrainingRun
from include.pipeline.waiting import look
from include.records import TrainingRecord
from include.scheduler import Action, Clock, Decision, GridSignal, Job
from include.scheduler.pausing import Progress

_log = logging.getLogger(__name__)

_SHORTEST_INTERVAL_S = 1.0
"""A fast replay must not spend the measured machine's time on looking."""


class PauseWatch:
    """A thread that looks at the grid at every poke interval while a slice of a job runs, and asks for a pause.

    :param job: as it begins the slice: with the progress and the pauses of the slices before.
    :param on_look: told of each look, on this thread.
    """

    def __init__(self, job: Job, signal: GridSignal, clock: Clock, *, on_look: Callable[[Looked], None]) -> None:
        self.request = threading.Event()
        self._begun = job.progress or Progress(done=timedelta(0), running=True, pauses=0)
        self._job, self._signal, self._clock, self._on_look = job, signal, clock, on_look
        self._done = self._begun.done
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lowtide-pauses", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(timeout=1.0)  # a request in flight may outlive the slice; it harms nobody

    def see(self, snapshot: Snapshot) -> None:
        """Take the training's progress into account: its share of the samples is its share of the expected duration."""
        if snapshot.samples_total:
            share = min(1.0, snapshot.samples / snapshot.samples_total)
            self._done = max(self._done, self._job.expected_duration * share)

    def telling(self, on_progress: Callable[[Snapshot], None]) -> Callable[[Snapshot], None]:
        """Return what sees a snapshot and passes it on."""

        def see(snapshot: Snapshot) -> None:
            self.see(snapshot)
            on_progress(snapshot)

        return see

    def paused(self) -> Job:
        """Return the job as a pause leaves it."""
        return self._with(Progress(done=self._done, running=False, pauses=self._begun.pauses + 1))

    def _with(self, progress: Progress) -> Job:
        return replace(self._job, progress=progress)

    def _run(self) -> None:
        now = self._clock.now()
        interval_s = max(_SHORTEST_INTERVAL_S, self._clock.seconds_until(now + self._job.poke_interval))
        while not self._ended.wait(interval_s) and not self.request.is_set():
            self._look()

    def _look(self) -> None:
        done = self._done
        running = Progress(
            done=done, running=True, pauses=self._begun.pauses, slice_done=max(timedelta(0), done - self._begun.done)
        )
        try:
            looked = look(self._with(running), self._signal, self._clock)
        except UserError as error:  # a replay that left its trace: the training goes on
            _log.warning("pause check: %s", error)
            return
        self._on_look(looked)
        if looked.decision.action is Action.PAUSE:
            self.request.set()


def resumed(job: Job) -> Job:
    """Return a paused job as its next slice begins."""
    progress = job.progress or Progress(done=timedelta(0), running=True, pauses=0)
    return replace(job, progress=replace(progress, running=True))


def train_with_pauses(
    run: TrainingRun,
    job: Job,
    signal: GridSignal,
    clock: Clock,
    *,
    on_look: Callable[[Looked], None],
    on_progress: Callable[[Snapshot], None],
    wait: Callable[[Job], Decision],
) -> TrainingRecord:
    """Train in as many slices as the policy ``interruptible`` wants; any other policy trains in one.

    :param wait: holds a paused job until it is to go on.
    :raises LowtideError: as ``run_training`` says.
    """
    if job.policy != "interruptible":
        return run_training(run, signal, on_progress=on_progress)
    while True:
        with PauseWatch(job, signal, clock, on_look=on_look) as watch:
            try:
                return run_training(run, signal, pause=watch.request, on_progress=watch.telling(on_progress))
            except TrainingPaused:
                job = watch.paused()
        wait(job)
        job = resumed(job)
