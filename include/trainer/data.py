"""Training data small enough to live on the device whole."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from include.config.training import TrainingConfig
from include.errors import ConfigurationError, DataSetError

_INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingData:
    """What a data callable returns: inputs and class numbers for training and testing, one row a sample.

    ``prepare`` turns a micro-batch of inputs into what the model takes (scaling, normalising), on the device and whole.
    It lets images stay uint8 on the device: a quarter of the memory of float32, for two cheap operations a batch.
    """

    train_inputs: Tensor
    train_targets: Tensor
    test_inputs: Tensor
    test_targets: Tensor
    prepare: Callable[[Tensor], Tensor] | None = None

    @property
    def train_count(self) -> int:
        """Number of training samples."""
        return len(self.train_inputs)

    def to(self, device: torch.device) -> "TrainingData":
        """Return the data on the device, the targets as int64."""
        return TrainingData(
            train_inputs=self.train_inputs.to(device),
            train_targets=self.train_targets.to(device, torch.int64),
            test_inputs=self.test_inputs.to(device),
            test_targets=self.test_targets.to(device, torch.int64),
            prepare=self.prepare,
        )

    def prepared(self, inputs: Tensor) -> Tensor:
        """Return a batch of inputs as the model takes them."""
        return inputs if self.prepare is None else self.prepare(inputs)


def check_data(found: Any, training: TrainingConfig) -> TrainingData:
    """Return what a data callable gave, once it is known to be usable.

    :raises ConfigurationError: not a ``TrainingData``, or an effective batch larger than the training set.
    :raises DataSetError: no samples, unequal lengths, or targets that are not class numbers.
    """
    path = training.data.path
    if not isinstance(found, TrainingData):
        raise ConfigurationError(
            f"training.data.path '{path}' returned {type(found).__name__}; let it return"
            " include.trainer.data.TrainingData(train_inputs=..., train_targets=..., test_inputs=..., test_targets=...)"
        )
    _check_split(found.train_inputs, found.train_targets, f"training.data '{path}', training set")
    _check_split(found.test_inputs, found.test_targets, f"training.data '{path}', test set")
    if training.effective_batch_size > found.train_count:
        raise ConfigurationError(
            f"training.micro_batch_size {training.micro_batch_size} x accumulation_steps {training.accumulation_steps} ="
            f" {training.effective_batch_size} is more than the {found.train_count} training samples of '{path}'; make"
            " the effective batch smaller"
        )
    return found


def _check_split(inputs: Any, targets: Any, place: str) -> None:
    if not isinstance(inputs, Tensor) or not isinstance(targets, Tensor):
        raise DataSetError(f"{place}: inputs and targets must be tensors; convert them with torch.as_tensor")
    if len(inputs) == 0:
        raise DataSetError(f"{place}: it is empty; check the data's path and limits")
    if targets.ndim != 1 or len(inputs) != len(targets):
        raise DataSetError(
            f"{place}: {len(inputs)} inputs, but targets of shape {tuple(targets.shape)}; give one class number for each"
        )
    if targets.dtype not in _INTEGERS or int(targets.min()) < 0:
        raise DataSetError(f"{place}: targets must be class numbers from 0, but are {targets.dtype}; convert them")
