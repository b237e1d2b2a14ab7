"""Mixed precision: autocast to bf16 or fp16, with loss scaling in fp16, and plain autograd in fp32."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

import torch
from torch import Tensor
from torch.optim import Optimizer

from lowtide.config.schema import PrecisionName
from lowtide.errors import ConfigurationError

_NO_CONTEXT = nullcontext()
_TYPES: Final[dict[PrecisionName, torch.dtype]] = {"bf16": torch.bfloat16, "fp16": torch.float16}
_CPU = torch.device("cpu")


class Precision:
    """How the passes and the optimizer step are done; bf16 has the range of fp32 and so needs no loss scaling.

    In fp16 small gradients would become zero without it. Whether the device can do it is checked by ``make_precision``.
    """

    def __init__(self, name: PrecisionName = "fp32", device: torch.device = _CPU) -> None:
        self.name = name
        self._device_type = device.type
        self._scaler = torch.amp.GradScaler(device.type, enabled=name == "fp16")  # else it does nothing

    def autocast(self) -> AbstractContextManager[object]:
        """Return the context of the forward pass."""
        dtype = _TYPES.get(self.name)
        return torch.autocast(self._device_type, dtype=dtype) if dtype else _NO_CONTEXT

    def backward(self, loss: Tensor) -> None:
        """Add the loss's gradients, scaled in fp16, to those already there."""
        self._scaler.scale(loss).backward()

    def unscale(self, optimizer: Optimizer) -> None:
        """Bring the gradients to their true size; needed before they are clipped."""
        self._scaler.unscale_(optimizer)

    def step(self, optimizer: Optimizer) -> None:
        """Let the optimizer step, in fp16 unless a gradient overflowed, and adapt the scale."""
        self._scaler.step(optimizer)
        self._scaler.update()

    def state_dict(self) -> dict[str, Any]:
        """Return the scale and how long it has held, which a resumed training needs; nothing but in fp16."""
        return dict(self._scaler.state_dict())

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Become what ``state_dict`` returned."""
        self._scaler.load_state_dict(saved)


def make_precision(name: PrecisionName, device: torch.device) -> Precision:
    """Return the precision of a name.

    :raises ConfigurationError: the device cannot do it.
    """
    if name == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise ConfigurationError(
            f"training.precision is 'bf16', but {torch.cuda.get_device_name(device)} has no bf16; use 'fp16' or 'fp32'"
        )
    if name == "fp16" and device.type != "cuda":
        raise ConfigurationError(
            f"training.precision is 'fp16', which needs CUDA, but the device is '{device.type}'; use 'bf16' or 'fp32'"
        )
    return Precision(name, device)
