"""Optimizers by their name in the configuration."""

from collections.abc import Iterable

import torch
from torch import nn
from torch.optim import Optimizer

from include.config.training import TrainingConfig


def make_optimizer(training: TrainingConfig, parameters: Iterable[nn.Parameter]) -> Optimizer:
    """Return PyTorch's optimizer of that name, with its defaults for what the configuration does not say."""
    kinds: dict[str, type[torch.optim.SGD | torch.optim.Adam | torch.optim.AdamW]] = {
        "sgd": torch.optim.SGD,
        "adam": torch.optim.Adam,
        "adamw": torch.optim.AdamW,
    }
    return kinds[training.optimizer](parameters, lr=training.learning_rate, weight_decay=training.weight_decay)


def warm_up(training: TrainingConfig, device: torch.device) -> None:
    """Take one optimizer step on a parameter that nobody needs.

    The first step of a process imports a good part of PyTorch (seconds, tens of MB); without this they would be counted
    as training time and as the model's memory.
    """
    parameter = nn.Parameter(torch.zeros(1, device=device))
    optimizer = make_optimizer(training, [parameter])
    parameter.sum().backward()
    optimizer.step()
