"""Where the data live during the training: on the device if they are small enough, else on the host."""

import os
from typing import Any

import torch

from include.config.training import TrainingConfig
from include.trainer.data import TrainingData
from include.trainer.data_sets.checks import check_data
from include.trainer.feeding.batches import BatchSource
from include.trainer.feeding.resident import ResidentSource
from include.trainer.feeding.streamed import StreamedSource
from include.trainer.streamed_data import StreamedData, as_streamed

_SHARE_OF_FREE_MEMORY = 0.25
_MOST_WORKERS = 4


def make_source(found: Any, training: TrainingConfig, device: torch.device) -> BatchSource:
    """Return what the loop is fed by, from what the data callable gave.

    :raises UserError: the data cannot be used.
    """
    data = check_data(found, training)
    if isinstance(data, TrainingData) and _belongs_on_device(data, training, device):
        return ResidentSource(data, device=device, seed=training.seed)
    return StreamedSource(
        data if isinstance(data, StreamedData) else as_streamed(data),
        device=device,
        seed=training.seed,
        workers=_workers(training, device),
        place=f"training.data '{training.data.path}'",
    )


def _belongs_on_device(data: TrainingData, training: TrainingConfig, device: torch.device) -> bool:
    if training.data_placement != "auto" or device.type != "cuda":
        return training.data_placement != "host"
    free_bytes, _ = torch.cuda.mem_get_info(device)
    return data.byte_count <= _SHARE_OF_FREE_MEMORY * free_bytes


def _workers(training: TrainingConfig, device: torch.device) -> int:
    if training.loader_workers is not None:
        return training.loader_workers
    # on the CPU they would take the processor from the training itself
    return min(_MOST_WORKERS, os.cpu_count() or 1) if device.type == "cuda" else 0
