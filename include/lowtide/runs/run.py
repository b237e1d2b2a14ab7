"""What happens to the files of a run when it is begun, begun again, or gone on with."""

import contextlib
import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from lowtide.config.loader import PROJECT_ROOT
from lowtide.config.schema import AUTO, LowtideConfig
from lowtide.errors import (
    ArtifactError,
    ConfigurationError,
    LedgerInUse,
    LowtideError,
    MeasurementError,
    TrainingPaused,
    TrainingStopped,
)
from lowtide.grid.client import IntensityClient
from lowtide.grid.clock import Clock, clock_for
from lowtide.io import hold_ledger, write_json_atomically
from lowtide.records import Phase, ReplayAnchor, TrainingRecord
from lowtide.runs.account import FinishedTraining, write_record
from lowtide.runs.context import TrainingRun, comparison_key, note_sizes, run_identity
from lowtide.runs.folder import RunFolder
from lowtide.timeutil import format_moment
from lowtide.tracker.codecarbon import CodeCarbonMeter
from lowtide.tracker.gpu import VISIBLE
from lowtide.tracker.ledger import INCOMPLETE, LedgerWriter, next_attempt, read_ledger
from lowtide.tracker.meter import EnergyMeter
from lowtide.tracker.process_share import AttributedMeter, ProcessTree
from lowtide.tracker.recorder import EnergyRecorder, LiveFigures
from lowtide.trainer.checkpoint import CheckpointFolder, Manifest, first_difference
from lowtide.trainer.mnist import default_data_folder
from lowtide.trainer.process import TrainingChild
from lowtide.trainer.protocol import CheckpointPlan, EventKind, TrainingEvent, TrainingResult

# What a ledger says of an attempt: what the run is about when it opens, how it went when it closes.


def run_details(run: TrainingRun, signal: IntensityClient, meter: EnergyMeter) -> dict[str, Any]:
    """Return what a reader must know to make an account of a ledger whose run left no record."""
    config = run.config.values
    training = config.training
    return {
        "run_id": run.run_id,
        "comparison_key": comparison_key(config),
        "configuration": f"{run.config.source} sha256:{run.config.sha256}",
        "grid": config.grid.model_dump(mode="json") | {"provider": signal.provider_name},
        "report": config.report.model_dump(mode="json"),
        "zone": config.grid.zone,
        "signal_type": signal.signal_type.value,
        "emission_factor_type": signal.emission_factor_type.value,
        "policy": config.scheduler.policy,
        "submitted_at": format_moment(run.submitted_at),
        "replay": run.anchor.model_dump(mode="json") if run.anchor else None,
        "interval_s": config.tracker.interval.total_seconds(),
        "pue": config.tracker.pue,
        "measuring_scope": meter.scope,
        "methods": dict(meter.methods),
        "gpu_devices": list(meter.gpu_devices),
        "versions": dict(meter.versions),
        "precision": training.precision,
        "micro_batch_size": None if training.micro_batch_size == AUTO else training.micro_batch_size,
        "accumulation_steps": training.accumulation_steps,
        "effective_batch_size": training.effective_batch_size,
        "seed": training.seed,
    }


@contextmanager
def attempt_in(
    ledger: LedgerWriter, number: int, details: Mapping[str, Any], *, problems: Callable[[], Sequence[str]]
) -> Iterator[None]:
    """Open an attempt and close it however it ends; only a process that is killed leaves it open, and that shows.

    :param problems: what went wrong with the measuring so far; asked for at the end.
    """
    ledger.open_attempt(number, details)
    try:
        yield
    except BaseException as error:
        try:
            ledger.close_attempt(_outcome(error), problems())
        except ArtifactError as failure:
            error.add_note(f"the energy ledger's attempt could not be closed: {failure}")
        raise
    ledger.close_attempt("finished", problems())


def _outcome(error: BaseException) -> str:
    if isinstance(error, TrainingPaused):
        return "paused"
    return "stopped" if isinstance(error, TrainingStopped) else "failed"


_log = logging.getLogger(__name__)

SETTLEMENT_S = 5.0
"""For so long an attempt waits for who holds its ledger: a settlement may be at work there for a moment."""


