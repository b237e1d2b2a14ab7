"""What the loop is fed with: groups, one effective batch each, that can be cut into micro-batches of any size, repeatedly."""

import hashlib
import math
import os
from collections.abc import Callable, Iterator, Sequence, Sized
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from lowtide.config.schema import TrainingConfig
from lowtide.trainer.data import (
    Fetch,
    Rows,
    StreamedData,
    TrainingData,
    as_streamed,
    check_data,
    check_rows,
    is_plain,
    weights_of,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What the model is shown at once, on the device; ``weights`` has the shape of ``targets``, None means 1 each."""

    inputs: Tensor
    targets: Tensor
    weights: Tensor | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The samples of one optimizer step.

    ``weight`` is what the summed loss is divided by: the sum of all weights, or the number of targets. ``cut`` yields the
    samples in order, in so many batches.
    """

    count: int
    weight: float | Tensor
    cut: Callable[[int], Iterator[Batch]]

    def batches(self, micro_batch_size: int) -> Iterator[Batch]:
        """Yield the samples in micro-batches as even as possible and no larger than that.

        513 samples at 512 become 257 + 256, not 512 + 1, on which BatchNorm would fail.
        """
        return self.cut(math.ceil(self.count / micro_batch_size))


class BatchSource:
    """Training and test data, wherever they are stored; the order of samples is a pure function of (seed, epoch).

    ``highest_target`` is the highest class number in the data; None if it is known only after reading all of it: such a
    source checks targets as it reads, against ``class_count``, how many classes the model gives. ``to_model`` is what is done
    to prepared inputs last (their memory format, for example).
    """

    def __init__(self, *, train_count: int, test_count: int, highest_target: int | None) -> None:
        self.train_count, self.test_count, self.highest_target = train_count, test_count, highest_target
        self.to_model: Callable[[Tensor], Tensor] | None = None
        self.class_count: int | None = None

    def groups(self, *, size: int, epoch: int, start: int = 0) -> Iterator[Group]:
        """Yield the groups of one pass from its sample number ``start`` on; the last one may be short."""
        raise NotImplementedError

    def test_batches(self, size: int) -> Iterator[Batch]:
        """Yield the test data once, in order."""
        raise NotImplementedError

    def changed(self, inputs: Tensor, *changes: Callable[[Tensor], Tensor] | None) -> Tensor:
        """Return inputs after the changes, in order, and ``to_model``."""
        for change in (*changes, self.to_model):
            inputs = inputs if change is None else change(inputs)
        return inputs


def sample_order(*, seed: int, epoch: int, count: int) -> Tensor:
    """Return a permutation of ``range(count)``; epochs count from 0.

    Drawn on the CPU by a separate generator: the same on every device, and untouched by what the model draws.
    """
    digest = hashlib.sha256(f"sample order:{seed}:{epoch}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
    return torch.randperm(count, generator=generator)


_SMALL_GROUP_BYTES = 4 * 2**20
"""Up to this size, stored and prepared, the samples of a group are fetched and prepared at once: for each of eight micro-batches these
small kernels would take a tenth of a small model's step. Larger groups are fetched a micro-batch at a time, which saves
memory."""


class ResidentSource(BatchSource):
    """Data that are on the device as a whole: a micro-batch is an index into tensors, and nothing is copied from the host."""

    def __init__(self, data: TrainingData, *, device: torch.device, seed: int) -> None:
        super().__init__(
            train_count=data.train_count,
            test_count=len(data.test_inputs),
            highest_target=max(int(data.train_targets.max()), int(data.test_targets.max())),
        )
        self.data, self._seed = data.to(device), seed
        self._sample_bytes: int | None = None

    def groups(self, *, size: int, epoch: int, start: int = 0) -> Iterator[Group]:
        """Yield the groups of one pass from its sample number ``start`` on."""
        order = sample_order(seed=self._seed, epoch=epoch, count=self.train_count).to(self.data.train_inputs.device)
        for first in range(start, self.train_count, size):  # none if a pass is resumed at its end
            indices = order[first : first + size]
            yield Group(count=len(indices), weight=self._weight(indices), cut=partial(self._cut, indices))

    def test_batches(self, size: int) -> Iterator[Batch]:
        """Yield the test data once, in order."""
        data = self.data
        for first in range(0, len(data.test_inputs), size):
            part = slice(first, first + size)
            yield Batch(
                inputs=self.changed(data.test_inputs[part], data.prepare),
                targets=data.test_targets[part],
                weights=None if data.test_weights is None else data.test_weights[part],
            )

    def _cut(self, indices: Tensor, pieces: int) -> Iterator[Batch]:
        data = self.data
        small = self._largest_sample_bytes() * len(indices) <= _SMALL_GROUP_BYTES
        for part in (indices,) if small else indices.tensor_split(pieces):
            cut = pieces if small else 1
            inputs = data.prepared(data.train_inputs[part]).tensor_split(cut)
            targets = data.train_targets[part].tensor_split(cut)
            weights = (None,) * cut if data.train_weights is None else data.train_weights[part].tensor_split(cut)
            for prepared, target, weight in zip(inputs, targets, weights, strict=True):
                yield Batch(inputs=self.changed(prepared, data.augment), targets=target, weights=weight)

    def _largest_sample_bytes(self) -> int:
        """Return the size of a sample as it is stored or prepared, whichever is larger: preparing may enlarge an image."""
        if self._sample_bytes is None:
            stored = self.data.train_inputs[:1]
            self._sample_bytes = max(stored.nbytes, self.data.prepared(stored).nbytes)
        return self._sample_bytes

    def _weight(self, indices: Tensor) -> int | Tensor:
        weights = self.data.train_weights
        if weights is None:
            return len(indices) * self.data.targets_per_sample
        return weights[indices].sum().clamp(min=torch.finfo(weights.dtype).tiny)  # a group of padding alone: 0, not NaN


_GROUPS_AHEAD = 2
_PIECES = 8
"""A group's pieces are fetched by several workers at once. Their number must not depend on that of the workers: what a data
set draws at random is seeded by piece."""


def in_pieces(numbers: Sequence[int], *, size: int, pieces: int) -> Iterator[list[list[int]]]:
    """Yield for each group of ``size`` the sample numbers of its pieces, which are at most so many."""
    for first in range(0, len(numbers), size):
        group = list(numbers[first : first + size])
        step = math.ceil(len(group) / pieces)
        yield [group[start : start + step] for start in range(0, len(group), step)]


class StreamedSource(BatchSource):
    """Data sets or tensors on the host: fetched ahead by a DataLoader, pinned, and copied a micro-batch at a time.

    :param workers: processes that fetch ahead, as many of them as two groups take; their number changes no figure.
    :param place: what the data are called in an error message.
    """

    def __init__(self, data: StreamedData, *, device: torch.device, seed: int, workers: int, place: str) -> None:
        train_count, test_count = (len(cast("Sized", samples)) for samples in (data.train, data.test))
        super().__init__(train_count=train_count, test_count=test_count, highest_target=None)
        self._data, self._device, self._seed = data, device, seed
        self._workers, self._place = workers, place

    def groups(self, *, size: int, epoch: int, start: int = 0) -> Iterator[Group]:
        """Yield the groups of one pass from its sample number ``start`` on."""
        order = sample_order(seed=self._seed, epoch=epoch, count=self.train_count).tolist()
        fetch = Fetch(self._data.train, self._data.collate, f"train:{self._seed}:{epoch}", device=self._device)
        for parts in self._fetched(fetch, self._data.train, order[start:], size):
            weight = sum(float(targets.numel() if weights is None else weights.sum()) for _, targets, weights in parts)
            count = sum(len(inputs) for inputs, _, _ in parts)
            yield Group(count=count, weight=max(weight, 1e-30), cut=partial(self._cut, parts, count))

    def test_batches(self, size: int) -> Iterator[Batch]:
        """Yield the test data once, in order."""
        fetch = Fetch(self._data.test, self._data.collate, f"test:{self._seed}", device=self._device)
        for parts in self._fetched(fetch, self._data.test, list(range(self.test_count)), size):
            yield self._on_device(parts, training=False)

    def _cut(self, parts: list[Rows], count: int, pieces: int) -> Iterator[Batch]:
        least, more = divmod(count, pieces)  # as Tensor.tensor_split cuts
        start = 0
        for number in range(pieces):
            stop = start + least + (number < more)
            yield self._on_device(list(_between(parts, start, stop)), training=True)
            start = stop

    def _on_device(self, parts: list[Rows], *, training: bool) -> Batch:
        """Copy rows to the device, without waiting for it, and put them together and prepare them there."""
        inputs, targets, weights = zip(*parts, strict=True)
        augment = self._data.augment if training else None
        return Batch(
            inputs=self.changed(self._joined(inputs), self._data.prepare, augment),
            targets=self._joined(targets),
            weights=None if weights[0] is None else self._joined(weights),
        )

    def _joined(self, tensors: Sequence[Tensor]) -> Tensor:
        copies = [tensor.to(self._device, non_blocking=True) for tensor in tensors]
        return copies[0] if len(copies) == 1 else torch.cat(copies)

    def _fetched(self, fetch: Fetch, samples: Dataset[Any], numbers: list[int], size: int) -> Iterator[list[Rows]]:
        most = 1 if self._in_one_piece(samples) else _PIECES
        groups = list(in_pieces(numbers, size=size, pieces=most))
        if not groups:
            return  # a pass that is resumed at its end
        pieces = [piece for group in groups for piece in group]
        ahead = _GROUPS_AHEAD * most  # pieces, which are in shared memory
        workers = min(self._workers, ahead)
        loader: DataLoader[Rows] = DataLoader(
            fetch,
            batch_size=None,  # what the sampler gives is a piece of a group already
            sampler=cast("Any", pieces),
            num_workers=min(workers, len(pieces)),
            prefetch_factor=ahead // workers if workers else None,
            pin_memory=self._device.type == "cuda",
            generator=torch.Generator(),  # else each pass would draw from the model's
        )
        fetched = iter(loader)
        for group in groups:
            yield _alike([self._checked(next(fetched)) for _ in group])

    def _in_one_piece(self, samples: Dataset[Any]) -> bool:
        if is_plain(samples, self._data.collate):
            return self._workers == 0  # nothing is drawn, and one index operation is enough
        return self._data.collate is not default_collate  # a user's own may pad to the longest of all that it is given

    def _checked(self, rows: Rows) -> Rows:
        inputs, targets, weights = rows
        check_rows(inputs, targets, weights, place=self._place, class_count=self.class_count)
        return inputs, targets.long(), weights_of(targets, weights)


def _alike(parts: list[Rows]) -> list[Rows]:
    """Yield all parts weights if one has some: a part without an ignored target came without."""
    if all(weights is None for _, _, weights in parts):
        return parts
    return [
        (inputs, targets, torch.ones(targets.shape) if weights is None else weights)
        for inputs, targets, weights in parts
    ]


def _between(parts: list[Rows], start: int, stop: int) -> Iterator[Rows]:
    # views, which stay in pinned memory: an index would copy out of it, and the copy to the device would wait
    offset = 0
    for inputs, targets, weights in parts:
        part = slice(max(0, start - offset), max(0, min(len(inputs), stop - offset)))
        if part.start < part.stop:
            yield inputs[part], targets[part], None if weights is None else weights[part]
        offset += len(inputs)


_SHARE_OF_FREE_MEMORY = 0.25
_MOST_WORKERS = 4


def make_source(found: Any, training: TrainingConfig, device: torch.device) -> BatchSource:
    """Return the source of a data callable's result: on the device if the data are small enough, else on the host.

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
