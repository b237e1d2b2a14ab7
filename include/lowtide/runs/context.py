"""What makes two runs comparable, and two attempts parts of one run."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict

from lowtide.config.loader import LoadedConfig
from lowtide.config.schema import LowtideConfig
from lowtide.records import EmissionFactorType, ReplayAnchor, SignalType
from lowtide.runs.folder import RunFolder
from lowtide.trainer.checkpoint_manager import fingerprint


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
    """Return what must be equal for an attempt to resume an earlier one's checkpoint and ledger, as JSON values.

    What is trained, at which grid it is valued, the PUE and whose energy counts; not when it may start or how often it is measured.
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


class RunDetails(BaseModel):
    """What the line that opens an attempt in the ledger says of its run: all that an account needs beside rows and grid."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    run_id: str
    comparison_key: str
    configuration: str
    zone: str
    signal_type: SignalType
    emission_factor_type: EmissionFactorType
    policy: str
    submitted_at: AwareDatetime
    replay: ReplayAnchor | None
    grid: dict[str, Any] | None = None
    report: dict[str, Any] | None = None
    account: dict[str, Any] = {}
    interval_s: float
    pue: float
    measuring_scope: str
    methods: dict[str, str] = {}
    gpu_devices: tuple[str, ...] = ()
    versions: dict[str, str] = {}
    precision: str
    micro_batch_size: int | None
    accumulation_steps: int | None
    effective_batch_size: int
    seed: int


SIZES = ("micro_batch_size", "accumulation_steps")
"""Keys of an attempt's note, which the record of a killed run under ``micro_batch_size: auto`` has them from."""


def sizes_of_killed(folder: RunFolder, details: RunDetails) -> tuple[dict[str, Any], list[str]]:
    """Return the sizes of a run without a result, and a sentence where they had not been chosen.

    :param details: of the opening line; sizes are null there under ``auto``: they are known only once the child has tried.
    """
    if details.micro_batch_size is not None:
        return dict(zip(SIZES, (details.micro_batch_size, details.accumulation_steps), strict=True)), []
    for note in reversed(folder.notes()):
        if all(isinstance(note.get(key), int) for key in SIZES):
            return {key: note[key] for key in SIZES}, []
    whole = dict(zip(SIZES, (details.effective_batch_size, 1), strict=True))
    return whole, ["the micro-batch (auto) was not chosen yet; the whole effective batch is recorded instead"]


# What a training run is about, before it begins.


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRun:
    """Configuration, identity, and the times fixed at the run's first check of the grid (policy time).

    ``training_id`` names the one training, over all its attempts, whose checkpoint and ledger an attempt may resume: the files
    of another one are moved aside. None: whatever unfinished training the folder holds is resumed.
    """

    config: LoadedConfig
    run_id: str
    folder: RunFolder
    submitted_at: datetime
    anchor: ReplayAnchor | None = None
    training_id: str | None = None
