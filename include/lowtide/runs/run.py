"""One training run, composed: the child trains, the parent measures, and the grid's intensity values the energy."""

import contextlib
import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from typing import Any, Self, cast

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
from lowtide.grid.series import best_known, gaps
from lowtide.io import hold_ledger, write_atomically
from lowtide.records import Clock, Phase, ReplayAnchor, TrainingRecord
from lowtide.runs.account import Facts, derive
from lowtide.runs.context import SIZES, RunDetails, TrainingRun, comparison_key, run_identity
from lowtide.runs.folder import RunFolder
from lowtide.timeutil import utc_now
from lowtide.tracker.codecarbon import CodeCarbonMeter
from lowtide.tracker.gpu import VISIBLE
from lowtide.tracker.ledger import INCOMPLETE, IntensityLog, LedgerWriter
from lowtide.tracker.meter import EnergyMeter
from lowtide.tracker.process_share import AttributedMeter, ProcessTree
from lowtide.tracker.recorder import EnergyRecorder
from lowtide.trainer.checkpoint_manager import CheckpointManager, Manifest, first_difference
from lowtide.trainer.child_process import TrainingChild
from lowtide.trainer.protocol import CheckpointPlan, EventKind, TrainingEvent, TrainingResult


def run_details(run: TrainingRun, signal: IntensityClient, meter: EnergyMeter) -> dict[str, Any]:
    """Return what an account needs to know of a run beside its rows, for the line that opens an attempt."""
    config = run.config.values
    training = config.training
    return RunDetails(
        run_id=run.run_id,
        comparison_key=comparison_key(config),
        configuration=f"{run.config.source} sha256:{run.config.sha256}",
        zone=config.grid.zone,
        signal_type=signal.provider.signal_type,
        emission_factor_type=signal.provider.emission_factor_type,
        policy=config.scheduler.policy,
        submitted_at=run.submitted_at,
        replay=run.anchor,
        grid=config.grid.model_dump(mode="json") | {"provider": signal.provider.name},
        report=config.report.model_dump(mode="json"),
        account=config.account.model_dump(mode="json"),
        interval_s=config.tracker.interval.total_seconds(),
        pue=config.tracker.pue,
        measuring_scope=meter.scope,
        methods={str(part): how for part, how in meter.methods.items()},
        gpu_devices=meter.gpu_devices,
        versions=meter.versions,
        micro_batch_size=None if training.micro_batch_size == AUTO else training.micro_batch_size,
        **training.model_dump(include={"precision", "accumulation_steps", "effective_batch_size", "seed"}),
    ).model_dump(mode="json")


_log = logging.getLogger(__name__)

SETTLEMENT_S = 5.0
"""How long an attempt waits for another process that holds its ledger, such as a settlement."""

# Preparing a run's folder for an attempt: a new training, or the next attempt of an unfinished one.


class RunStart(BaseModel):
    """``identity.json``: which training the folder's files belong to, and the times fixed when it was started."""

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


def unfinished(folder: RunFolder) -> RunStart | None:
    """Return the training that was started in a folder and not finished; None without one, or where it cannot be read."""
    if folder.is_finished:
        return None
    try:
        return RunStart.model_validate_json(folder.identity.read_text(encoding="utf-8"))
    except (OSError, ValidationError):
        return None


def resumable(folder: RunFolder, config: LowtideConfig) -> RunStart | None:
    """Return the unfinished training that an attempt with this configuration would resume, or be refused for.

    One that was started with another configuration and has saved nothing (a mistake that was corrected) is not resumed.
    """
    earlier = unfinished(folder)
    if earlier is None:
        return None
    anchor = earlier.anchor if config.grid.provider == "replay" else None
    same = first_difference(earlier.identity, run_identity(config, anchor), "") is None
    return earlier if same or last_checkpoint(folder) else None


def last_checkpoint(folder: RunFolder) -> Manifest | None:
    """Return the newest checkpoint that an attempt could resume from."""
    return CheckpointManager(folder.checkpoints).newest()


