"""Data sets by import path: Lowtide's ``lowtide.trainer.datasets:mnist`` and ``digits``, and those of ``torchvision.datasets``."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import Tensor

from lowtide.config.loader import default_data_folder
from lowtide.config.schema import ImportedConfig
from lowtide.errors import ConfigurationError, DataSetError
from lowtide.trainer.data import TrainingData
from lowtide.trainer.mnist import ensure_mnist
from lowtide.trainer.user_code import describe, load_attribute, load_callable

_LEVELS = 256


class Normalise:
    """Brings uint8 pixels to mean 0 and standard deviation 1, channel by channel; in place after one conversion.

    :param mean: of each channel, in the pixels' own units (0 to 255); ``std`` likewise.
    """

    def __init__(self, mean: list[float], std: list[float]) -> None:
        self._mean, self._std = (torch.tensor(values).view(1, -1, 1, 1) for values in (mean, std))

    def __call__(self, images: Tensor) -> Tensor:
        """Return them as float32."""
        if self._mean.device != images.device:  # once: a copy from the host for each batch would wait for the device
            self._mean, self._std = self._mean.to(images.device), self._std.to(images.device)
        return images.float().sub_(self._mean).div_(self._std)


def normaliser(images: Tensor) -> Callable[[Tensor], Tensor]:
    """Return what normalises images (samples, channels, height, width) of uint8 by their own mean and deviation."""
    counts = [
        torch.bincount(images[:, channel].flatten(), minlength=_LEVELS).double() for channel in range(images.shape[1])
    ]
    levels = torch.arange(_LEVELS, dtype=torch.float64)
    means = [float((count * levels).sum() / count.sum()) for count in counts]
    variances = [
        float((count * (levels - mean) ** 2).sum() / count.sum()) for count, mean in zip(counts, means, strict=True)
    ]
    return Normalise(means, [max(1.0, variance**0.5) for variance in variances])


_MNIST_MEAN, _MNIST_STD = 0.1307, 0.3081
"""Of the training set's pixels scaled to 0..1."""
_IMAGES_HEADER_BYTES, _LABELS_HEADER_BYTES = 16, 8
_DIGITS = Path(__file__).with_name("digits.csv.gz")
_DIGITS_TEST_EVERY = 6


def mnist(*, root: str | None = None, train_limit: int | None = None, test_limit: int | None = None) -> TrainingData:
    """Return MNIST (60,000 and 10,000 images of 28 x 28), kept as uint8 and normalised a micro-batch at a time.

    :param root: folder of data sets; default ``LOWTIDE_DATA_DIR``, else ``.data`` in the project.
    :param train_limit: only the first so many training images; ``test_limit`` likewise.
    :raises DataSetError: the files are not there and cannot be fetched.
    """
    raw = ensure_mnist(Path(root) if root else default_data_folder(), report=print)
    return TrainingData(
        train_inputs=_images(raw / "train-images-idx3-ubyte", train_limit),
        train_targets=_labels(raw / "train-labels-idx1-ubyte", train_limit),
        test_inputs=_images(raw / "t10k-images-idx3-ubyte", test_limit),
        test_targets=_labels(raw / "t10k-labels-idx1-ubyte", test_limit),
        prepare=Normalise([255 * _MNIST_MEAN], [255 * _MNIST_STD]),
    )


def digits() -> TrainingData:
    """Return 1,797 real handwritten digits of 8 x 8 pixels, every sixth for testing; they come with Lowtide.

    Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak, UCI Machine Learning Repository, CC BY 4.0.
    """
    rows = torch.from_numpy(numpy.loadtxt(_DIGITS, delimiter=",", dtype=numpy.uint8))
    images, targets = rows[:, :64].reshape(-1, 1, 8, 8).contiguous(), rows[:, 64].long()
    is_test = torch.arange(len(rows)) % _DIGITS_TEST_EVERY == _DIGITS_TEST_EVERY - 1
    return TrainingData(
        train_inputs=images[~is_test],
        train_targets=targets[~is_test],
        test_inputs=images[is_test],
        test_targets=targets[is_test],
        prepare=normaliser(images[~is_test]),
    )


def _images(path: Path, limit: int | None) -> Tensor:
    count = -1 if limit is None else limit * 28 * 28
    pixels = numpy.fromfile(path, dtype=numpy.uint8, offset=_IMAGES_HEADER_BYTES, count=count)
    return torch.from_numpy(pixels).view(-1, 1, 28, 28)


def _labels(path: Path, limit: int | None) -> Tensor:
    count = -1 if limit is None else limit
    return torch.from_numpy(numpy.fromfile(path, dtype=numpy.uint8, offset=_LABELS_HEADER_BYTES, count=count)).long()


_TORCHVISION = "torchvision.datasets"
_KEY = "training.data"
_SPLITS = {"train": (True, False), "split": ("train", "test")}
"""The argument that selects the split of a data set, and its two values."""


def load_data(imported: ImportedConfig) -> Callable[[], Any]:
    """Return the callable of ``training.data``; one of torchvision's data sets is called once for each split, and normalised.

    :raises ConfigurationError: as ``load_callable``; or a torchvision data set without a training and a test split.
    """
    if imported.path.partition(":")[0] != _TORCHVISION:
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

    def make() -> TrainingData:
        train, test = (_tensors(_made(part, imported.path), imported.path) for part in parts)
        return TrainingData(
            train_inputs=train[0],
            train_targets=train[1],
            test_inputs=test[0],
            test_targets=test[1],
            prepare=normaliser(train[0]),
        )

    return make


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
