"""The parent's loop while a child trains: hears it, passes on what is asked, tells recorder and people."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from include.config import PROJECT_ROOT
from include.errors import TrainingStopped
from include.pipeline.running.batch_sizes import note_sizes
from include.pipeline.running.progress import Progress, snapshot
from include.pipeline.running.training_run import TrainingRun
from include.records import Phase
from include.tracker import EnergyRecorder
from include.trainer.checkpoint.identity import CheckpointPlan
from include.trainer.data_sets.folder import default_data_folder
from include.trainer.processes.protocol import EventKind, TrainingEvent
from include.trainer.processes.supervisor import TrainingChild
from include.trainer.result import TrainingResult

_log = logging.getLogger(__name__)

_STOP_LATENCY_S = 0.2
"""How soon a request is noticed."""
_STOP_GRACE_S = 2.0
"""For the step that is under way and its checkpoint, before the signals; Airflow leaves a killed task 5 s in all."""
_PROGRESS_INTERVAL_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Hands:
    """What may be asked of a running training, and who is told of it."""

    stop: threading.Event
    pause: threading.Event
    on_progress: Callable[[Progress], None] | None
    on_checkpoint: Callable[[dict[str, Any]], None] | None


class Supervision:
    """One attempt, from the child's start to its end.

    :param attempt: its number in the ledger.
    :param environment: variables that the child must see, so that it uses no GPU that is not counted.
    """

    def __init__(
        self,
        run: TrainingRun,
        training_id: str,
        recorder: EnergyRecorder,
        hands: Hands,
        *,
        attempt: int,
        environment: Mapping[str, str],
    ) -> None:
        self._run, self._hands = run, hands
        plan = CheckpointPlan(folder=run.folder.checkpoints, run_id=run.run_id, training_id=training_id)
        self._child = TrainingChild(
            run.config.values.training,
            data_folder=default_data_folder(),
            log_path=run.folder.child_log,
            project_root=PROJECT_ROOT,
            checkpoints=plan,
            environment=environment,
        )
        self._watch = _Watch(run, recorder, hands, attempt=attempt)
        self._stop_asked_s: float | None = None

    def train(self) -> TrainingResult:
        """Train to the end.

        :raises TrainingStopped: stopped (TrainingPaused: paused) on request.
        :raises LowtideError: as the child's supervisor says.
        """
        with self._child as child:
            child.start()
            while True:
                self._pass_on_requests()
                try:
                    event = child.next_event(_STOP_LATENCY_S)
                except TrainingStopped as error:
                    raise type(error)(f"run {self._run.run_id}: {error}; its ledger is kept") from None
                self._watch.see(event)
                if event and event.kind is EventKind.FINISHED:
                    return TrainingResult.model_validate(event.data)

    def _pass_on_requests(self) -> None:
        if self._hands.pause.is_set():
            self._hands.pause.clear()  # asked once; a child that cannot save goes on, and may be asked again
            self._child.request_pause()
        if not self._hands.stop.is_set():
            return
        if self._stop_asked_s is None:
            self._stop_asked_s = time.monotonic()
            self._child.request_stop()
        elif time.monotonic() - self._stop_asked_s > _STOP_GRACE_S:
            self._child.end(grace_s=0.0)
            raise TrainingStopped(
                f"the training of run {self._run.run_id} was stopped on request, in the middle of a step; its ledger and"
                " its last checkpoint are kept"
            )


class _Watch:
    """Tells the recorder of phases, and a person of progress."""

    def __init__(self, run: TrainingRun, recorder: EnergyRecorder, hands: Hands, *, attempt: int) -> None:
        self._run, self._recorder, self._hands, self._attempt = run, recorder, hands, attempt
        self._phase = Phase.STARTUP
        self._last: TrainingEvent | None = None
        self._published_s = 0.0

    def see(self, event: TrainingEvent | None) -> None:
        """Take one event, or the absence of one, into account."""
        if event:
            self._tell(event)
        finished = event is not None and event.kind is EventKind.FINISHED
        if finished or time.monotonic() - self._published_s >= _PROGRESS_INTERVAL_S:
            self._publish()

    def _tell(self, event: TrainingEvent) -> None:
        if event.kind is EventKind.PHASE:
            self._phase = Phase(event.data["phase"])
            self._recorder.set_phase(self._phase)
        elif event.kind is EventKind.PROGRESS:
            self._last = event
        elif event.kind is EventKind.READY:
            note_sizes(self._run.folder, self._run.config.values, self._attempt, event.data)
        elif event.kind is EventKind.WARNING:
            self._note_warning(event.data["message"])
        elif event.kind is EventKind.NOTE:
            _log.info("training: %s", event.data["message"])
        elif event.kind is EventKind.RESUMED:
            self._note_resumed(event.data)
        elif event.kind is EventKind.CHECKPOINT:
            self._note_checkpoint(event.data)

    def _note_warning(self, message: str) -> None:
        _log.warning("training: %s", message)
        # at once, and in the folder: an attempt that is killed has warned too, and what it warned of holds for the next
        self._run.folder.note_attempt({"attempt": self._attempt, "warning": message})

    def _note_resumed(self, data: dict[str, Any]) -> None:
        _log.info(
            "going on from %s: optimizer step %s, epoch %s",
            data["checkpoint"],
            data["optimizer_step"],
            data["epoch"] + 1,
        )
        step, checkpoint = data["optimizer_step"], data["checkpoint"]
        self._run.folder.note_attempt({"attempt": self._attempt, "optimizer_step": step, "checkpoint": checkpoint})

    def _note_checkpoint(self, data: dict[str, Any]) -> None:
        _log.info(
            "checkpoint %s at optimizer step %s: %.1f MB in %.2f s",
            *(data["checkpoint"], data["optimizer_step"], data["size_bytes"] / 1e6, data["duration_s"]),
        )
        if self._hands.on_checkpoint:
            self._hands.on_checkpoint(data)

    def _publish(self) -> None:
        self._published_s = time.monotonic()
        progress = snapshot(self._phase, self._run.config.values.training.epochs, self._last, self._recorder.live())
        self._run.folder.publish("progress.json", progress.as_json())
        if self._hands.on_progress:
            self._hands.on_progress(progress)