def begin(run: TrainingRun) -> str:
    """Prepare the folder for an attempt and return the id of the training that it belongs to.

    What a finished training left is moved to ``finished-N``. What an unfinished one of the same identity left stays: the
    attempt resumes from its checkpoint and continues its ledger, because the energy was used for this result too; a record
    that was derived after a kill is removed, since the next one covers all attempts. What another training left is moved to
    ``other-N``.

    :raises ConfigurationError: an unfinished training has a checkpoint, but the configuration differs from its own.
    :raises ArtifactError: the folder cannot be written, or another process is training in it.
    """
    folder = run.folder
    folder.create()
    if not folder.ledger.exists():
        return _prepared(run)
    try:
        # the ledger of a running training must not be moved, and no settlement must run while one starts
        with hold_ledger(folder.ledger, timeout_s=SETTLEMENT_S):
            with contextlib.suppress(FileNotFoundError):
                os.utime(folder.identity)  # shows that the run is alive: the attempt's first row may be a minute away
            return _prepared(run)
    except LedgerInUse:
        raise ArtifactError(
            f"{folder.path}: another process is training in this folder; wait for it, or end it"
        ) from None


def _prepared(run: TrainingRun) -> str:
    folder, wanted, earlier = run.folder, run.training_id, unfinished(run.folder)
    why: str | None
    if earlier is None or (wanted is not None and wanted != earlier.training_id):
        why = "they belong to another training"
    elif (why := refuse_another_training(run, earlier)) is None:
        # derived files are removed, facts stay; the record last: while it is there, this is repeated
        folder.emissions.unlink(missing_ok=True)
        folder.record.unlink(missing_ok=True)
        return earlier.training_id
    _set_aside(folder, why)
    start = RunStart(
        training_id=wanted or new_training_id(),
        run_id=run.run_id,
        submitted_at=run.submitted_at,
        identity=run_identity(run.config.values, run.anchor),
    )
    write_atomically(folder.identity, start.model_dump_json(indent=2) + "\n")
    return start.training_id


def refuse_another_training(run: TrainingRun, earlier: RunStart) -> str | None:
    """Return how a run differs from the unfinished training in its folder; None where it does not.

    :raises ConfigurationError: it differs, and the training has a checkpoint, which would be lost.
    """
    folder = run.folder
    difference = first_difference(earlier.identity, run_identity(run.config.values, run.anchor), "")
    found = last_checkpoint(folder) if difference else None
    if found is not None:
        raise ConfigurationError(
            f"{difference}, but {folder.path} holds an unfinished training with a checkpoint at optimizer step"
            f" {found.optimizer_step}; set it back to resume, or start over (--fresh, or a new run)"
        )
    return difference


def _set_aside(folder: RunFolder, why: str) -> None:
    is_finished = folder.is_finished
    # the record last: while it is there, a half-finished move is recognised as that of a finished training
    kept = (
        *(folder.ledger, folder.child_log, folder.attempts, folder.checkpoints),
        *sorted(folder.path.glob(f"{folder.ledger.name}.*")),  # torn lines
        *(folder.intensity, folder.emissions, folder.pauses, folder.identity, folder.record),
    )
    present = [path for path in kept if path.exists()]
    if not present:
        return
    name = "finished" if is_finished else "other"
    target = folder.path / f"{name}-{1 + len([*folder.path.glob(f'{name}-*')])}"
    target.mkdir()
    for path in present:
        path.replace(target / path.name)
    if is_finished:
        _log.warning("the finished training in %s was moved to %s; training again", folder.path, target.name)
    else:
        _log.warning("the files of an earlier attempt in %s were moved to %s: %s", folder.path, target.name, why)


# Measuring a run's energy: what goes wrong with it never ends the training.


def open_metering(run: TrainingRun, meter: EnergyMeter | None = None) -> tuple[EnergyMeter, dict[str, str]]:
    """Set CodeCarbon up for the GPUs that the child can use, and charge the run its share of the machine unless configured otherwise.

    :param meter: used instead of CodeCarbon.
    :returns: the meter, and variables that the training child must see so that it uses no GPU that is not counted.
    :raises MeasurementError: CodeCarbon cannot be set up.
    """
    if meter is not None:
        return meter, {}
    config = run.config.values
    machine = CodeCarbonMeter(count_gpus=config.training.device != "cpu")
    visible = machine.selection.visible
    environment = {} if visible is None else {VISIBLE: visible}
    if config.tracker.scope == "machine":
        return machine, environment
    try:
        return AttributedMeter(machine, ProcessTree().usage), environment
    except MeasurementError as error:
        _log.warning("the whole machine's energy is charged to the run, since its share is not known: %s", error)
        return machine, environment


