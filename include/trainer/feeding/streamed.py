"""Data too large for the device: fetched ahead by a DataLoader, pinned, and copied a micro-batch at a time."""

from collections.abc import Callable, Iterator, Sequence, Sized
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from include.trainer.data import weights_of
from include.trainer.data_sets.checks import check_rows
from include.trainer.feeding.batches import Batch, Group, piece_count
from include.trainer.feeding.order import sample_order
from include.trainer.feeding.prefetch import Prefetch
from include.trainer.streamed_data import Fetch, Rows, StreamedData, TensorRows


class StreamedSource:
    """A ``BatchSource`` over data sets or host tensors.

    :param workers: processes that fetch ahead, as many of them as two groups take; their number changes no figure.
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

    @property
    def test_count(self) -> int:
        """Number of test samples."""
        return len(cast("Sized", self._data.test))

    def groups(self, *, size: int, epoch: int, start: int = 0) -> Iterator[Group]:
        """Give the groups of one pass from its sample number ``start`` on."""
        order = sample_order(seed=self._seed, epoch=epoch, count=self.train_count).tolist()
        fetch = Fetch(self._data.train, self._data.collate, f"train:{self._seed}:{epoch}", device=self._device)
        for parts in self._fetched(fetch, self._data.train, order[start:], size):
            weight = sum(_weight_of(targets, weights) for _, targets, weights in parts)
            yield _HostGroup(source=self, parts=parts, weight=max(weight, 1e-30))

    def test_batches(self, size: int) -> Iterator[Batch]:
        """Give the test data once, in order."""
        fetch = Fetch(self._data.test, self._data.collate, f"test:{self._seed}", device=self._device)
        for parts in self._fetched(fetch, self._data.test, list(range(self.test_count)), size):
            yield self.on_device(parts, training=False)

    def on_device(self, parts: list[Rows], *, training: bool) -> Batch:
        """Copy rows to the device, without waiting for it, and put them together and prepare them there."""
        inputs, targets, weights = zip(*parts, strict=True)
        augment = self._data.augment if training else None
        changed = self._joined(inputs)
        for change in (self._data.prepare, augment, self.to_model):
            changed = changed if change is None else change(changed)
        return Batch(
            inputs=changed,
            targets=self._joined(targets),
            weights=None if weights[0] is None else self._joined(weights),
        )

    def _joined(self, tensors: Sequence[Tensor]) -> Tensor:
        copies = [tensor.to(self._device, non_blocking=True) for tensor in tensors]
        return copies[0] if len(copies) == 1 else torch.cat(copies)

    def _fetched(self, fetch: Fetch, samples: Dataset[Any], numbers: list[int], size: int) -> Iterator[list[Rows]]:
        prefetch = Prefetch.of(self._workers, whole=self._in_one_piece(samples))
        groups = list(prefetch.lists(numbers, size))
        if not groups:
            return  # a pass that is taken up at its end
        pieces = [piece for group in groups for piece in group]
        loader: DataLoader[Rows] = DataLoader(
            fetch,
            batch_size=None,  # what the sampler gives is a piece of a group already
            sampler=cast("Any", pieces),
            num_workers=min(prefetch.workers, len(pieces)),
            prefetch_factor=prefetch.in_hand,
            pin_memory=self._device.type == "cuda",
            generator=torch.Generator(),  # else each pass would draw from the model's
        )
        fetched = iter(loader)
        for group in groups:
            yield _alike([self._checked(next(fetched)) for _ in group])

    def _in_one_piece(self, samples: Dataset[Any]) -> bool:
        if isinstance(samples, TensorRows):
            return self._workers == 0  # nothing is drawn, and one index operation is enough
        return self._data.collate is not default_collate  # a user's own may pad to the longest of all that it is given

    def _checked(self, rows: Rows) -> Rows:
        inputs, targets, weights = rows
        check_rows(inputs, targets, weights, place=self._place, class_count=self.class_count)
        return inputs, targets.long(), weights_of(targets, weights)


def _weight_of(targets: Tensor, weights: Tensor | None) -> float:
    return float(targets.numel()) if weights is None else float(weights.sum())


def _alike(parts: list[Rows]) -> list[Rows]:
    """Give all parts weights if one has some: a part without an ignored target came without."""
    if all(weights is None for _, _, weights in parts):
        return parts
    return [
        (inputs, targets, torch.ones(targets.shape) if weights is None else weights)
        for inputs, targets, weights in parts
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _HostGroup:
    source: StreamedSource
    parts: list[Rows]
    weight: float

    @property
    def count(self) -> int:
        return sum(len(inputs) for inputs, _, _ in self.parts)

    def batches(self, micro_batch_size: int) -> Iterator[Batch]:
        pieces = piece_count(self.count, micro_batch_size)
        least, more = divmod(self.count, pieces)  # as Tensor.tensor_split cuts
        start = 0
        for number in range(pieces):
            stop = start + least + (number < more)
            yield self.source.on_device(list(_between(self.parts, start, stop)), training=True)
            start = stop


def _between(parts: list[Rows], start: int, stop: int) -> Iterator[Rows]:
    # views, which stay in pinned memory: an index would copy out of it, and the copy to the device would wait
    offset = 0
    for inputs, targets, weights in parts:
        part = slice(max(0, start - offset), max(0, min(len(inputs), stop - offset)))
        if part.start < part.stop:
            yield inputs[part], targets[part], None if weights is None else weights[part]
        offset += len(inputs)
