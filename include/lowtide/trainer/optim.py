"""Optimizers by their name in the configuration, and the learning rate at each of their steps."""

import math
from collections.abc import Callable, Iterable
from typing import Any, Final

import torch
from torch import nn
from torch.optim import Optimizer

from lowtide.config.schema import ScheduleName, TrainingConfig
from lowtide.trainer.user_code import describe

_KINDS: Final[dict[str, Callable[..., Optimizer]]] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
}


def make_optimizer(
    training: TrainingConfig, parameters: Iterable[nn.Parameter], warn: Callable[[str], None] = print
) -> Optimizer:
    """Return PyTorch's optimizer of that name, with its defaults for what the configuration does not set.

    Fused into one kernel if the configuration asks for it and the parameters' device and type support it.
    """
    kind, parameters = _KINDS[training.optimizer], list(parameters)
    options: dict[str, Any] = {"lr": training.learning_rate, "weight_decay": training.weight_decay}
    if training.fused_optimizer:
        try:
            # a step on one number of each device and type: PyTorch refuses some of them only at the first step
            for device, dtype in {(parameter.device, parameter.dtype) for parameter in parameters}:
                number = nn.Parameter(torch.zeros(1, device=device, dtype=dtype))
                number.grad = torch.zeros_like(number)
                kind([number], fused=True).step()
            return kind(parameters, fused=True, **options)
        except RuntimeError as error:
            warn(
                f"training.fused_optimizer: {training.optimizer} cannot be fused ({describe(error)}); continuing without it"
            )
    return kind(parameters, **options)


def warm_up(training: TrainingConfig, device: torch.device) -> None:
    """Take one optimizer step on a parameter that is not used.

    The first step of a process imports a good part of PyTorch (seconds, tens of MB); without this they would be counted
    as training time and as the model's memory.
    """
    parameter = nn.Parameter(torch.zeros(1, device=device))
    optimizer = make_optimizer(training, [parameter])
    parameter.sum().backward()
    optimizer.step()


_SHAPES: Final[dict[ScheduleName, Callable[[float], float]]] = {
    "constant": lambda done: 1.0,  # noqa: ARG005 the others need it
    "linear": lambda done: 1.0 - done,
    "cosine": lambda done: 0.5 * (1.0 + math.cos(math.pi * done)),
}


def rate_factor(name: ScheduleName, *, step: int, steps: int, warmup_steps: int) -> float:
    """Return the share of the full learning rate at an optimizer step, counted from 0.

    During warm-up it rises linearly to 1, which it reaches at ``step == warmup_steps``; from there ``linear`` and ``cosine``
    fall to 0, which they would reach at ``step == steps``.
    """
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    return _SHAPES[name](min(1.0, (step - warmup_steps) / max(1, steps - warmup_steps)))


class Schedule:
    """Sets an optimizer's learning rates."""

    def __init__(self, optimizer: Optimizer, *, name: ScheduleName, steps: int, warmup_steps: int = 0) -> None:
        self._optimizer = optimizer
        self._name: ScheduleName = name
        self._steps, self._warmup_steps = steps, warmup_steps
        self._full_rates = [float(group["lr"]) for group in optimizer.param_groups]

    def set_step(self, step: int) -> None:
        """Set the rates that the optimizer step of this number, counted from 0, is taken with."""
        factor = rate_factor(self._name, step=step, steps=self._steps, warmup_steps=self._warmup_steps)
        for group, rate in zip(self._optimizer.param_groups, self._full_rates, strict=True):
            group["lr"] = rate * factor