def train_measured(
    ledger: LedgerWriter, recorder: EnergyRecorder, meter: EnergyMeter, train: Callable[[], TrainingResult]
) -> None:
    """Train while the recorder runs, and close the attempt in the ledger however it ends; only a killed process leaves it open.

    What goes wrong with the measuring ends no training: the closing line says what is missing of the energy.

    :raises LowtideError: what ``train`` raises, a meter that does not start, or a closing line that cannot be written.
    """

    def close(outcome: str, shortfall: object, result: dict[str, Any] | None = None) -> None:
        problems = (*([f"{INCOMPLETE}{shortfall}"] if shortfall else []), *recorder.problems)
        for problem in problems:
            _log.warning("energy ledger: %s", problem)
        ledger.close_attempt(outcome, problems, result=result)

    result: TrainingResult | None = None
    try:
        with recorder:
            result = train()
    except BaseException as error:
        if result is None or not isinstance(error, Exception):
            paused, stopped = isinstance(error, TrainingPaused), isinstance(error, TrainingStopped)
            try:
                close("paused" if paused else "stopped" if stopped else "failed", recorder.failure)
            except ArtifactError as failure:
                error.add_note(f"the energy ledger's attempt could not be closed: {failure}")
            raise
    close("finished", recorder.failure or _unseen_gpu(result, meter), result.model_dump(mode="json"))


def _unseen_gpu(result: TrainingResult, meter: EnergyMeter) -> str | None:
    if not result.device.startswith("cuda") or meter.methods["gpu"] != "none":
        return None
    return (
        f"it ran on {result.device_name}, whose energy could not be measured (CodeCarbon finds no GPU through NVML and"
        " nvidia-smi)"
    )


# How often a long run logs its progress: often at first, when somebody watches, and seldom through the night.


_INTERVALS_S = ((120.0, 15.0), (3600.0, 60.0), (float("inf"), 300.0))
"""Until a run is so many seconds old, a line every so many seconds: some 180 lines in ten hours."""


class LogThrottle:
    """Decides when the next progress line is due; the first is due at once."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began_s = clock()
        self._next_s = self._began_s

    def is_due(self) -> bool:
        """Return whether a line is due now, and if so, schedule the next one."""
        now_s = self._clock()
        if now_s < self._next_s:
            return False
        self._next_s = now_s + next(every_s for until_s, every_s in _INTERVALS_S if now_s - self._began_s < until_s)
        return True


# What a person sees while a training runs: one small snapshot, about once a second.


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A snapshot of a running training; energy before PUE, emissions with it."""

    phase: str
    epochs: int
    epoch: int = 0
    samples: int = 0
    samples_total: int = 0
    samples_per_s: float = 0.0
    loss: float | None = None
    power_w: float
    energy_kwh: float
    emissions_gco2eq: float
    carbon_intensity_gco2eq_per_kwh: float | None

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


# Keeps the grid's last reading fresh while a training runs, without the training waiting for a request.


_SHORTEST_INTERVAL_S = 1.0
"""A fast replay must not spend the measured machine's time on checks of the grid."""


