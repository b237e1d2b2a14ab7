"""What makes two runs comparable, and two attempts parts of one run."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lowtide.config.loader import LoadedConfig
from lowtide.config.schema import AUTO, LowtideConfig
from lowtide.records import ReplayAnchor
from lowtide.runs.folder import RunFolder
from lowtide.trainer.checkpoint import fingerprint


def comparison_key(config: LowtideConfig) -> str:
    """Return model, data, zone and effective batch as one line; runs are compared only where it is equal.

    A replayed grid is a grid of its own: a demo must never serve as the baseline of a real run.
    """
    training = config.training
    parts = {
        "model": training.model.path + _kwargs(training.model.kwargs),
        "data": training.data.path + _kwargs(training.data.kwargs),
        "zone": config.grid.zone + (" (replay)" if config.grid.provider == "replay" else ""),
        "effective_batch_size": str(training.effective_batch_size),
    }
    return "; ".join(f"{name}={value}" for name, value in parts.items())


def run_identity(config: LowtideConfig, anchor: ReplayAnchor | None) -> dict[str, Any]:
    """Return what must be equal for an attempt to go on with an earlier one's checkpoint and ledger, as JSON values.

    What is trained, whose grid it is booked at, the PUE and whose energy counts; not when it may start, nor how often it is measured.
    """
    grid = config.grid.model_dump(
        mode="json", include={"zone", "provider", "region", "emission_factor_type", "signal_type"}
    )
    return {
        "training": fingerprint(config.training),
        "grid": grid,
        "tracker": {"pue": config.tracker.pue, "scope": config.tracker.scope},
        "replay": anchor.model_dump(mode="json") if anchor else None,
    }


def _kwargs(kwargs: dict[str, object]) -> str:
    return json.dumps(kwargs, sort_keys=True) if kwargs else ""


# Which micro-batch a run with ``micro_batch_size: auto`` has come to: known only once its child has tried.


_KEYS = ("micro_batch_size", "accumulation_steps")


def note_sizes(folder: RunFolder, config: LowtideConfig, attempt: int, ready: Mapping[str, Any]) -> None:
    """Keep what the child has chosen, so that a run which is killed tells it too; does nothing where it was given.

    :param ready: the data of the child's event ``ready``.
    """
    if config.training.micro_batch_size == AUTO:
        folder.note_attempt({"attempt": attempt, **{key: ready[key] for key in _KEYS}})


def sizes_of_killed(folder: RunFolder, details: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the sizes of a run without a result, and a sentence where they had not been chosen.

    :param details: of the opening line; sizes are null there under ``auto``.
    """
    if details.get(_KEYS[0]) is not None:
        return {}, []
    for line in reversed(folder.attempts.read_text(encoding="utf-8").splitlines() if folder.attempts.exists() else []):
        try:
            note = json.loads(line)
        except ValueError:  # a line that a killed worker left half-written
            continue
        if all(isinstance(note.get(key), int) for key in _KEYS):
            return {key: note[key] for key in _KEYS}, []
    whole = {"micro_batch_size": details.get("effective_batch_size"), "accumulation_steps": 1}
    return whole, ["the micro-batch (auto) was not chosen yet; the whole effective batch stands for it"]


# What a training run is about, before it begins.


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRun:
    """Configuration, identity, and the moments fixed at the run's first look at the grid (policy time).

    ``training_id`` names the one training, over all its attempts, whose checkpoint and ledger may be gone on with: what
    another one left in the folder is set aside. None: whatever unfinished training the folder holds is gone on with.
    """

    config: LoadedConfig
    run_id: str
    folder: RunFolder
    submitted_at: datetime
    anchor: ReplayAnchor | None = None
    training_id: str | None = None
