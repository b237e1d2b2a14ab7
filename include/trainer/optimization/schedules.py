"""The learning rate as a pure function of the optimizer step: nothing to save, nothing that a pause could shift."""

import math
from collections.abc import Callable
from typing import Final

from torch.optim import Optimizer

from include.config.training import ScheduleName

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
