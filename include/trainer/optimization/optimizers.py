"""Optimizers by their name in the configuration."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import torch
from torch import nn
from torch.optim import Optimizer

from include.config.training import TrainingConfig
from include.trainer.imports import describe

_KINDS: Final[dict[str, Callable[..., Optimizer]]] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
}


def make_optimizer(
    training: TrainingConfig, parameters: Iterable[nn.Parameter], warn: Callable[[str], None] = print
) -> Optimizer:
    """Return PyTorch's optimizer of that name, with its defaults for what the configuration does not say.

    Fused into one kernel where the configuration wants that and the parameters' device and type can do it.
    """
    kind, parameters = _KINDS[training.optimizer], list(parameters)
    options: dict[str, Any] = {"lr": training.learning_rate, "weight_decay": training.weight_decay}
    if training.fused_optimizer:
        try:
            _probe_fused(kind, parameters)
            return kind(parameters, fused=True, **options)
        except RuntimeError as error:
            warn(
                f"training.fused_optimizer: {training.optimizer} cannot be fused ({describe(error)}); going on without it"
            )
    return kind(parameters, **options)


def _probe_fused(kind: Callable[..., Optimizer], parameters: Sequence[nn.Parameter]) -> None:
    """Step on one number of each device and type: PyTorch refuses some of them only at the first step."""
    for device, dtype in {(parameter.device, parameter.dtype) for parameter in parameters}:
        parameter = nn.Parameter(torch.zeros(1, device=device, dtype=dtype))
        parameter.grad = torch.zeros_like(parameter)
        kind([parameter], fused=True).step()


def warm_up(training: TrainingConfig, device: torch.device) -> None:
    """Take one optimizer step on a parameter that nobody needs.

    The first step of a process imports a good part of PyTorch (seconds, tens of MB); without this they would be counted
    as training time and as the model's memory.
    """
    parameter = nn.Parameter(torch.zeros(1, device=device))
    optimizer = make_optimizer(training, [parameter])
    parameter.sum().backward()
    optimizer.step()
