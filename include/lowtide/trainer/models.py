"""Small models for 1 x 28 x 28 images, by import path: ``lowtide.trainer.models:small_cnn``."""

from torch import nn


def small_cnn(*, width: int = 32, hidden: int = 40, classes: int = 10) -> nn.Module:
    """Two convolutions with pooling, then two linear layers; no BatchNorm, which accumulation would change.

    :param width: channels of the first convolution; the second has twice as many. 32 with 40 hidden units is 178,000 parameters.
    """
    return nn.Sequential(
        nn.Conv2d(1, width, kernel_size=5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(width, 2 * width, kernel_size=5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(2 * width * 7 * 7, hidden),
        nn.ReLU(),
        nn.Linear(hidden, classes),
    )


def mlp(*, hidden: int = 128, classes: int = 10) -> nn.Module:
    """One hidden layer."""
    return nn.Sequential(nn.Flatten(), nn.Linear(28 * 28, hidden), nn.ReLU(), nn.Linear(hidden, classes))
