"""Images that stay uint8 on the device, and are normalised a micro-batch at a time."""

from collections.abc import Callable

import torch
from torch import Tensor

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
