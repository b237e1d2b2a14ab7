"""A model whose passes take a known time, for tests in which a training must last."""

import time

import torch
from torch import nn

from tests.support.two_tides import PASS_S


class SlowModel(nn.Module):
    """A linear model that sleeps in each training pass."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(28 * 28, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if self.training:
            time.sleep(PASS_S)
        scores: torch.Tensor = self.linear(images.flatten(1))
        return scores


def slow_model() -> nn.Module:
    """Return the model."""
    return SlowModel()