class SignalRefresher:
    """A thread that asks for the grid's intensity every ``interval_s`` real seconds; the recorder then uses what it learnt.

    :param check: a check of the same grid that replaces this one's own while it runs, such as whether to pause.
    """

    def __init__(
        self, signal: IntensityClient, clock: Clock, *, interval_s: float, check: Callable[[], None] | None = None
    ) -> None:
        self._signal = signal
        self._clock = clock
        self._check = check or self._refresh
        self._interval_s = max(_SHORTEST_INTERVAL_S, interval_s)
        self._logged: tuple[str, ...] = ()
        self._ended, self._first_check = threading.Event(), Future[None]()
        self._thread = threading.Thread(target=self._run, name="lowtide-signal", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def wait_for_first_check(self) -> None:
        """Return once the grid has been asked: the first row is valued at a reading. Raises the check's unexpected error."""
        self._first_check.result()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(timeout=1.0)  # a request in flight may outlive the training, which does no harm

    def _run(self) -> None:
        _complete(self._first_check, lambda: self._try(self._refresh))
        while not self._ended.wait(self._interval_s):
            self._try(self._check, Exception)

    @staticmethod
    def _try(check: Callable[[], None], caught: type[Exception] = LowtideError) -> None:
        try:
            check()
        except caught as error:  # a replay that left its trace, a full disk: the training continues
            _log.warning("grid signal: %s", error, exc_info=not isinstance(error, LowtideError))

    def _refresh(self) -> None:
        outlook = self._signal.outlook(self._clock.now())
        if outlook.steps != self._logged:  # a fast replay refreshes every few seconds: log only what is new
            self._logged = outlook.steps
            for step in outlook.steps:  # a terminal shows warnings only, and a fallback must be seen there
                _log.log(logging.WARNING if outlook.failed_checks else logging.INFO, "grid signal: %s", step)


def _complete(future: Future[Any], function: Callable[[], Any]) -> None:
    try:
        future.set_result(function())
    except BaseException as error:  # noqa: BLE001 raised where the result is waited for
        future.set_exception(error)


# The parent's loop while a child trains: passes requests on, and reports events to the recorder and to people.


_STOP_LATENCY_S = 0.2
"""How soon a request is noticed."""
_STOP_GRACE_S = 2.0
"""For the step that is under way and its checkpoint, before the signals; Airflow leaves a killed task 5 s in all."""
_PROGRESS_INTERVAL_S = 1.0
_CHILDS_PROGRESS = ("epoch", "samples", "samples_total", "samples_per_s", "loss")


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
        *,
        attempt: int,
        environment: Mapping[str, str],
        stop: threading.Event,
        pause: threading.Event,
        on_progress: Callable[[Progress], None] | None,
        on_checkpoint: Callable[[dict[str, Any]], None] | None,
    ) -> None:
        self._run, self._recorder, self._attempt = run, recorder, attempt
        self._stop, self._pause = stop, pause
        self._on_progress, self._on_checkpoint = on_progress, on_checkpoint
        self._child = TrainingChild(
            run.config.values.training,
            log_path=run.folder.child_log,
            project_root=PROJECT_ROOT,
            checkpoints=CheckpointPlan(folder=run.folder.checkpoints, run_id=run.run_id, training_id=training_id),
            environment=environment,
        )
        self._stop_requested_s: float | None = None
        self._phase = Phase.STARTUP
        self._last_progress: dict[str, Any] = {}
        self._published_s = 0.0

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
                if event:
                    self._take(event)
                finished = event is not None and event.kind is EventKind.FINISHED
                if finished or time.monotonic() - self._published_s >= _PROGRESS_INTERVAL_S:
                    self._publish()
                if event and finished:
                    return TrainingResult.model_validate(event.data)

    def _pass_on_requests(self) -> None:
        if self._pause.is_set():
            self._pause.clear()  # asked once; a child that cannot save continues, and may be asked again
            self._child.request_pause()
        if not self._stop.is_set():
            return
        if self._stop_requested_s is None:
            self._stop_requested_s = time.monotonic()
            self._child.request_stop()
        elif time.monotonic() - self._stop_requested_s > _STOP_GRACE_S:
            self._child.end(grace_s=0.0)
            raise TrainingStopped(
                f"the training of run {self._run.run_id} was stopped on request, in the middle of a step; its ledger and"
                " its last checkpoint are kept"
            )

    def _take(self, event: TrainingEvent) -> None:
        folder, data = self._run.folder, event.data
        if event.kind is EventKind.PHASE:
            self._phase = Phase(data["phase"])
            self._recorder.set_phase(self._phase)
        elif event.kind is EventKind.PROGRESS:
            self._last_progress = {name: data[name] for name in _CHILDS_PROGRESS}
        elif event.kind is EventKind.READY and self._run.config.values.training.micro_batch_size == AUTO:
            folder.note_attempt({"attempt": self._attempt, **{size: data[size] for size in SIZES}})
        elif event.kind is EventKind.WARNING:
            _log.warning("training: %s", data["message"])
            # at once, and in the folder: the warning of an attempt that is killed also holds for the next one
            folder.note_attempt({"attempt": self._attempt, "warning": data["message"]})
        elif event.kind is EventKind.NOTE:
            _log.info("training: %s", data["message"])
        elif event.kind is EventKind.RESUMED:
            step, checkpoint = data["optimizer_step"], data["checkpoint"]
            _log.info("resuming from %s: optimizer step %s, epoch %s", checkpoint, step, data["epoch"] + 1)
            folder.note_attempt({"attempt": self._attempt, "optimizer_step": step, "checkpoint": checkpoint})
        elif event.kind is EventKind.CHECKPOINT:
            self._note_checkpoint(data)

    def _note_checkpoint(self, data: dict[str, Any]) -> None:
        _log.info(
            "checkpoint %s at optimizer step %s: %.1f MB in %.2f s",
            *(data["checkpoint"], data["optimizer_step"], data["size_bytes"] / 1e6, data["duration_s"]),
        )
        if self._on_checkpoint:
            self._on_checkpoint(data)

    def _publish(self) -> None:
        self._published_s = time.monotonic()
        epochs = self._run.config.values.training.epochs
        progress = Progress(phase=self._phase, epochs=epochs, **asdict(self._recorder.live()), **self._last_progress)
        if self._on_progress:
            self._on_progress(progress)


