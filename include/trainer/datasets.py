"""Data sets that come with Lowtide, by import path: ``include.trainer.datasets:mnist``, ``fashion_mnist``, ``digits``."""

from pathlib import Path

import numpy
import torch
from torch import Tensor

from include.trainer.data import TrainingData
from include.trainer.data_sets.folder import default_data_folder
from include.trainer.data_sets.images import Normalise, normaliser
from include.trainer.data_sets.mnist_files import ensure_fashion_mnist, ensure_mnist

_MNIST_MEAN, _MNIST_STD = 0.1307, 0.3081
"""Of the training set's pixels scaled to 0..1."""
_FASHION_MEAN, _FASHION_STD = 0.2860, 0.3530
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
    return _idx(raw, train_limit, test_limit, Normalise([255 * _MNIST_MEAN], [255 * _MNIST_STD]))


def fashion_mnist(
    *, root: str | None = None, train_limit: int | None = None, test_limit: int | None = None
) -> TrainingData:
    """Return Fashion-MNIST (as many images of as many pixels as MNIST, ten kinds of clothes); parameters as for ``mnist``.

    :raises DataSetError: the files are not there and cannot be fetched.
    """
    raw = ensure_fashion_mnist(Path(root) if root else default_data_folder(), report=print)
    return _idx(raw, train_limit, test_limit, Normalise([255 * _FASHION_MEAN], [255 * _FASHION_STD]))


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


def _idx(raw: Path, train_limit: int | None, test_limit: int | None, normalise: Normalise) -> TrainingData:
    return TrainingData(
        train_inputs=_images(raw / "train-images-idx3-ubyte", train_limit),
        train_targets=_labels(raw / "train-labels-idx1-ubyte", train_limit),
        test_inputs=_images(raw / "t10k-images-idx3-ubyte", test_limit),
        test_targets=_labels(raw / "t10k-labels-idx1-ubyte", test_limit),
        prepare=normalise,
    )


def _images(path: Path, limit: int | None) -> Tensor:
    count = -1 if limit is None else limit * 28 * 28
    pixels = numpy.fromfile(path, dtype=numpy.uint8, offset=_IMAGES_HEADER_BYTES, count=count)
    return torch.from_numpy(pixels).view(-1, 1, 28, 28)


def _labels(path: Path, limit: int | None) -> Tensor:
    count = -1 if limit is None else limit
    return torch.from_numpy(numpy.fromfile(path, dtype=numpy.uint8, offset=_LABELS_HEADER_BYTES, count=count)).long()
