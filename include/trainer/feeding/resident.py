"""Data that live on the device whole: a micro-batch is an index into tensors, and nothing is copied from the host."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from include.trainer.data import TrainingData
from include.trainer.feeding.batches import Batch, Group, piece_count
from include.trainer.feeding.order import sample_order

_SMALL_GROUP_BYTES = 4 * 2**20
"""Up to this size, stored and prepared, the samples of a group are fetched and prepared at once: for each of eight micro-batches these
small kernels would take a tenth of a small model's step. Larger groups are fetched a micro-batch at a time, so that no
memory is spent on samples whose turn has not come."""


class ResidentSource:
    """A ``BatchSource`` over tensors."""

    def __init__(self, data: TrainingData, *, device: torch.device, seed: int) -> None:
        self.data, self._seed = data.to(device), seed
        self.to_model: Callable[[Tensor], Tensor] | None = None
        self.class_count: int | None = None
        self._sample_bytes: int | None = None

    @property
    def train_count(self) -> int:
        """Number of training samples."""
        return self.data.train_count

    @property
    def test_count(self) -> int:
        """Number of test samples."""
        return len(self.data.test_inputs)

    @property
    def highest_target(self) -> int:
        """The highest class number in the data."""
        return int(torch.maximum(self.data.train_targets.max(), self.data.test_targets.max()))

    def groups(self, *, size: int, epoch: int, start: int = 0) -> Iterator[Group]:
        """Give the groups of one pass from its sample number ``start`` on."""
        order = sample_order(seed=self._seed, epoch=epoch, count=self.train_count).to(self.data.train_inputs.device)
        for first in range(start, self.train_count, size):  # none where a pass is taken up at its end
            indices = order[first : first + size]
            yield _IndexedGroup(source=self, indices=indices, weight=self._weight(indices))

    def test_batches(self, size: int) -> Iterator[Batch]:
        """Give the test data once, in order."""
        data = self.data
        for first in range(0, len(data.test_inputs), size):
            part = slice(first, first + size)
            yield Batch(
                inputs=self._changed(data.test_inputs[part], data.prepare),
                targets=data.test_targets[part],
                weights=None if data.test_weights is None else data.test_weights[part],
            )

    def training_batches(self, indices: Tensor, pieces: int) -> Iterator[Batch]:
        """Give these training samples in so many batches, prepared and augmented."""
        data = self.data
        small = self._largest_sample_bytes() * len(indices) <= _SMALL_GROUP_BYTES
        for part in (indices,) if small else indices.tensor_split(pieces):
            cut = pieces if small else 1
            inputs = data.prepared(data.train_inputs[part]).tensor_split(cut)
            targets = data.train_targets[part].tensor_split(cut)
            weights = (None,) * cut if data.train_weights is None else data.train_weights[part].tensor_split(cut)
            for prepared, target, weight in zip(inputs, targets, weights, strict=True):
                yield Batch(inputs=self._changed(prepared, data.augment), targets=target, weights=weight)

    def _largest_sample_bytes(self) -> int:
        """Return the size of a sample as it is stored or prepared, whichever is larger: preparing may enlarge an image."""
        if self._sample_bytes is None:
            stored = self.data.train_inputs[:1]
            self._sample_bytes = max(stored.nbytes, self.data.prepared(stored).nbytes)
        return self._sample_bytes

    def _changed(self, inputs: Tensor, *changes: Callable[[Tensor], Tensor] | None) -> Tensor:
        for change in (*changes, self.to_model):
            inputs = inputs if change is None else change(inputs)
        return inputs

    def _weight(self, indices: Tensor) -> int | Tensor:
        weights = self.data.train_weights
        if weights is None:
            return len(indices) * self.data.targets_per_sample
        return weights[indices].sum().clamp(min=torch.finfo(weights.dtype).tiny)  # a group of padding alone: 0, not NaN


@dataclass(frozen=True, slots=True, kw_only=True)
class _IndexedGroup:
    source: ResidentSource
    indices: Tensor
    weight: int | Tensor

    @property
    def count(self) -> int:
        return len(self.indices)

    def batches(self, micro_batch_size: int) -> Iterator[Batch]:
        return self.source.training_batches(self.indices, piece_count(self.count, micro_batch_size))
