"""Data sets that come with Lowtide, by import path: ``include.trainer.datasets:mnist``."""

from pathlib import Path

import numpy
import torch
from torch import Tensor

from include.trainer.data import TrainingData
from include.trainer.data_folder import default_data_folder
from include.trainer.mnist_files import ensure_mnist

_MNIST_MEAN, _MNIST_STD = 0.1307, 0.3081
"""Of the training set's pixels scaled to 0..1."""
_IMAGES_HEADER_BYTES, _LABELS_HEADER_BYTES = 16, 8


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
        prepare=_normalised,
    )


def _images(path: Path, limit: int | None) -> Tensor:
    count = -1 if limit is None else limit * 28 * 28
    pixels = numpy.fromfile(path, dtype=numpy.uint8, offset=_IMAGES_HEADER_BYTES, count=count)
    return torch.from_numpy(pixels).view(-1, 1, 28, 28)


def _labels(path: Path, limit: int | None) -> Tensor:
    count = -1 if limit is None else limit
    return torch.from_numpy(numpy.fromfile(path, dtype=numpy.uint8, offset=_LABELS_HEADER_BYTES, count=count)).long()


def _normalised(images: Tensor) -> Tensor:
    return images.float().div_(255 * _MNIST_STD).sub_(_MNIST_MEAN / _MNIST_STD)
