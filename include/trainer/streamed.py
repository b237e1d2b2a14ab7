"""Data too large for the device: fetched a group at a time by a DataLoader, pinned, and copied a micro-batch at a time."""

from collections.abc import Callable, Iterator, Sized
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from include.trainer.batches import Batch, Group, piece_count
from include.trainer.data import weights_of
from include.trainer.data_checks import check_rows
from include.trainer.order import sample_order
from include.trainer.streamed_data import Fetch, Rows, StreamedData


class StreamedSource:
    """A ``BatchSource`` over data sets or host tensors.

    :param workers: processes that fetch ahead; their number changes no figure.
    :param place: how the data are called in an error sentence.
    """

    highest_target = None  # not known before all has been read: each group is looked at when it comes

    def __init__(self, data: StreamedData, *, device: torch.device, seed: int, workers: int, place: str) -> None:
        self._data, self._device, self._seed = data, device, seed
        self._workers, self._place = workers, place
        self.to_model: Callable[[Tensor], Tensor] | None = None
        self.class_count: int | None = None

    @property
    def train_count(self) -> int:
        """Number of training samples."""
        return len(cast("Sized", self._data.train))

    def groups(self, *, size: int, epoch: int, start: int = 0) -> Iterator[Group]:
        """Give the groups of one pass from its sample number ``start`` on."""
        order = sample_order(seed=self._seed, epoch=epoch, count=self.train_count).tolist()
        fetch = Fetch(self._data.train, self._data.collate, f"train:{self._seed}:{epoch}", device=self._device)
        for rows in self._fetched(fetch, order[start:], size):
            inputs, targets, weights = rows
            total = len(targets) * targets[:1].numel() if weights is None else max(float(weights.sum()), 1e-30)
            yield _HostGroup(source=self, inputs=inputs, targets=targets, weights=weights, weight=total)

    def test_batches(self, size: int) -> Iterator[Batch]:
        """Give the test data once, in order."""
        count = len(cast("Sized", self._data.test))
        fetch = Fetch(self._data.test, self._data.collate, f"test:{self._seed}", device=self._device)
        for rows in self._fetched(fetch, list(range(count)), size):
            yield self.on_device(rows, training=False)

    def on_device(self, rows: Rows, *, training: bool) -> Batch:
        """Copy rows to the device, without waiting for it, and prepare them there."""
        inputs, targets, weights = rows
        augment = self._data.augment if training else None
        inputs = inputs.to(self._device, non_blocking=True)
        for change in (self._data.prepare, augment, self.to_model):
            inputs = inputs if change is None else change(inputs)
        return Batch(
            inputs=inputs,
            targets=targets.to(self._device, non_blocking=True),
            weights=None if weights is None else weights.to(self._device, non_blocking=True),
        )

    def _fetched(self, fetch: Fetch, numbers: list[int], size: int) -> Iterator[Rows]:
        lists = [numbers[first : first + size] for first in range(0, len(numbers), size)]
        loader: DataLoader[Rows] = DataLoader(
            fetch,
            batch_size=None,  # what the sampler gives is a group already
            sampler=cast("Any", lists),
            num_workers=min(self._workers, len(lists)),
            pin_memory=self._device.type == "cuda",
            generator=torch.Generator(),  # else each pass would draw from the model's
        )
        for inputs, targets, weights in loader:
            check_rows(inputs, targets, weights, place=self._place, class_count=self.class_count)
            yield inputs, targets.long(), weights_of(targets, weights)


@dataclass(frozen=True, slots=True, kw_only=True)
class _HostGroup:
    source: StreamedSource
    inputs: Tensor
    targets: Tensor
    weights: Tensor | None
    weight: float

    @property
    def count(self) -> int:
        return len(self.inputs)

    def batches(self, micro_batch_size: int) -> Iterator[Batch]:
        pieces = piece_count(self.count, micro_batch_size)
        # views, which stay in pinned memory: an index would copy out of it, and the copy to the device would wait
        parts = zip(
            self.inputs.tensor_split(pieces),
            self.targets.tensor_split(pieces),
            [None] * pieces if self.weights is None else self.weights.tensor_split(pieces),
            strict=True,
        )
        for rows in parts:
            yield self.source.on_device(rows, training=True)
