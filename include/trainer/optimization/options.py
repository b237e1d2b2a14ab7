"""Options that make a training faster where the device can do them, and fall back with one line of warning where it cannot."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from include.trainer.feeding.batches import Batch
from include.trainer.imports import describe
from include.trainer.optimization.loop import summed_cross_entropy
from include.trainer.optimization.shortage import StepStart, is_out_of_memory
from include.trainer.state import LoopState

Warn = Callable[[str], None]
_IMAGE_DIMENSIONS = 4


def as_channels_last(inputs: Tensor) -> Tensor:
    """Return images with their channels innermost in memory, where convolutions on GPUs (and in bf16) read them fastest."""
    return inputs.contiguous(memory_format=torch.channels_last)


def channels_last(model: nn.Module, prepared: Tensor, warn: Warn) -> Callable[[Tensor], Tensor] | None:
    """Lay the model's weights out with channels last, and return what does so with a batch of inputs; None where they are no images."""
    if prepared.ndim != _IMAGE_DIMENSIONS:
        warn(f"training.channels_last: inputs have {prepared.ndim} dimensions, images have 4; going on without it")
        return None
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # torch's stubs miss it
    return as_channels_last


def compiled(state: LoopState, batch: Batch, warn: Warn) -> Callable[[Tensor], Tensor]:
    """Return the model compiled by ``torch.compile``, or the model itself where that fails.

    Tried forward and backward on one micro-batch; buffers, gradients and random generators are set back afterwards.
    """
    start = StepStart.whole(state)
    forward: Callable[[Tensor], Tensor] = torch.compile(state.model)
    state.model.train()
    try:
        with state.precision.autocast():
            loss = summed_cross_entropy(forward(batch.inputs), batch.targets, batch.weights)
        loss.backward()
    except Exception as error:  # noqa: BLE001 the compiler's, or that of the C++ compiler that it needs
        if is_out_of_memory(error):
            return forward  # it compiled; the loop finds the size that fits
        warn(f"training.compile failed ({describe(error)}); going on without it")
        return state.model
    finally:
        start.restore()
    return forward