# The run itself.


def run_training(
    run: TrainingRun,
    signal: IntensityClient,
    *,
    stop: threading.Event | None = None,
    pause: threading.Event | None = None,
    check: Callable[[], None] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    on_checkpoint: Callable[[dict[str, Any]], None] | None = None,
    meter: EnergyMeter | None = None,
) -> TrainingRecord:
    """Train, measured, and leave ``record.json`` and ``ledger.jsonl`` in the run's folder.

    An unfinished training in the folder is resumed from its last checkpoint; see ``TrainingRun.training_id``.

    :param stop: set it to end the training soon, with what can be saved in 3 s; every ledger row is kept.
    :param pause: set it to end the training once its state is saved, however long that takes; cleared when it is passed on.
    :param check: called at every poke interval instead of a plain refresh of the grid's reading: whether to pause.
    :param on_checkpoint: called with each checkpoint (``protocol.TrainingEvent``'s data), on the calling thread.
    :param meter: CodeCarbon, as ``tracker.scope`` says, unless given.
    :raises TrainingError: the training failed or was stopped (TrainingStopped) or paused (TrainingPaused).
    :raises MeasurementError: the meter could not be set up, or the training went through without a row of energy; a record
        whose energy is known in part says so (``energy_complete``).
    :raises ConfigurationError: the unfinished training in the folder is of another configuration.
    :raises ArtifactError: the run's folder cannot be written, or another process is training in it.
    """
    training_id = begin(run)
    config, clock, speed = run.config.values, Clock(run.anchor), run.anchor.speed if run.anchor else 1.0
    poke_s = config.scheduler.poke_interval.total_seconds() / speed
    # the meter takes a second or two to set up: meanwhile the grid is asked and the ledger is read
    opening = Future[tuple[EnergyMeter, dict[str, str]]]()  # by a daemon thread: an exit waits for an executor's
    set_up = (opening, lambda: open_metering(run, meter))
    threading.Thread(target=_complete, args=set_up, name="energy-meter", daemon=True).start()
    with (
        SignalRefresher(signal, clock, interval_s=poke_s, check=check) as refresher,
        LedgerWriter(run.folder.ledger, timeout_s=SETTLEMENT_S) as ledger,
    ):
        attempt = ledger.next_attempt
        energy_meter, environment = opening.result()
        recorder = EnergyRecorder(
            energy_meter,
            ledger,
            signal.known,
            now=clock.now,
            interval_s=config.tracker.interval.total_seconds(),
            pue=config.tracker.pue,
            attempt=attempt,
            speed=speed,
            meaning=signal.meaning,
        )
        supervision = Supervision(
            run,
            training_id,
            recorder,
            attempt=attempt,
            environment=environment,
            stop=stop or threading.Event(),
            pause=pause or threading.Event(),
            on_progress=on_progress,
            on_checkpoint=on_checkpoint,
        )
        refresher.wait_for_first_check()  # before the attempt is opened: an interrupt here leaves nothing to be closed
        ledger.open_attempt(attempt, run_details(run, signal, energy_meter))
        train_measured(ledger, recorder, energy_meter, supervision.train)
    _learn_grid_since_submission(run, signal)
    record = derive(run.folder)
    CheckpointManager(run.folder.checkpoints).prune(keep=1)  # the trained weights; nothing resumes from earlier ones
    return cast("TrainingRecord", record)  # the attempt was closed with its result


def _learn_grid_since_submission(run: TrainingRun, signal: IntensityClient) -> None:
    """Append what is not yet known of the grid from submission on: what the run would have emitted without a wait rests on it."""
    facts = Facts(run.folder)
    if not facts.rows:
        return
    known = best_known(facts.entries, meaning=facts.meaning)
    end = run.submitted_at + (facts.rows[-1].end - facts.rows[0].start)
    log = IntensityLog(run.folder.path)
    for missing in gaps(((entry.reading.start, entry.reading.end) for entry in known), run.submitted_at, end):
        found = signal.readings(*missing)
        log.append([one for one in found if one.meaning == facts.meaning], utc_now())