class Beginning(BaseModel):
    """``identity.json``: which training the folder's files belong to, and the moments fixed when it began."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    training_id: str
    run_id: str
    submitted_at: AwareDatetime
    identity: dict[str, Any]

    @property
    def anchor(self) -> ReplayAnchor | None:
        """The link between real and virtual time, under replay."""
        replay = self.identity.get("replay")
        return ReplayAnchor.model_validate(replay) if replay else None


def new_training_id() -> str:
    """Return a name that no other training has."""
    return secrets.token_hex(8)


def unfinished(folder: RunFolder) -> Beginning | None:
    """Return the training that was begun in a folder and not finished; None if there is none, or its name is unreadable."""
    if folder.is_finished:
        return None
    try:
        return Beginning.model_validate_json(folder.identity.read_text(encoding="utf-8"))
    except (OSError, ValidationError):
        return None


def goes_on(folder: RunFolder, config: LowtideConfig) -> Beginning | None:
    """Return the unfinished training that an attempt with this configuration would go on with, or be refused for.

    One that was begun with another configuration and has saved nothing (a mistake that was mended) is not gone on with.
    """
    earlier = unfinished(folder)
    if earlier is None:
        return None
    anchor = earlier.anchor if config.grid.provider == "replay" else None
    same = first_difference(earlier.identity, run_identity(config, anchor), "") is None
    return earlier if same or last_checkpoint(folder) else None


def last_checkpoint(folder: RunFolder) -> Manifest | None:
    """Return the newest checkpoint that an attempt could go on from."""
    return CheckpointFolder(folder.checkpoints).newest()


def begin(run: TrainingRun) -> str:
    """Prepare the folder for an attempt and return the id of the training that it belongs to.

    What a finished training left is moved to ``finished-N``. What an unfinished one of the same identity left stays: its
    checkpoint is gone on from, and its ledger continued, because the energy was used for this result too; what was read back
    from that ledger after a kill goes, since the record will tell of all attempts. What another one left is moved to
    ``other-N``.

    :raises ConfigurationError: an unfinished training has a checkpoint, but the configuration is another one by now.
    :raises ArtifactError: the folder cannot be written, or another process is training in it.
    """
    run.folder.create()
    with _held(run.folder):
        return _begin(run)


def _begin(run: TrainingRun) -> str:
    folder = run.folder
    earlier, wanted = unfinished(folder), run.training_id
    identity = run_identity(run.config.values, run.anchor)
    if folder.is_finished:
        moved = _move_to(folder, "finished")
        _log.warning("the finished training in %s is in %s now: it trains anew", folder.path, moved)
    elif earlier is None or (wanted is not None and wanted != earlier.training_id):
        _set_aside(folder, "they belong to another training")
    else:
        difference = refuse_another_training(run, earlier)
        if difference is None:
            _forget_account(folder)
            return earlier.training_id
        _set_aside(folder, difference)
    training_id = wanted or new_training_id()
    beginning = Beginning(training_id=training_id, run_id=run.run_id, submitted_at=run.submitted_at, identity=identity)
    write_json_atomically(folder.identity, beginning.model_dump_json(indent=2))
    return training_id


@contextlib.contextmanager
def _held(folder: RunFolder) -> Iterator[None]:
    # the ledger of a training that still runs must not be taken from under it, nor one be settled that is gone on with
    if not folder.ledger.exists():
        yield
        return
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(hold_ledger(folder.ledger, patience_s=SETTLEMENT_S))
        except LedgerInUse:
            raise ArtifactError(
                f"{folder.path}: another process is training in this folder; wait for it, or end it"
            ) from None
        with contextlib.suppress(FileNotFoundError):
            os.utime(folder.identity)  # a sign of life: the attempt's first row may be a minute away
        yield


def _forget_account(folder: RunFolder) -> None:
    # what was derived goes, the facts stay; the record last: as long as it is there, this is done again
    folder.emissions.unlink(missing_ok=True)
    folder.record.unlink(missing_ok=True)


def refuse_another_training(run: TrainingRun, earlier: Beginning) -> str | None:
    """Return in words how a run differs from the unfinished training in its folder; None where it is the same.

    :raises ConfigurationError: it differs, and the training has a checkpoint, which would be lost.
    """
    folder = run.folder
    difference = first_difference(earlier.identity, run_identity(run.config.values, run.anchor), "")
    found = last_checkpoint(folder) if difference else None
    if found is not None:
        raise ConfigurationError(
            f"{difference}, but {folder.path} holds an unfinished training with a checkpoint at optimizer step"
            f" {found.optimizer_step}; set it back to go on, or start over (--fresh, or a new run)"
        )
    return difference


def _set_aside(folder: RunFolder, why: str) -> None:
    moved = _move_to(folder, "other")
    if moved:
        _log.warning("what an earlier attempt left in %s is in %s now: %s", folder.path, moved, why)


def _move_to(folder: RunFolder, name: str) -> str | None:
    # the record last: as long as it stands, what is half moved is known for a finished training's
    kept = (
        *(folder.ledger, folder.submission_readings, folder.child_log, folder.attempts, folder.checkpoints),
        *sorted(folder.path.glob(f"{folder.ledger.name}.*")),  # torn lines
        *(folder.intensity, folder.emissions, folder.pauses, folder.identity, folder.record),
    )
    present = [path for path in kept if path.exists()]
    if not present:
        return None
    number = 1 + sum(1 for _ in folder.path.glob(f"{name}-*"))
    target = folder.path / f"{name}-{number}"
    target.mkdir()
    for path in present:
        path.replace(target / path.name)
    return target.name


# How a run's energy is measured, and what becomes of the run when that goes wrong: the training itself always goes on.


@dataclass(frozen=True, slots=True, kw_only=True)
class Metering:
    """The meter, and variables that the training child must see so that it uses no GPU that is not counted."""

    meter: EnergyMeter
    child_environment: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A training's result; ``shortfall`` says what is missing of its energy, None = nothing."""

    result: TrainingResult
    shortfall: str | None = None


