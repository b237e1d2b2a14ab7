"""One training run, composed: the child trains, the parent measures, the grid's signal turns energy into grams."""

import logging
import threading
import time
from collections.abc import Callable, Mapping

from include.config import PROJECT_ROOT
from include.errors import TrainingStopped
from include.pipeline.attempt import attempt_in, run_details
from include.pipeline.ledger_copies import ledger_copies
from include.pipeline.metering import Metering, measured, open_metering, told
from include.pipeline.progress import Progress, snapshot
from include.pipeline.record import FinishedTraining, write_record
from include.pipeline.refresher import SignalRefresher
from include.pipeline.training_run import TrainingRun
from include.records import Phase, TrainingRecord
from include.scheduler import GridSignal, clock_for
from include.tracker import EnergyMeter, EnergyRecorder, LedgerWriter, next_attempt, read_ledger
from include.trainer.data_folder import default_data_folder
from include.trainer.protocol import EventKind, TrainingEvent
from include.trainer.result import TrainingResult
from include.trainer.supervisor import TrainingChild

_log = logging.getLogger(__name__)

_STOP_LATENCY_S = 0.2
"""How soon a request to stop is noticed; Airflow leaves a killed task 5 s in all."""
_PROGRESS_INTERVAL_S = 1.0


def run_training(
    run: TrainingRun,
    signal: GridSignal,
    *,
    stop: threading.Event | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    meter: EnergyMeter | None = None,
) -> TrainingRecord:
    """Train once, measured, and leave ``record.json`` and ``ledger.jsonl`` in the run's folder.

    :param stop: set it to end the training soon; every ledger row is kept.
    :param meter: CodeCarbon, as ``tracker.scope`` says, unless given.
    :raises TrainingError: the training failed or (TrainingStopped) was stopped.
    :raises MeasurementError: the meter could not be set up, or the training went through without a row of energy; a record
        whose energy is known in part says so (``energy_complete``).
    :raises ArtifactError: the run's folder cannot be written.
    """
    anchor = run.anchor.model_dump(mode="json") if run.anchor else None
    run.folder.begin({"configuration": run.config.sha256, "replay": anchor})
    clock, asked = clock_for(run.anchor), stop or threading.Event()
    tracker = run.config.values.tracker
    metering = open_metering(run) if meter is None else Metering(meter=meter, child_environment={})
    meter = metering.meter
    poke_s = run.config.values.scheduler.poke_interval.total_seconds() / (run.anchor.speed if run.anchor else 1.0)
    with SignalRefresher(signal, clock, interval_s=poke_s), LedgerWriter(run.folder.ledger) as ledger:
        before = read_ledger(run.folder.ledger)  # after the writer has taken its lock and mended a torn line
        attempt = next_attempt(before.rows, before.events)
        recorder = EnergyRecorder(
            meter,
            ledger,
            signal.booking,
            now=clock.now,
            interval_s=tracker.interval.total_seconds(),
            pue=tracker.pue,
            attempt=attempt,
        )
        with (
            ledger_copies(run),
            attempt_in(ledger, attempt, run_details(run, signal, meter), problems=lambda: told(recorder)),
        ):
            done = measured(
                recorder, meter, lambda: _train(run, recorder, asked, on_progress, metering.child_environment)
            )
        problems = (*before.problems, *recorder.problems)
    finished = FinishedTraining(result=done.result, meter=meter, problems=problems, shortfall=done.shortfall)
    return write_record(run, signal, finished)


def _train(
    run: TrainingRun,
    recorder: EnergyRecorder,
    stop: threading.Event,
    on_progress: Callable[[Progress], None] | None,
    environment: Mapping[str, str],
) -> TrainingResult:
    training = run.config.values.training
    child = TrainingChild(
        training,
        data_folder=default_data_folder(),
        log_path=run.folder.child_log,
        project_root=PROJECT_ROOT,
        environment=environment,
    )
    watch = _Watch(run, recorder, on_progress)
    with child:
        child.start()
        while True:
            if stop.is_set():
                child.end()
                raise TrainingStopped(f"the training of run {run.run_id} was stopped on request; its ledger is kept")
            event = child.next_event(_STOP_LATENCY_S)
            watch.see(event)
            if event and event.kind is EventKind.FINISHED:
                return TrainingResult.model_validate(event.data)


class _Watch:
    """Tells the recorder of phases, and a person of progress."""

    def __init__(
        self, run: TrainingRun, recorder: EnergyRecorder, on_progress: Callable[[Progress], None] | None
    ) -> None:
        self._run = run
        self._recorder = recorder
        self._on_progress = on_progress
        self._phase = Phase.STARTUP
        self._last: TrainingEvent | None = None
        self._published_s = 0.0

    def see(self, event: TrainingEvent | None) -> None:
        """Take one event, or the absence of one, into account."""
        if event and event.kind is EventKind.PHASE:
            self._phase = Phase(event.data["phase"])
            self._recorder.set_phase(self._phase)
        if event and event.kind is EventKind.PROGRESS:
            self._last = event
        finished = event is not None and event.kind is EventKind.FINISHED
        if finished or time.monotonic() - self._published_s >= _PROGRESS_INTERVAL_S:
            self._publish()

    def _publish(self) -> None:
        self._published_s = time.monotonic()
        progress = snapshot(self._phase, self._run.config.values.training.epochs, self._last, self._recorder.live())
        self._run.folder.publish("progress.json", progress.as_json())
        if self._on_progress:
            self._on_progress(progress)
