"""Whether what a data callable returned can be trained on: one sentence for each way in which it cannot."""

from typing import Any

import torch
from torch import Tensor

from include.config.training import TrainingConfig
from include.errors import ConfigurationError, DataSetError
from include.trainer.data import IGNORED_TARGET, TrainingData

_INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


def check_data(found: Any, training: TrainingConfig) -> TrainingData:
    """Return what a data callable gave, once it is known to be usable.

    :raises ConfigurationError: not a ``TrainingData``, or an effective batch larger than the training set.
    :raises DataSetError: no samples, unequal lengths, targets that are not class numbers, or impossible weights.
    """
    path = training.data.path
    if not isinstance(found, TrainingData):
        raise ConfigurationError(
            f"training.data.path '{path}' returned {type(found).__name__}; let it return"
            " include.trainer.data.TrainingData(train_inputs=..., train_targets=..., test_inputs=..., test_targets=...)"
        )
    for name in ("train", "test"):
        place = f"training.data '{path}', {'training' if name == 'train' else 'test'} set"
        _check_split(getattr(found, f"{name}_inputs"), getattr(found, f"{name}_targets"), place)
        _check_weights(getattr(found, f"{name}_weights"), getattr(found, f"{name}_targets"), place)
    check_batch_fits(training, found.train_count)
    return found.with_weights()


def check_batch_fits(training: TrainingConfig, train_count: int) -> None:
    """Check that the data hold at least one effective batch.

    :raises ConfigurationError: they do not.
    """
    if training.effective_batch_size > train_count:
        raise ConfigurationError(
            f"training.micro_batch_size {training.micro_batch_size} x accumulation_steps {training.accumulation_steps} ="
            f" {training.effective_batch_size} is more than the {train_count} training samples of '{training.data.path}';"
            " make the effective batch smaller"
        )


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
    if bool(((targets < 0) & (targets != IGNORED_TARGET)).any()):
        raise DataSetError(
            f"{place}: targets must be class numbers from 0 ({IGNORED_TARGET} is ignored), but one is"
            f" {int(targets[targets != IGNORED_TARGET].min())}; mend it"
        )


def _check_weights(weights: Any, targets: Tensor, place: str) -> None:
    if weights is None:
        return
    if not isinstance(weights, Tensor) or weights.shape != targets.shape:
        shape = tuple(weights.shape) if isinstance(weights, Tensor) else type(weights).__name__
        raise DataSetError(f"{place}: weights of shape {shape}, but targets of {tuple(targets.shape)}; make them alike")
    figures = weights.double()
    if not bool(figures.isfinite().all()) or bool((figures < 0).any()) or not bool(figures.any()):
        raise DataSetError(f"{place}: weights must be finite, not negative and not all 0; mend them")
