"""torchvision's data sets by their import path: both splits are made, as tensors, and normalised by their own figures."""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lowtide.config.schema import ImportedConfig
from lowtide.errors import ConfigurationError, DataSetError
from lowtide.trainer.data import TrainingData
from lowtide.trainer.datasets import normaliser
from lowtide.trainer.mnist import default_data_folder
from lowtide.trainer.user_code import describe, load_attribute, load_callable

_MODULE = "torchvision.datasets"
_KEY = "training.data"
_SPLITS = {"train": (True, False), "split": ("train", "test")}
"""The argument that selects the split of a data set, and its two values."""


def load_data(imported: ImportedConfig) -> Callable[[], Any]:
    """Return the callable of ``training.data``; one of torchvision's data sets is called once for each split.

    :raises ConfigurationError: as ``load_callable``; or a torchvision data set without a training and a test split.
    """
    if imported.path.partition(":")[0] != _MODULE:
        return load_callable(imported, key=_KEY)
    kind = load_attribute(imported, key=_KEY)
    names = inspect.signature(kind).parameters
    split = next((name for name in _SPLITS if name in names), None)
    if split is None or split in imported.kwargs:
        raise ConfigurationError(
            f"{_KEY}.path '{imported.path}' must have a training and a test split, and leave the choice to Lowtide; write"
            " a function of your own that returns lowtide.trainer.StreamedData (docs/own_model.md)"
        )
    root = {"root": str(default_data_folder())}
    parts = [
        load_callable(imported.model_copy(update={"kwargs": root | imported.kwargs | {split: value}}), key=_KEY)
        for value in _SPLITS[split]
    ]
    return lambda: _both(parts[0], parts[1], imported.path)


def _both(train: Callable[[], Any], test: Callable[[], Any], path: str) -> TrainingData:
    train_inputs, train_targets = _tensors(_made(train, path), path)
    test_inputs, test_targets = _tensors(_made(test, path), path)
    return TrainingData(
        train_inputs=train_inputs,
        train_targets=train_targets,
        test_inputs=test_inputs,
        test_targets=test_targets,
        prepare=normaliser(train_inputs),
    )


def _made(make: Callable[[], Any], path: str) -> Any:
    try:
        return make()
    except ConfigurationError as error:
        if isinstance(error.__cause__, RuntimeError) and "not found" in str(error.__cause__):
            raise DataSetError(
                f"{_KEY} '{path}': its files are not in {default_data_folder()} ({describe(error.__cause__)}); put them there"
                " or add download: true to training.data.kwargs"
            ) from error
        raise


def _tensors(samples: Any, path: str) -> tuple[Tensor, Tensor]:
    """Return images as (samples, channels, height, width), and class numbers."""
    images, targets = getattr(samples, "data", None), getattr(samples, "targets", getattr(samples, "labels", None))
    if images is None or targets is None:
        raise ConfigurationError(
            f"{_KEY}.path '{path}' keeps its images in files; write a function of your own that returns"
            " lowtide.trainer.StreamedData (docs/own_model.md)"
        )
    found = torch.as_tensor(images)
    if found.ndim == 3:
        found = found.unsqueeze(1)
    elif found.shape[-1] in (1, 3) and found.shape[1] not in (1, 3):
        found = found.permute(0, 3, 1, 2).contiguous()
    return found, torch.as_tensor(targets)