def open_metering(run: TrainingRun) -> Metering:
    """Set CodeCarbon up for the GPUs that the child can use, and charge the run its share of the machine unless told otherwise.

    :raises MeasurementError: CodeCarbon cannot be set up.
    """
    config = run.config.values
    machine = CodeCarbonMeter(gpu_ids=[] if config.training.device == "cpu" else None)
    visible = machine.selection.visible
    environment = {} if visible is None else {VISIBLE: visible}
    if config.tracker.scope == "machine":
        return Metering(meter=machine, child_environment=environment)
    try:
        return Metering(meter=AttributedMeter(machine, ProcessTree()), child_environment=environment)
    except MeasurementError as error:
        _log.warning("the run is charged all that the machine uses, since its share of it is not known: %s", error)
        return Metering(meter=machine, child_environment=environment)


def measured(recorder: EnergyRecorder, meter: EnergyMeter, train: Callable[[], TrainingResult]) -> Measured:
    """Train while the recorder runs; what goes wrong with the measuring is kept, and ends no training.

    :raises LowtideError: what ``train`` raises, or a meter that does not start.
    """
    result: TrainingResult | None = None
    try:
        with recorder:
            result = train()
    except Exception as failure:
        if result is None:
            raise
        shortfall: str | None = f"{INCOMPLETE}{failure}"
    else:
        shortfall = _unseen_gpu(result, meter)
    finally:
        for problem in recorder.problems:
            _log.warning("energy ledger: %s", problem)
    if shortfall is not None:
        _log.warning("%s", shortfall)
    return Measured(result=result, shortfall=shortfall)


def told(recorder: EnergyRecorder) -> tuple[str, ...]:
    """Return what an attempt's closing line says of its measuring, with what is missing of its energy for the next attempt."""
    failure = recorder.failure
    return recorder.problems if failure is None else (f"{INCOMPLETE}{failure}", *recorder.problems)


def _unseen_gpu(result: TrainingResult, meter: EnergyMeter) -> str | None:
    if not result.device.startswith("cuda") or meter.methods["gpu"] != "none":
        return None
    return (
        f"{INCOMPLETE}it ran on {result.device_name}, whose energy could not be measured"
        " (CodeCarbon finds no GPU through NVML and nvidia-smi)"
    )


# How often a long run tells a log how it goes: often at first, when somebody watches, and seldom through the night.


_PACES_S = ((120.0, 15.0), (3600.0, 60.0), (float("inf"), 300.0))
"""Until a run is so many seconds old, a line every so many seconds: some 180 lines in ten hours."""


class LogPace:
    """Says when the next line is due; the first is at once."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began_s = clock()
        self._next_s = self._began_s

    def is_due(self) -> bool:
        """Whether a line is due now; if so, the next one is some time away."""
        now_s = self._clock()
        if now_s < self._next_s:
            return False
        self._next_s = now_s + next(every_s for until_s, every_s in _PACES_S if now_s - self._began_s < until_s)
        return True


# What a person sees while a training runs: one small snapshot, about once a second.


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One look at a running training; energy before PUE, emissions with it."""

    phase: str
    epoch: int
    epochs: int
    samples: int
    samples_total: int
    samples_per_s: float
    loss: float | None
    power_w: float
    energy_kwh: float
    emissions_gco2eq: float
    carbon_intensity_gco2eq_per_kwh: float | None

    def as_json(self) -> dict[str, Any]:
        """Return the snapshot as a JSON-able mapping."""
        return asdict(self)

    def sentence(self) -> str:
        """Return the snapshot as one line for a task log."""
        intensity = self.carbon_intensity_gco2eq_per_kwh
        grid = "" if intensity is None else f" at {intensity:.0f} g/kWh"
        loss = "" if self.loss is None else f", loss {self.loss:.4f}"
        return (
            f"{self.phase}: epoch {self.epoch}/{self.epochs}, {self.samples:,} of {self.samples_total:,} samples"
            f" ({self.samples_per_s:,.0f}/s){loss}; {self.power_w:.1f} W, {self.energy_kwh * 1000:.3f} Wh,"
            f" {self.emissions_gco2eq:.3f} g{grid}"
        )


