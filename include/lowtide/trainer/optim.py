"""Precision as an object: what the loop does in mixed precision, and nothing at all in fp32."""

import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lowtide.config.schema import PrecisionName, ScheduleName, TrainingConfig
from lowtide.errors import ConfigurationError
from lowtide.trainer.user_code import describe

# Optimizers by their name in the configuration.


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
                f"training.fused_optimizer: {training.optimizer} cannot be fused ({describe(error)}); continuing without it"
            )
    return kind(parameters, **options)


def _probe_fused(kind: Callable[..., Optimizer], parameters: Sequence[nn.Parameter]) -> None:
    """Step on one number of each device and type: PyTorch refuses some of them only at the first step."""
    for device, dtype in {(parameter.device, parameter.dtype) for parameter in parameters}:
        parameter = nn.Parameter(torch.zeros(1, device=device, dtype=dtype))
        parameter.grad = torch.zeros_like(parameter)
        kind([parameter], fused=True).step()


def warm_up(training: TrainingConfig, device: torch.device) -> None:
    """Take one optimizer step on a parameter that is not used.

    The first step of a process imports a good part of PyTorch (seconds, tens of MB); without this they would be counted
    as training time and as the model's memory.
    """
    parameter = nn.Parameter(torch.zeros(1, device=device))
    optimizer = make_optimizer(training, [parameter])
    parameter.sum().backward()
    optimizer.step()


_NO_CONTEXT = nullcontext()


class Precision:
    """Full precision: plain autograd. Base of the other two."""

    name: PrecisionName = "fp32"

    def autocast(self) -> AbstractContextManager[object]:
        """Return the context of the forward pass."""
        return _NO_CONTEXT

    def backward(self, loss: Tensor) -> None:
        """Add the loss's gradients to those already there."""
        loss.backward()

    def unscale(self, optimizer: Optimizer) -> None:
        """Bring the gradients to their true size; needed before they are clipped."""

    def step(self, optimizer: Optimizer) -> None:
        """Let the optimizer step."""
        optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed training needs."""
        return {}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Become what ``state_dict`` returned."""


class BFloat16(Precision):
    """Autocast to bf16, which has the range of fp32 and so needs no loss scaling."""

    name: PrecisionName = "bf16"

    def __init__(self, device: torch.device) -> None:
        if device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
            raise ConfigurationError(
                f"training.precision is 'bf16', but {torch.cuda.get_device_name(device)} has no bf16; use 'fp16' or 'fp32'"
            )
        self._device_type = device.type

    def autocast(self) -> AbstractContextManager[object]:
        """Return bf16 autocast."""
        return torch.autocast(self._device_type, dtype=torch.bfloat16)


class Float16(Precision):
    """Autocast to fp16 with loss scaling, without which small gradients would become zero."""

    name: PrecisionName = "fp16"

    def __init__(self, device: torch.device) -> None:
        self._device_type = device.type
        self._scaler = torch.amp.GradScaler(device.type)

    def autocast(self) -> AbstractContextManager[object]:
        """Return fp16 autocast."""
        return torch.autocast(self._device_type, dtype=torch.float16)

    def backward(self, loss: Tensor) -> None:
        """Add the scaled loss's gradients."""
        self._scaler.scale(loss).backward()

    def unscale(self, optimizer: Optimizer) -> None:
        """Divide the gradients by the scale."""
        self._scaler.unscale_(optimizer)

    def step(self, optimizer: Optimizer) -> None:
        """Step unless a gradient overflowed, then adapt the scale."""
        self._scaler.step(optimizer)
        self._scaler.update()

    def state_dict(self) -> dict[str, Any]:
        """Return the scale and how long it has held."""
        return dict(self._scaler.state_dict())

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Take the scale over."""
        self._scaler.load_state_dict(saved)


def make_precision(name: PrecisionName, device: torch.device) -> Precision:
    """Return the precision of a name.

    :raises ConfigurationError: the device cannot do it.
    """
    if name == "bf16":
        return BFloat16(device)
    if name == "fp16" and device.type != "cuda":
        raise ConfigurationError(
            f"training.precision is 'fp16', which needs CUDA, but the device is '{device.type}'; use 'bf16' or 'fp32'"
        )
    return Float16(device) if name == "fp16" else Precision()


# The learning rate as a pure function of the optimizer step: nothing to save, nothing that a pause could shift.


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
