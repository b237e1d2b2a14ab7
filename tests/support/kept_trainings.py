"""Trainings in this process that keep checkpoints, what was heard of them, and damage to what they kept."""

from pathlib import Path
from typing import Any

from lowtide.config.schema import TrainingConfig
from lowtide.errors import TrainingError
from lowtide.trainer.checkpoint import Checkpointer
from lowtide.trainer.protocol import CheckpointPlan, EventKind, Requests, TrainingResult
from lowtide.trainer.trainer import Training

Heard = list[tuple[EventKind, dict[str, Any]]]


def train(
    training: TrainingConfig, folder: Path, *, run_id: str = "r", training_id: str = "t", stop: bool = False
) -> tuple[TrainingResult | None, Heard]:
    heard: Heard = []

    def emit(kind: EventKind, data: dict[str, object]) -> None:
        heard.append((kind, data))
        if stop and kind is EventKind.CHECKPOINT:
            requests.stop.set()

    requests = Requests()
    plan = CheckpointPlan(folder=folder, run_id=run_id, training_id=training_id)
    checkpointer = Checkpointer(plan, training, emit=emit, requests=requests)
    try:
        return Training(training, emit=emit, checkpointer=checkpointer).run(), heard
    except TrainingError:
        return None, heard


def data_of(heard: Heard, kind: EventKind) -> list[dict[str, Any]]:
    return [data for found, data in heard if found is kind]


def spoil(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    if how == "one bit":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    elif how == "torn":
        path.write_bytes(content[: len(content) // 2])
    else:
        path.unlink()
