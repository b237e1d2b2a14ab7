"""Decides at each optimizer step whether to save, to pause or to stop; goes on from the newest checkpoint that is whole."""

import time

from include.config import TrainingConfig
from include.errors import ArtifactError, CheckpointDamaged, ConfigurationError, TrainingPaused, TrainingStopped
from include.records.ledger import Phase
from include.trainer.checkpoint.folder import CheckpointFolder
from include.trainer.checkpoint.identity import CheckpointPlan, fingerprint, first_difference
from include.trainer.checkpoint.keeping import Keeper, NoCheckpoints
from include.trainer.checkpoint.manifest import Manifest
from include.trainer.checkpoint.payload import read_state
from include.trainer.checkpoint.snapshot import Snapshot
from include.trainer.checkpoint.writer import weights_are_finite, write_checkpoint
from include.trainer.device import versions
from include.trainer.processes.control import Requests
from include.trainer.processes.protocol import EventKind
from include.trainer.progress import Emit


class CheckpointKeeper:
    """Saves by time, by steps, on request, before it leaves, and when the training is complete; the last two are kept.

    A checkpoint that cannot be written is a warning: the training goes on, the last one that could be written stays.
    """

    def __init__(self, plan: CheckpointPlan, training: TrainingConfig, *, emit: Emit, requests: Requests) -> None:
        self._plan, self._training, self._emit, self._requests = plan, training, emit, requests
        self._folder = CheckpointFolder(plan.folder)
        self._interval_s = training.checkpoint_interval.total_seconds() if training.checkpoint_interval else None
        self._saved_s = time.monotonic()
        self._saved_step = -1

    def saved_micro_batch(self) -> int | None:
        """Return the micro-batch of the newest checkpoint; ``restore`` will say whether that one can be used."""
        newest = self._folder.newest()
        return newest.micro_batch_size if newest else None

    def leave_if_stopped(self) -> None:
        """Leave before the first step, if asked to; a pause has nothing to save yet, and waits for the first step."""
        if self._requests.stop.is_set():
            self._leave(0, None, TrainingStopped("stopped on request"))

    def restore(self, snapshot: Snapshot) -> None:
        """Go on from the newest checkpoint that is whole.

        :raises ConfigurationError: it belongs to another run or configuration; the message names the difference.
        """
        damaged: list[str] = []
        for name in self._folder.names():
            try:
                manifest = self._folder.manifest(name)
                self._check_ours(manifest)
                saved = read_state(manifest, self._plan.folder)
            except CheckpointDamaged as error:
                self._folder.set_aside(name)
                damaged.append(str(error))
                continue
            snapshot.load_state_dict(saved)
            del saved
            snapshot.memory.forget_peak()  # the state was there twice for a moment, which is not the training's need
            self._tell_resumed(manifest, damaged, versions(snapshot.loop.device))
            break
        else:
            if damaged:
                self._warn(f"{'; '.join(damaged)}; no checkpoint is left, so the training starts over")
        self._saved_s = time.monotonic()

    def _check_ours(self, manifest: Manifest) -> None:
        if (manifest.run_id, manifest.training_id) != (self._plan.run_id, self._plan.training_id):
            raise ConfigurationError(
                f"{self._plan.folder / manifest.name} belongs to another training (run {manifest.run_id!r}), not to this"
                f" one of run {self._plan.run_id!r}; give each run a folder of its own, or start over with fresh"
            )
        difference = first_difference(manifest.training, fingerprint(self._training), "training")
        if difference:
            raise ConfigurationError(
                f"{difference}, so {self._plan.folder / manifest.name} cannot be gone on with; set it back, or start over"
                " with fresh"
            )

    def _tell_resumed(self, manifest: Manifest, damaged: list[str], now: dict[str, str]) -> None:
        if damaged:
            self._warn(
                f"{'; '.join(damaged)}; going on from {manifest.name} (optimizer step {manifest.optimizer_step}) instead"
            )
        difference = first_difference(manifest.versions, now, "")
        if difference:
            self._warn(f"{difference}: the result may differ in its last bits from that of an unbroken run")
        self._saved_step = manifest.optimizer_step
        self._emit(EventKind.RESUMED, _position(manifest))

    def after_step(self, snapshot: Snapshot) -> None:
        """Save if it is time or asked for.

        :raises TrainingStopped: asked to leave (TrainingPaused: with the state saved).
        """
        requests = self._requests
        if requests.stop.is_set():
            self._leave(snapshot.loop.global_step, self._save(snapshot), TrainingStopped("stopped on request"))
        if requests.pause.is_set():
            saved = self._save(snapshot)
            if saved:
                self._leave(snapshot.loop.global_step, saved, TrainingPaused("paused on request"))
            requests.pause.clear()
            self._warn("the training goes on instead of pausing: a pause without a checkpoint would lose what was done")
            self._emit_phase(Phase.TRAIN)
        elif requests.checkpoint.is_set() or self._is_due(snapshot.loop.global_step):
            requests.checkpoint.clear()
            self._save(snapshot)
            self._emit_phase(Phase.TRAIN)

    def finish(self, snapshot: Snapshot) -> None:
        """Save the complete training: a failure after it costs no step, and the weights are there to be used.

        Where that fails, it is said that what lies there are not the trained weights.
        """
        step = snapshot.loop.global_step
        if step != self._saved_step and self._save(snapshot) is None:
            there = f"holds optimizer step {self._saved_step}" if self._saved_step >= 0 else "does not exist"
            self._warn(
                f"the trained weights (optimizer step {step}) could not be saved: the newest checkpoint in"
                f" {self._plan.folder} {there}, so do not use it as the result; free space and run the training again"
            )

    def _is_due(self, step: int) -> bool:
        every = self._training.checkpoint_steps
        by_steps = every is not None and step % every == 0
        return by_steps or (self._interval_s is not None and time.monotonic() - self._saved_s >= self._interval_s)

    def _leave(self, step: int, saved: Manifest | None, how: TrainingStopped) -> None:
        requested = "pause" if isinstance(how, TrainingPaused) else "stop"
        checkpoint = saved.name if saved else None
        self._emit(EventKind.STOPPED, {"requested": requested, "optimizer_step": step, "checkpoint": checkpoint})
        raise how

    def _save(self, snapshot: Snapshot) -> Manifest | None:
        self._emit_phase(Phase.CHECKPOINT)
        began_s = time.monotonic()
        with snapshot.progress.standing_still():
            manifest = self._try_to_write(snapshot)
        self._saved_s = time.monotonic()
        if manifest:
            self._saved_step = manifest.optimizer_step
            cost = {"size_bytes": manifest.size_bytes, "duration_s": self._saved_s - began_s}
            self._emit(EventKind.CHECKPOINT, _position(manifest) | cost)
        return manifest

    def _try_to_write(self, snapshot: Snapshot) -> Manifest | None:
        snapshot.progress.settle()  # raises before a state is saved that came from a broken loss
        if not weights_are_finite(snapshot.loop.model):
            self._warn("no checkpoint was written, because a weight is NaN or infinite; the last good ones are kept")
            return None
        try:
            return write_checkpoint(snapshot, self._plan)
        except (ArtifactError, OSError) as error:
            self._warn(f"{error}; the training goes on, and the last checkpoint that was written stays")
            return None

    def _warn(self, message: str) -> None:
        self._emit(EventKind.WARNING, {"message": message})

    def _emit_phase(self, phase: Phase) -> None:
        self._emit(EventKind.PHASE, {"phase": phase.value})


def make_keeper(plan: CheckpointPlan | None, training: TrainingConfig, *, emit: Emit, requests: Requests) -> Keeper:
    """Return the keeper of a plan; without one, nothing is kept."""
    return (
        CheckpointKeeper(plan, training, emit=emit, requests=requests) if plan else NoCheckpoints(requests.stop.is_set)
    )


def _position(manifest: Manifest) -> dict[str, object]:
    return {
        "optimizer_step": manifest.optimizer_step,
        "epoch": manifest.epoch,
        "checkpoint": manifest.name,
    }
