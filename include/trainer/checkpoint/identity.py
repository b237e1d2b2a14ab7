"""Whose a checkpoint is, and what must be equal for it to be gone on with."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from include.config import TrainingConfig

_NO_MATTER = {"device", "loader_workers", "environment", "checkpoint_interval", "checkpoint_steps", "stall_timeout"}
"""What may change between two attempts: where it runs, and how often it saves; neither is part of what is trained."""
_SHOWN = 60


class CheckpointPlan(BaseModel):
    """Where a training's checkpoints lie and whose they are; part of the request to the child.

    :param training_id: made once when a training begins from nothing. A run that was deleted and made again has the same
        run id and the same folder, and must not go on where the deleted one stopped.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: Path
    run_id: str
    training_id: str


def fingerprint(training: TrainingConfig) -> dict[str, Any]:
    """Return the part of a configuration that decides what is trained, as JSON values."""
    return training.model_dump(mode="json", exclude=_NO_MATTER)


def first_difference(before: Any, now: Any, key: str) -> str | None:
    """Return the first difference between two JSON values in words, ``training.seed was 0 and is 1 now``; None if equal.

    :param key: the dotted name of what is compared.
    """
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        names = [*before, *(name for name in now if name not in before)]
        found = (first_difference(before.get(name), now.get(name), f"{key}.{name}" if key else name) for name in names)
        return next((difference for difference in found if difference), None)
    return None if before == now else f"{key} was {_shown(before)} and is {_shown(now)} now"


def _shown(value: Any) -> str:
    text = "not set" if value is None else repr(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
