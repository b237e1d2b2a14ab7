"""Decides at each optimizer step whether to save, to pause or to stop; resumes from the newest valid checkpoint."""

import contextlib
import hashlib
import math
import os
import pickle
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import torch

from lowtide.config.schema import TrainingConfig
from lowtide.errors import ArtifactError, CheckpointDamaged, ConfigurationError, TrainingPaused, TrainingStopped
from lowtide.io import sha256_of, write_atomically
from lowtide.records import Phase
from lowtide.trainer.checkpoint_manager import CheckpointManager, Manifest, fingerprint, first_difference, unreadable
from lowtide.trainer.device import MemoryMeter, versions
from lowtide.trainer.oom import explain_out_of_memory
from lowtide.trainer.progress import Progress
from lowtide.trainer.protocol import CheckpointPlan, Emit, EventKind, Requests
from lowtide.trainer.state import LoopState


@dataclass(slots=True, kw_only=True)
class Snapshot:
    """A whole training between two optimizer steps: the loop's state, and what has been counted and measured so far.

    ``earlier_peak_bytes`` is the peak memory of the processes before this one.
    """

    training: TrainingConfig
    loop: LoopState
    progress: Progress
    memory: MemoryMeter
    train_count: int
    earlier_peak_bytes: int = 0

    def peak_memory_bytes(self) -> int:
        """Return the peak so far, of this process and of those before it."""
        return max(self.earlier_peak_bytes, self.memory.peak_bytes())

    def state_dict(self) -> dict[str, Any]:
        """Return all of it for ``torch.load(weights_only=True)``; call ``progress.settle`` first."""
        return {
            "loop": self.loop.state_dict(),
            "progress": self.progress.state_dict(),
            "train_count": self.train_count,
            "peak_memory_bytes": self.peak_memory_bytes(),
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Resume from what ``state_dict`` returned; the loop is set last, with the random generators at its end.

        :raises ConfigurationError: the user's data or model have changed.
        """
        training = self.training
        if saved["train_count"] != self.train_count:
            raise ConfigurationError(
                f"training.data '{training.data.path}' gives {self.train_count} training samples, but this run began with"
                f" {saved['train_count']}; bring them back, or start over with fresh"
            )
        self.earlier_peak_bytes = int(saved["peak_memory_bytes"])
        self.progress.load_state_dict(saved["progress"])
        try:
            with explain_out_of_memory(
                "while a checkpoint was brought to the device", "end what else uses its memory, then resume"
            ):
                self.loop.load_state_dict(saved["loop"])
        except (RuntimeError, ValueError) as error:
            lines = " ".join(str(error).split())
            raise ConfigurationError(
                f"training.model '{training.model.path}' differs from the one that this run began with ({lines[:200]});"
                " bring its code back, or start over with fresh"
            ) from error


class _HashingWriter:
    """Computes the SHA-256 of what is written, and keeps the first error, which PyTorch would hide behind its own."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.hash = hashlib.sha256()
        self.size_bytes = 0
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        try:
            self._file.write(data)
        except OSError as error:
            self.error = self.error or error
            raise
        self.hash.update(data)
        self.size_bytes += len(data)
        return len(data)

    def flush(self) -> None:
        self._file.flush()


def write_state(state: dict[str, Any], path: Path) -> tuple[str, int]:
    """Write a state, on the disk before this returns; return its SHA-256 and size.

    :raises OSError: full disk, no permission ...
    """
    with path.open("wb") as file:
        writer = _HashingWriter(file)
        try:
            torch.save(state, writer)  # type: ignore[arg-type]  # only write and flush are used
        except RuntimeError:
            if writer.error is None:
                raise
        if writer.error is not None:
            raise writer.error
        file.flush()
        os.fsync(file.fileno())
    return writer.hash.hexdigest(), writer.size_bytes


def read_state(manifest: Manifest, folder: Path) -> dict[str, Any]:
    """Read the state of a manifest, on the CPU.

    :raises CheckpointDamaged: it is not byte for byte what was written, or holds what must not be unpickled.
    :raises ArtifactError: the storage or the memory fails now; the state may be whole.
    """
    path = folder / manifest.file
    try:
        if sha256_of(path) != manifest.sha256:
            raise CheckpointDamaged(f"{manifest.file} is damaged: its checksum is not the one in {manifest.name}")
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (FileNotFoundError, pickle.UnpicklingError) as error:
        first = (str(error).splitlines() or [""])[0]
        raise CheckpointDamaged(f"{manifest.file} cannot be read ({type(error).__name__}: {first})") from error
    except (OSError, RuntimeError, MemoryError) as error:  # its checksum was right, or could not be computed
        raise unreadable(path, error) from error
    if not isinstance(state, dict):
        raise CheckpointDamaged(f"{manifest.file} holds {type(state).__name__}, not a training's state")
    return state


KEPT = 2


def write_checkpoint(snapshot: Snapshot, plan: CheckpointPlan) -> Manifest:
    """Write the next checkpoint of a training, the state first and the manifest last, then delete those that it supersedes.

    :raises ArtifactError: full disk, no permission ...; nothing is left behind, and the older ones stay.
    """
    manager = CheckpointManager(plan.folder)
    files = [plan.folder / f".state-{os.getpid()}.tmp"]
    try:
        plan.folder.mkdir(parents=True, exist_ok=True)
        sha256, size_bytes = write_state(snapshot.state_dict(), files[0])
        manifest = _manifest(snapshot, plan, number=manager.next_number(), sha256=sha256, size_bytes=size_bytes)
        files.append(plan.folder / manifest.file)
        files[0].replace(files[1])
        write_atomically(plan.folder / manifest.name, manifest.model_dump_json(indent=2) + "\n")
    except (ArtifactError, OSError) as error:
        for path in files:  # a state without its manifest does not count, but takes space
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        if isinstance(error, ArtifactError):
            raise
        raise ArtifactError(
            f"a checkpoint cannot be written to {plan.folder} ({error.strerror or error}); free space or correct the"
            " permissions"
        ) from error
    manager.prune(KEPT)
    return manifest


def _manifest(snapshot: Snapshot, plan: CheckpointPlan, *, number: int, sha256: str, size_bytes: int) -> Manifest:
    return Manifest(
        run_id=plan.run_id,
        training_id=plan.training_id,
        number=number,
        optimizer_step=snapshot.loop.global_step,
        epoch=snapshot.loop.epoch,
        micro_batch_size=snapshot.loop.micro_batch_size,
        written_at=datetime.now(UTC),
        file=f"checkpoint-{number:06d}-{sha256[:8]}.pt",  # no two states ever share a name
        size_bytes=size_bytes,
        sha256=sha256,
        training=fingerprint(snapshot.training),
        versions=versions(snapshot.loop.device),
    ).sealed()


@torch.no_grad()
def weights_are_finite(model: torch.nn.Module) -> bool:
    """Whether no weight is NaN or infinite."""
    # the greatest magnitude needs no copy of the weights, which would raise the training's peak memory
    greatest = [
        torch.linalg.vector_norm(weight, math.inf).cpu()
        for weight in model.parameters()
        if weight.numel() and (weight.is_floating_point() or weight.is_complex())
    ]
    return all(bool(figure.isfinite()) for figure in greatest)


class Checkpointer:
    """Saves by time, by steps, before a stop, and when the training is complete; the last two checkpoints are kept.

    A checkpoint that cannot be written is a warning: the training continues, the last one that could be written stays.

    :param plan: where the state is kept; None: nowhere, so the training only stops on request.
    """

    def __init__(
        self, plan: CheckpointPlan | None, training: TrainingConfig, *, emit: Emit, requests: Requests | None = None
    ) -> None:
        self.requests = requests or Requests()
        self._plan, self._training, self._emit = plan, training, emit
        self._interval_s = training.checkpoint_interval.total_seconds() if training.checkpoint_interval else None
        self._saved_s = time.monotonic()
        self._saved_step = -1

    def saved_micro_batch(self) -> int | None:
        """Return the micro-batch of the newest checkpoint, which is not measured again; None without one.

        ``restore`` decides whether that checkpoint can be used.
        """
        newest = CheckpointManager(self._plan.folder).newest() if self._plan else None
        return newest.micro_batch_size if newest else None

    def leave_if_stopped(self) -> None:
        """Stop before the first step, if requested; a pause has nothing to save yet, and waits for the first step.

        :raises TrainingStopped: a stop was requested.
        """
        if self.requests.stop.is_set():
            self._leave(0, None, TrainingStopped("stopped on request"))

    def restore(self, snapshot: Snapshot) -> None:
        """Resume from the newest checkpoint that is whole, if there is one.

        :raises ConfigurationError: it belongs to another run or configuration; the message names the difference.
        """
        if self._plan is None:
            return
        folder = CheckpointManager(self._plan.folder)
        damaged: list[str] = []
        for name in folder.names():
            try:
                manifest = folder.manifest(name)
                self._check_owner(manifest, self._plan)
                saved = read_state(manifest, folder.path)
            except CheckpointDamaged as error:
                folder.set_aside(name)
                damaged.append(str(error))
                continue
            snapshot.load_state_dict(saved)
            del saved
            snapshot.memory.forget_peak()  # the transient second copy of the state does not count
            self._report_resumed(manifest, damaged, versions(snapshot.loop.device))
            break
        else:
            if damaged:
                self._warn(f"{'; '.join(damaged)}; no checkpoint is left, so the training starts over")
        self._saved_s = time.monotonic()

    def _check_owner(self, manifest: Manifest, plan: CheckpointPlan) -> None:
        if (manifest.run_id, manifest.training_id) != (plan.run_id, plan.training_id):
            raise ConfigurationError(
                f"{plan.folder / manifest.name} belongs to another training (run {manifest.run_id!r}), not to this"
                f" one of run {plan.run_id!r}; give each run its own folder, or start over with fresh"
            )
        difference = first_difference(manifest.training, fingerprint(self._training), "training")
        if difference:
            raise ConfigurationError(
                f"{difference}, so {plan.folder / manifest.name} cannot be resumed from; set it back, or start over"
                " with fresh"
            )

    def _report_resumed(self, manifest: Manifest, damaged: list[str], now: dict[str, str]) -> None:
        if damaged:
            self._warn(
                f"{'; '.join(damaged)}; resuming from {manifest.name} (optimizer step {manifest.optimizer_step}) instead"
            )
        difference = first_difference(manifest.versions, now, "")
        if difference:
            self._warn(f"{difference}: the result may differ in its last bits from that of an unbroken run")
        self._saved_step = manifest.optimizer_step
        self._emit(EventKind.RESUMED, _position(manifest))

    def after_step(self, snapshot: Snapshot) -> None:
        """Save if it is due or requested; a pause that cannot be saved would lose the progress, and is refused.

        :raises TrainingStopped: a stop was requested (TrainingPaused: a pause, and the state is saved).
        """
        requests = self.requests
        if requests.stop.is_set():
            self._leave(snapshot.loop.global_step, self._save(snapshot), TrainingStopped("stopped on request"))
        if requests.pause.is_set():
            saved = self._save(snapshot)
            if saved:
                self._leave(snapshot.loop.global_step, saved, TrainingPaused("paused on request"))
            requests.pause.clear()
            self._warn(
                "the training continues instead of pausing: a pause without a checkpoint would lose its progress"
            )
            self._emit_phase(Phase.TRAIN)
        elif self._is_due(snapshot.loop.global_step):
            self._save(snapshot)
            self._emit_phase(Phase.TRAIN)

    def finish(self, snapshot: Snapshot) -> None:
        """Save the complete training: a failure after it costs no step, and the weights are there to be used.

        Where that fails, a warning names what the newest checkpoint holds instead.
        """
        step = snapshot.loop.global_step
        if self._plan and step != self._saved_step and self._save(snapshot) is None:
            there = f"holds optimizer step {self._saved_step}" if self._saved_step >= 0 else "does not exist"
            self._warn(
                f"the trained weights (optimizer step {step}) could not be saved: the newest checkpoint in"
                f" {self._plan.folder} {there}, so do not use it as the result; free space and run the training again"
            )

    def _is_due(self, step: int) -> bool:
        if self._plan is None:
            return False
        every = self._training.checkpoint_steps
        by_steps = every is not None and step % every == 0
        return by_steps or (self._interval_s is not None and time.monotonic() - self._saved_s >= self._interval_s)

    def _leave(self, step: int, saved: Manifest | None, how: TrainingStopped) -> None:
        requested = "pause" if isinstance(how, TrainingPaused) else "stop"
        checkpoint = saved.name if saved else None
        self._emit(EventKind.STOPPED, {"requested": requested, "optimizer_step": step, "checkpoint": checkpoint})
        raise how

    def _save(self, snapshot: Snapshot) -> Manifest | None:
        if self._plan is None:
            return None
        self._emit_phase(Phase.CHECKPOINT)
        began_s = time.monotonic()
        with snapshot.progress.excluded_from_duration():
            manifest = self._try_to_write(snapshot, self._plan)
        self._saved_s = time.monotonic()
        if manifest:
            self._saved_step = manifest.optimizer_step
            cost = {"size_bytes": manifest.size_bytes, "duration_s": self._saved_s - began_s}
            self._emit(EventKind.CHECKPOINT, _position(manifest) | cost)
        return manifest

    def _try_to_write(self, snapshot: Snapshot, plan: CheckpointPlan) -> Manifest | None:
        snapshot.progress.settle()  # raises before a state is saved that came from a broken loss
        if not weights_are_finite(snapshot.loop.model):
            self._warn("no checkpoint was written, because a weight is NaN or infinite; the last good ones are kept")
            return None
        try:
            return write_checkpoint(snapshot, plan)
        except ArtifactError as error:
            self._warn(f"{error}; the training continues, and the last checkpoint that was written stays")
            return None

    def _warn(self, message: str) -> None:
        self._emit(EventKind.WARNING, {"message": message})

    def _emit_phase(self, phase: Phase) -> None:
        self._emit(EventKind.PHASE, {"phase": phase.value})


def _position(manifest: Manifest) -> dict[str, object]:
    return {"optimizer_step": manifest.optimizer_step, "epoch": manifest.epoch, "checkpoint": manifest.name}
