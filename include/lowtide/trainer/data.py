"""What a data callable may return: ``TrainingData`` (tensors) or ``StreamedData`` (data sets), and the checks of both."""

import hashlib
from collections.abc import Callable, Sized
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor
from torch.utils.data import Dataset, TensorDataset, default_collate, get_worker_info

from lowtide.config.schema import TrainingConfig
from lowtide.errors import ConfigurationError, DataSetError
from lowtide.trainer.random_state import RandomState, seed_everything

IGNORED_TARGET = -100
"""PyTorch's value for a target that does not count; it becomes a weight of 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingData:
    """Inputs and class numbers for training and testing, one row a sample.

    Targets have shape (samples,) or, with a class for each token, (samples, tokens). ``train_weights`` and ``test_weights``
    have the shape of the targets: 0 for padding, or how much a sample counts; None means 1 each. The loss is divided by the
    sum of an effective batch's weights.

    ``prepare`` turns inputs into what the model takes (scaling, normalising), sample by sample, on the device: a micro-batch at
    once, or a whole effective batch where that is a few MiB. It lets images stay uint8 on the device: a quarter of the memory
    of float32, for two cheap operations a batch.
    ``augment`` changes prepared inputs in training only; it may draw from the global random generators, which a resumed
    training finds as they were.
    """

    train_inputs: Tensor
    train_targets: Tensor
    test_inputs: Tensor
    test_targets: Tensor
    train_weights: Tensor | None = None
    test_weights: Tensor | None = None
    prepare: Callable[[Tensor], Tensor] | None = None
    augment: Callable[[Tensor], Tensor] | None = None

    @property
    def train_count(self) -> int:
        """Number of training samples."""
        return len(self.train_inputs)

    @property
    def targets_per_sample(self) -> int:
        """1, or the number of tokens."""
        return self.train_targets[:1].numel()

    @property
    def byte_count(self) -> int:
        """Bytes of all tensors together."""
        tensors = (self.train_inputs, self.train_targets, self.test_inputs, self.test_targets)
        weights = (self.train_weights, self.test_weights)
        return sum(tensor.nbytes for tensor in (*tensors, *weights) if tensor is not None)

    def to(self, device: torch.device) -> "TrainingData":
        """Return the data on the device, the targets as int64, the weights as float32."""
        return replace(
            self,
            train_inputs=self.train_inputs.to(device),
            train_targets=self.train_targets.to(device, torch.int64),
            test_inputs=self.test_inputs.to(device),
            test_targets=self.test_targets.to(device, torch.int64),
            train_weights=None if self.train_weights is None else self.train_weights.to(device, torch.float32),
            test_weights=None if self.test_weights is None else self.test_weights.to(device, torch.float32),
        )

    def prepared(self, inputs: Tensor) -> Tensor:
        """Return a batch of inputs as the model takes them."""
        return inputs if self.prepare is None else self.prepare(inputs)

    def with_weights(self) -> "TrainingData":
        """Return the data with weights of 0 where targets are marked as ignored (-100)."""
        return replace(
            self,
            train_weights=weights_of(self.train_targets, self.train_weights),
            test_weights=weights_of(self.test_targets, self.test_weights),
        )


def weights_of(targets: Tensor, weights: Tensor | None) -> Tensor | None:
    """Return the weights as float32, those of ignored targets 0; None if all count alike."""
    counted = targets.long() != IGNORED_TARGET  # in uint8, -100 would be class 156
    if weights is not None:
        return torch.where(counted, weights.float(), 0.0)
    return None if bool(counted.all()) else counted.float()


Rows = tuple[Tensor, Tensor, Tensor | None]
"""Inputs, targets and weights of a group, on the host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamedData:
    """What a data callable returns if the data do not fit into memory.

    ``train[i]`` and ``test[i]`` give (input, target) or (input, target, weight). ``prepare`` and ``augment`` work on whole
    micro-batches on the device, as in ``TrainingData``; transforms within the data sets cost far more. ``collate`` puts a
    list of samples together: PyTorch's ``default_collate`` unless given.
    """

    train: Dataset[Any]
    test: Dataset[Any]
    prepare: Callable[[Tensor], Tensor] | None = None
    augment: Callable[[Tensor], Tensor] | None = None
    collate: Callable[[list[Any]], Any] = default_collate


def as_streamed(data: TrainingData) -> StreamedData:
    """Return tensors as data that stay on the host."""
    parts = (
        (data.train_inputs, data.train_targets, data.train_weights),
        (data.test_inputs, data.test_targets, data.test_weights),
    )
    train, test = (TensorDataset(*(tensor for tensor in part if tensor is not None)) for part in parts)
    return StreamedData(train=train, test=test, prepare=data.prepare, augment=data.augment)


def is_plain(samples: Dataset[Any], collate: Callable[[list[Any]], Any]) -> bool:
    """Whether samples are rows of tensors: one index operation takes many of them, and nothing is drawn at random."""
    return type(samples) is TensorDataset and collate is default_collate


class Fetch(Dataset[Rows]):
    """Fetches whole groups, in a worker process or not: what its samples draw depends on ``seeding`` and the group alone.

    So neither the number of workers nor where a pass is resumed changes a sample.

    :param device: the model's, whose generator is seeded with the others where there are no workers.
    """

    def __init__(
        self, samples: Dataset[Any], collate: Callable[[list[Any]], Any], seeding: str, *, device: torch.device
    ) -> None:
        self._samples, self._collate, self._seeding = samples, collate, seeding
        self._device = device

    def __getitem__(self, indices: list[int]) -> Rows:
        if is_plain(self._samples, self._collate):
            inputs, targets, *weights = self._samples[torch.tensor(indices)]
            return inputs, targets, weights[0] if weights else None
        in_worker = get_worker_info() is not None  # a forked process cannot use CUDA, and need not
        device = torch.device("cpu") if in_worker else self._device
        before = RandomState.capture(device)  # without workers these are the model's generators
        digest = hashlib.sha256(f"{self._seeding}:{indices[0]}".encode()).digest()
        seed_everything(int.from_bytes(digest[:8], "big") >> 1)
        try:
            inputs, targets, *weights = self._collate([self._samples[index] for index in indices])
        finally:
            before.restore(device)
        return inputs, targets, weights[0] if weights else None


_INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


def check_data(found: Any, training: TrainingConfig) -> TrainingData | StreamedData:
    """Return a data callable's result, if it can be trained on.

    :raises ConfigurationError: neither ``TrainingData`` nor ``StreamedData``, or an effective batch larger than the data.
    :raises DataSetError: no samples, unequal lengths, targets that are not class numbers, or impossible weights.
    """
    place = f"training.data '{training.data.path}'"
    if isinstance(found, StreamedData):
        _check_lengths(found, place)
        check_batch_fits(training, len(cast("Sized", found.train)))
        return found
    if not isinstance(found, TrainingData):
        raise ConfigurationError(
            f"training.data.path '{training.data.path}' returned {type(found).__name__}; let it return"
            " lowtide.trainer.TrainingData(train_inputs=..., train_targets=..., test_inputs=..., test_targets=...)"
        )
    parts = (
        (found.train_inputs, found.train_targets, found.train_weights, f"{place}, training set"),
        (found.test_inputs, found.test_targets, found.test_weights, f"{place}, test set"),
    )
    for inputs, targets, weights, name in parts:
        _check_split(inputs, targets, name)
        _check_weights(weights, targets, name)
    check_batch_fits(training, found.train_count)
    return found.with_weights()


def _check_lengths(data: StreamedData, place: str) -> None:
    for name, samples in (("training", data.train), ("test", data.test)):
        if not hasattr(samples, "__len__") or not hasattr(samples, "__getitem__"):
            raise DataSetError(
                f"{place}, {name} set: {type(samples).__name__} has no length or no index; give a map-style data set"
            )
        if len(cast("Sized", samples)) == 0:
            raise DataSetError(f"{place}, {name} set: it is empty; check the data's path and limits")


def check_batch_fits(training: TrainingConfig, train_count: int) -> None:
    """Check that the data hold at least one effective batch.

    :raises ConfigurationError: they do not.
    """
    if training.effective_batch_size > train_count:
        raise ConfigurationError(
            f"{_effective_batch(training)} is more than the {train_count} training samples of '{training.data.path}';"
            " make the effective batch smaller"
        )


def _effective_batch(training: TrainingConfig) -> str:
    micro, steps = training.micro_batch_size, training.accumulation_steps
    if micro == "auto" or steps is None or micro * steps != training.effective_batch_size:  # the steps are derived
        return f"training.effective_batch_size {training.effective_batch_size}"
    return f"training.micro_batch_size {micro} x accumulation_steps {steps} = {training.effective_batch_size}"


def check_rows(inputs: Any, targets: Any, weights: Any, *, place: str, class_count: int | None) -> None:
    """Check one group of streamed samples.

    :raises DataSetError: unequal lengths, targets that are not class numbers that the model has, or impossible weights.
    """
    _check_split(inputs, targets, place)
    if class_count is not None and int(targets.max()) >= class_count:
        raise DataSetError(
            f"{place}: a target is {int(targets.max())}, but the model gives {class_count} classes; give it"
            f" {int(targets.max()) + 1} or correct the data"
        )
    if weights is not None:
        _check_weights(weights, targets, place, some_positive=False)


def _check_split(inputs: Any, targets: Any, place: str) -> None:
    if not isinstance(inputs, Tensor) or not isinstance(targets, Tensor):
        raise DataSetError(f"{place}: inputs and targets must be tensors; convert them with torch.as_tensor")
    if len(inputs) == 0:
        raise DataSetError(f"{place}: it is empty; check the data's path and limits")
    if targets.ndim not in (1, 2) or len(inputs) != len(targets):
        raise DataSetError(
            f"{place}: {len(inputs)} inputs, but targets of shape {tuple(targets.shape)}; give one class number for each,"
            " or a row of them"
        )
    if targets.dtype not in _INTEGERS:
        raise DataSetError(f"{place}: targets must be class numbers from 0, but are {targets.dtype}; convert them")
    wide = targets.long()  # in uint8, -100 would be class 156
    if bool(((wide < 0) & (wide != IGNORED_TARGET)).any()):
        raise DataSetError(
            f"{place}: targets must be class numbers from 0 ({IGNORED_TARGET} is ignored), but one is"
            f" {int(wide[wide != IGNORED_TARGET].min())}; correct it"
        )


def _check_weights(weights: Any, targets: Tensor, place: str, *, some_positive: bool = True) -> None:
    if weights is None:
        return
    if not isinstance(weights, Tensor) or weights.shape != targets.shape:
        shape = tuple(weights.shape) if isinstance(weights, Tensor) else type(weights).__name__
        raise DataSetError(f"{place}: weights of shape {shape}, but targets of {tuple(targets.shape)}; make them alike")
    figures = torch.where(targets.long() == IGNORED_TARGET, 0.0, weights.double())
    usable = bool(figures.isfinite().all()) and not bool((figures < 0).any())
    if not usable or (some_positive and not bool(figures.any())):
        raise DataSetError(f"{place}: weights must be finite, not negative and not all 0; correct them")
