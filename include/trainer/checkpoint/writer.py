"""Writes one checkpoint: state first, manifest last, and only then lets an older one go."""

import contextlib
import math
from datetime import UTC, datetime
from pathlib import Path

import torch

from include.errors import ArtifactError
from include.files import write_json_atomically
from include.trainer.checkpoint.folder import CheckpointFolder
from include.trainer.checkpoint.identity import CheckpointPlan, fingerprint
from include.trainer.checkpoint.manifest import Manifest, payload_name
from include.trainer.checkpoint.payload import write_state
from include.trainer.checkpoint.snapshot import Snapshot
from include.trainer.device import versions

KEPT = 2


def write_checkpoint(snapshot: Snapshot, plan: CheckpointPlan) -> Manifest:
    """Write the next checkpoint of a training, and delete those that it supersedes.

    :raises ArtifactError: full disk, no permission ...; nothing is left behind, and the older ones stay.
    :raises OSError: likewise.
    """
    folder = CheckpointFolder(plan.folder)
    temporary, sha256, size_bytes = write_state(snapshot.state_dict(), plan.folder)
    number = folder.next_number()
    manifest = Manifest(
        run_id=plan.run_id,
        training_id=plan.training_id,
        number=number,
        optimizer_step=snapshot.loop.global_step,
        epoch=snapshot.loop.epoch,
        micro_batch_size=snapshot.loop.micro_batch_size,
        written_at=datetime.now(UTC),
        file=payload_name(number, sha256),
        size_bytes=size_bytes,
        sha256=sha256,
        training=fingerprint(snapshot.training),
        versions=versions(snapshot.loop.device),
    ).sealed()
    _put_in_place(temporary, manifest, plan.folder)
    folder.prune(KEPT)
    return manifest


def _put_in_place(temporary: Path, manifest: Manifest, folder: Path) -> None:
    state = folder / manifest.file
    try:
        temporary.replace(state)
        write_json_atomically(folder / manifest.name, manifest.model_dump_json(indent=2))
    except (ArtifactError, OSError):
        for path in (temporary, state):  # without its manifest it does not count, but it takes room
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        raise


@torch.no_grad()
def weights_are_finite(model: torch.nn.Module) -> bool:
    """Whether no weight is NaN or infinite."""
    # the greatest magnitude needs no copy of the weights, which would raise the training's peak memory
    weights = [weight for weight in model.parameters() if weight.numel() and _can_be_nan(weight)]
    greatest = [torch.linalg.vector_norm(weight, math.inf).cpu() for weight in weights]
    return all(bool(figure.isfinite()) for figure in greatest)


def _can_be_nan(weight: torch.Tensor) -> bool:
    return weight.is_floating_point() or weight.is_complex()
