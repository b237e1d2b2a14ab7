"""Data sets that come with Lowtide, by import path: ``lowtide.trainer.datasets:mnist`` and ``digits``."""

from collections.abc import Callable
from pathlib import Path

import numpy
import torch
from torch import Tensor

from lowtide.trainer.data import TrainingData
from lowtide.trainer.mnist import default_data_folder, ensure_mnist

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
