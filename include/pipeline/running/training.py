"""One training run, composed: the child trains, the parent measures, the grid's signal turns energy into grams."""

import threading
from collections.abc import Callable
from typing import Any

from include.pipeline.accounts.record import FinishedTraining, write_record
from include.pipeline.running.attempt import attempt_in, run_details
from include.pipeline.running.beginning import SETTLEMENT_S, begin
from include.pipeline.running.ledger_copies import ledger_copies
from include.pipeline.running.metering import Metering, measured, open_metering, told
from include.pipeline.running.progress import Progress
from include.pipeline.running.refresher import SignalRefresher
from include.pipeline.running.supervision import Hands, Supervision
from include.pipeline.running.training_run import TrainingRun
from include.records import TrainingRecord
from include.scheduler import GridSignal, clock_for
from include.tracker import EnergyMeter, EnergyRecorder, LedgerWriter, next_attempt, read_ledger
from include.trainer.checkpoint.folder import CheckpointFolder


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
    :param meter: CodeCarbon, as ``tracker.scope`` says, unless given.
    :raises TrainingError: the training failed or was stopped (TrainingStopped) or paused (TrainingPaused).
    :raises MeasurementError: the meter could not be set up, or the training went through without a row of energy; a record
        whose energy is known in part says so (``energy_complete``).
    :raises ConfigurationError: the unfinished training in the folder is of another configuration.
    :raises ArtifactError: the run's folder cannot be written, or another process is training in it.
    """
    training_id = begin(run)
    metering = open_metering(run) if meter is None else Metering(meter=meter, child_environment={})
    hands = Hands(
        stop=stop or threading.Event(),
        pause=pause or threading.Event(),
        on_progress=on_progress,
        on_checkpoint=on_checkpoint,
    )
    with (
        SignalRefresher(signal, clock_for(run.anchor), interval_s=_poke_s(run), look=look),
        LedgerWriter(run.folder.ledger, patience_s=SETTLEMENT_S) as ledger,
    ):
        finished = _attempt(run, training_id, signal, ledger, metering, hands)
    record = write_record(run, signal, finished)
    CheckpointFolder(run.folder.checkpoints).prune(keep=1)  # the trained weights; nothing will be gone on with
    return record


def _poke_s(run: TrainingRun) -> float:
    speed = run.anchor.speed if run.anchor else 1.0
    return run.config.values.scheduler.poke_interval.total_seconds() / speed


def _attempt(
    run: TrainingRun, training_id: str, signal: GridSignal, ledger: LedgerWriter, metering: Metering, hands: Hands
) -> FinishedTraining:
    before = read_ledger(run.folder.ledger)  # after the writer has taken its lock and mended a torn line
    attempt, meter = next_attempt(before.rows, before.events), metering.meter
    recorder = _recorder(run, signal, meter, ledger, attempt)
    supervision = Supervision(
        run, training_id, recorder, hands, attempt=attempt, environment=metering.child_environment
    )
    details = run_details(run, signal, meter)
    with ledger_copies(run), attempt_in(ledger, attempt, details, problems=lambda: told(recorder)):
        done = measured(recorder, meter, supervision.train)
    problems = (*before.problems, *recorder.problems)
    return FinishedTraining(result=done.result, meter=meter, problems=problems, shortfall=done.shortfall)


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
