"""One training run, composed: the child trains, the parent measures, the grid's signal turns energy into grams."""

import logging
import threading
from collections.abc import Callable
from typing import Any

from include.pipeline.beginning import begin
from include.pipeline.progress import Progress
from include.pipeline.record import FinishedTraining, write_record
from include.pipeline.refresher import SignalRefresher
from include.pipeline.supervision import Hands, Supervision
from include.pipeline.training_run import TrainingRun
from include.records import TrainingRecord
from include.scheduler import GridSignal, clock_for
from include.tracker import CodeCarbonMeter, EnergyMeter, EnergyRecorder, LedgerWriter, read_ledger
from include.trainer.checkpoint.folder import CheckpointFolder
from include.trainer.result import TrainingResult

_log = logging.getLogger(__name__)


def run_training(
    run: TrainingRun,
    signal: GridSignal,
    *,
    stop: threading.Event | None = None,
    pause: threading.Event | None = None,
    look: Callable[[], None] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    on_checkpoint: Callable[[dict[str, Any]], None] | None = None,
    meter: EnergyMeter | None = None,
) -> TrainingRecord:
    """Train, measured, and leave ``record.json`` and ``ledger.jsonl`` in the run's folder.

    An unfinished training in the folder is gone on with, from its last checkpoint; see ``TrainingRun.training_id``.

    :param stop: set it to end the training soon, with what can be saved in 3 s; every ledger row is kept.
    :param pause: set it to end the training once its state is saved, however long that takes; cleared when it is passed on.
    :param look: called at every poke interval in place of the signal's own refreshing look: a pause check, say.
    :param on_checkpoint: told of each checkpoint (``protocol.TrainingEvent``'s data), on the calling thread.
    :param meter: CodeCarbon unless given.
    :raises TrainingError: the training failed or was stopped (TrainingStopped) or paused (TrainingPaused).
    :raises MeasurementError: the training went through, but its energy was not measured as a whole.
    :raises ConfigurationError: the unfinished training in the folder is of another configuration.
    :raises ArtifactError: the run's folder cannot be written, or another process is training in it.
    """
    training_id = begin(run)
    clock, meter = clock_for(run.anchor), meter or _meter(run)
    poke_s = run.config.values.scheduler.poke_interval.total_seconds() / (run.anchor.speed if run.anchor else 1.0)
    hands = Hands(
        stop=stop or threading.Event(),
        pause=pause or threading.Event(),
        on_progress=on_progress,
        on_checkpoint=on_checkpoint,
    )
    with SignalRefresher(signal, clock, interval_s=poke_s, look=look), LedgerWriter(run.folder.ledger) as ledger:
        before = read_ledger(run.folder.ledger)  # after the writer has taken its lock and mended a torn line
        attempt = 1 + max((row.attempt for row in before.rows), default=0)
        recorder = _recorder(run, signal, meter, ledger, attempt)
        result = _recorded(recorder, Supervision(run, training_id, recorder, hands, attempt=attempt))
        problems = (*before.problems, *recorder.problems)
    record = write_record(run, signal, FinishedTraining(result=result, meter=meter, problems=problems))
    CheckpointFolder(run.folder.checkpoints).prune(keep=1)  # the trained weights; nothing will be gone on with
    return record


def _recorder(
    run: TrainingRun, signal: GridSignal, meter: EnergyMeter, ledger: LedgerWriter, attempt: int
) -> EnergyRecorder:
    tracker = run.config.values.tracker
    return EnergyRecorder(
        meter,
        ledger,
        signal.booking,
        now=clock_for(run.anchor).now,
        interval_s=tracker.interval.total_seconds(),
        pue=tracker.pue,
        attempt=attempt,
    )


def _meter(run: TrainingRun) -> EnergyMeter:
    # without a list CodeCarbon counts every GPU that CUDA_VISIBLE_DEVICES shows, also for a training on the CPU
    return CodeCarbonMeter(gpu_ids=[] if run.config.values.training.device == "cpu" else None)


def _recorded(recorder: EnergyRecorder, supervision: Supervision) -> TrainingResult:
    try:
        with recorder:  # raises what keeps the ledger from being complete
            return supervision.train()
    finally:
        for problem in recorder.problems:
            _log.warning("energy ledger: %s", problem)
