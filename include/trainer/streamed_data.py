"""Data sets that are read sample by sample, and how a whole group of samples is fetched from them."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset, default_collate, get_worker_info

from include.trainer.data import TrainingData
from include.trainer.random_state import RandomState, seed_everything

Rows = tuple[Tensor, Tensor, Tensor | None]
"""Inputs, targets and weights of a group, on the host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamedData:
    """What a data callable returns where the data do not fit into memory.

    ``train[i]`` and ``test[i]`` give (input, target) or (input, target, weight). ``prepare`` and ``augment`` work on whole
    micro-batches on the device, as in ``TrainingData``; transforms within the data sets cost far more. ``collate`` puts a
    list of samples together: PyTorch's ``default_collate`` unless given.
    """

    train: Dataset[Any]
    test: Dataset[Any]
    prepare: Callable[[Tensor], Tensor] | None = None
    augment: Callable[[Tensor], Tensor] | None = None
    collate: Callable[[list[Any]], Any] = default_collate


class TensorRows(Dataset[Any]):
    """Samples in host tensors, taken by one index operation for each."""

    def __init__(self, inputs: Tensor, targets: Tensor, weights: Tensor | None) -> None:
        self._inputs, self._targets, self._weights = inputs, targets, weights

    def __len__(self) -> int:
        return len(self._inputs)

    def take(self, indices: list[int]) -> Rows:
        """Return these samples."""
        rows = torch.tensor(indices)
        return self._inputs[rows], self._targets[rows], None if self._weights is None else self._weights[rows]


def as_streamed(data: TrainingData) -> StreamedData:
    """Return tensors as data that stay on the host."""
    return StreamedData(
        train=TensorRows(data.train_inputs, data.train_targets, data.train_weights),
        test=TensorRows(data.test_inputs, data.test_targets, data.test_weights),
        prepare=data.prepare,
        augment=data.augment,
    )


class Fetch(Dataset[Rows]):
    """Fetches whole groups, in a worker process or not: what its samples draw depends on ``seeding`` and the group alone.

    So neither the number of workers nor where a pass is taken up changes a sample.

    :param device: the model's, whose generator is seeded with the others where there are no workers.
    """

    def __init__(
        self, samples: Dataset[Any], collate: Callable[[list[Any]], Any], seeding: str, *, device: torch.device
    ) -> None:
        self._samples, self._collate, self._seeding = samples, collate, seeding
        self._device = device

    def __getitem__(self, indices: list[int]) -> Rows:
        if isinstance(self._samples, TensorRows):
            return self._samples.take(indices)
        in_worker = get_worker_info() is not None  # there a forked process cannot ask CUDA, and need not
        device = torch.device("cpu") if in_worker else self._device
        before = RandomState.capture(device)  # without workers these are the model's generators
        digest = hashlib.sha256(f"{self._seeding}:{indices[0]}".encode()).digest()
        seed_everything(int.from_bytes(digest[:8], "big") >> 1)
        try:
            inputs, targets, *weights = self._collate([self._samples[index] for index in indices])
        finally:
            before.restore(device)
        return inputs, targets, weights[0] if weights else None
