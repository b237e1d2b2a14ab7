"""Whether what a data callable returned can be trained on: one sentence for each way in which it cannot."""

from collections.abc import Sized
from typing import Any, cast

import torch
from torch import Tensor

from include.config.training import TrainingConfig
from include.errors import ConfigurationError, DataSetError
from include.trainer.data import IGNORED_TARGET, TrainingData
from include.trainer.streamed_data import StreamedData

_INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


def check_data(found: Any, training: TrainingConfig) -> TrainingData | StreamedData:
    """Return what a data callable gave, once it is known to be usable.

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
            " include.trainer.data.TrainingData(train_inputs=..., train_targets=..., test_inputs=..., test_targets=...)"
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
            f" {int(targets.max()) + 1} or mend the data"
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
            f" {int(wide[wide != IGNORED_TARGET].min())}; mend it"
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
        raise DataSetError(f"{place}: weights must be finite, not negative and not all 0; mend them")