def snapshot(phase: str, epochs: int, last: TrainingEvent | None, live: LiveFigures) -> Progress:
    """Put the child's last progress event and the tracker's live figures together."""
    data = last.data if last else {}
    return Progress(
        phase=phase,
        epoch=data.get("epoch", 0),
        epochs=epochs,
        samples=data.get("samples", 0),
        samples_total=data.get("samples_total", 0),
        samples_per_s=data.get("samples_per_s", 0.0),
        loss=data.get("loss"),
        power_w=live.power_w,
        energy_kwh=live.energy_kwh,
        emissions_gco2eq=live.emissions_gco2eq,
        carbon_intensity_gco2eq_per_kwh=live.carbon_intensity_gco2eq_per_kwh,
    )


# Keeps the signal's last reading young while a training runs, without the training waiting for a request.


_SHORTEST_INTERVAL_S = 1.0
"""A fast replay must not spend the measured machine's time on looking."""


class SignalRefresher:
    """A thread that looks at the grid every ``interval_s`` real seconds; booking then uses what it saw.

    :param look: a look at the same signal that somebody wants anyway; made in place of this one's own while it runs.
    """

    def __init__(
        self, signal: IntensityClient, clock: Clock, *, interval_s: float, look: Callable[[], None] | None = None
    ) -> None:
        self._signal = signal
        self._clock = clock
        self._look_instead = look
        self._interval_s = max(_SHORTEST_INTERVAL_S, interval_s)
        self._told: tuple[str, ...] = ()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lowtide-signal", daemon=True)

    def __enter__(self) -> Self:
        try:
            self._look()  # before the training: the first row is booked at a reading, not at a guess
        except LowtideError as error:  # booking goes on with the profile, marked as such
            _log.warning("grid signal: %s", error)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(timeout=1.0)  # a request in flight may outlive the training; it harms nobody

    def _run(self) -> None:
        look = self._look_instead or self._look
        while not self._ended.wait(self._interval_s):
            try:
                look()
            except LowtideError as error:  # a replay that left its trace, a full disk: the training goes on
                _log.warning("grid signal: %s", error)

    def _look(self) -> None:
        outlook = self._signal.outlook(self._clock.now())
        if outlook.steps != self._told:  # a fast replay looks every few seconds: say only what is new
            self._told = outlook.steps
            for step in outlook.steps:  # a fallback is also told at a terminal, which shows warnings alone
                _log.log(logging.WARNING if outlook.failed_checks else logging.INFO, "grid signal: %s", step)


# The parent's loop while a child trains: hears it, passes on what is asked, tells recorder and people.


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


# One training run, composed: the child trains, the parent measures, the grid's signal turns energy into grams.


def run_training(
    run: TrainingRun,
    signal: IntensityClient,
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
    run: TrainingRun, training_id: str, signal: IntensityClient, ledger: LedgerWriter, metering: Metering, hands: Hands
) -> FinishedTraining:
    before = read_ledger(run.folder.ledger)  # after the writer has taken its lock and mended a torn line
    attempt, meter = next_attempt(before.rows, before.events), metering.meter
    recorder = _recorder(run, signal, meter, ledger, attempt)
    supervision = Supervision(
        run, training_id, recorder, hands, attempt=attempt, environment=metering.child_environment
    )
    details = run_details(run, signal, meter)
    with attempt_in(ledger, attempt, details, problems=lambda: told(recorder)):
        done = measured(recorder, meter, supervision.train)
    problems = (*before.problems, *recorder.problems)
    return FinishedTraining(result=done.result, meter=meter, problems=problems, shortfall=done.shortfall)


def _recorder(
    run: TrainingRun, signal: IntensityClient, meter: EnergyMeter, ledger: LedgerWriter, attempt: int
) -> EnergyRecorder:
    tracker = run.config.values.tracker
    return EnergyRecorder(
        meter,
        ledger,
        signal.known,
        now=clock_for(run.anchor).now,
        interval_s=tracker.interval.total_seconds(),
        pue=tracker.pue,
        attempt=attempt,
    )
