"""Mixed precision: autocast to bf16 or fp16 with loss scaling, and nothing at all in fp32."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from lowtide.config.schema import PrecisionName
from lowtide.errors import ConfigurationError

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
