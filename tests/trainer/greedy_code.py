"""Models and data of users for which memory does not suffice: they raise what PyTorch raises on a GPU that is full."""

from collections.abc import Callable
from typing import Any, Self

import torch
from lowtide.trainer.data import TrainingData
from torch import Tensor, nn

from tests.trainer.user_code import _data


def refusal() -> torch.OutOfMemoryError:
    return torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has a total capacity of")


class Flat(nn.Module):
    """A linear model."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.layers(inputs)
        return outputs


class TooLarge(Flat):
    """Its weights do not fit on the device."""

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Self:
        raise refusal()


class TooWide(Flat):
    """Its activations do not, not even of two samples."""

    def forward(self, inputs: Tensor) -> Tensor:
        raise refusal()


class NeverTrains(Flat):
    """It can be evaluated, but not trained, not even with one sample."""

    def forward(self, inputs: Tensor) -> Tensor:
        if self.training:
            raise refusal()
        return super().forward(inputs)


class TooMuchData(TrainingData):
    def to(self, device: torch.device) -> TrainingData:
        raise torch.AcceleratorError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported")


def too_much_data() -> TrainingData:
    small = _data(300)
    inputs, targets = small.train_inputs, small.train_targets
    return TooMuchData(train_inputs=inputs, train_targets=targets, test_inputs=inputs, test_targets=targets)
