"""Which micro-batch a run with ``micro_batch_size: auto`` has come to: known only once its child has tried."""

import json
from collections.abc import Mapping
from typing import Any

from include.config import LowtideConfig
from include.config.batching import AUTO
from include.pipeline.run_folder import RunFolder

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
