"""What to do when memory runs out in the middle of a step: set everything back and take the same batch in smaller pieces."""

from typing import Self

import torch
from torch import Tensor, nn

from include.errors import TrainingError
from include.trainer.imports import describe
from include.trainer.random_state import RandomState
from include.trainer.state import LoopState

_MESSAGES = (
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)
"""Shortages that PyTorch raises as a plain RuntimeError."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory, the device's or the host's, ran out."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(message in str(error) for message in _MESSAGES)


class StepStart:
    """What accumulating changes beside the gradients: the random generators and the model's buffers (BatchNorm's)."""

    def __init__(self, random: RandomState, buffers: list[Tensor]) -> None:
        self._random, self._buffers = random, buffers

    @classmethod
    def capture(cls, model: nn.Module, device: torch.device) -> Self:
        """Copy it, on the device and without waiting for it."""
        return cls(RandomState.capture(device), [buffer.detach().clone() for buffer in model.buffers()])

    @torch.no_grad()
    def restore(self, state: LoopState) -> None:
        """Set it back, and drop the gradients of what was accumulated so far."""
        for buffer, saved in zip(state.model.buffers(), self._buffers, strict=True):
            buffer.copy_(saved)
        state.optimizer.zero_grad(set_to_none=True)
        self._random.restore(state.device)


def halve_micro_batch(state: LoopState, *, group_count: int, cause: str) -> str:
    """Halve the micro-batch for the rest of the training, give memory back to the device, and return a sentence to warn with.

    :raises TrainingError: the micro-batch is a single sample already.
    """
    before = min(state.micro_batch_size, group_count)
    if before == 1:
        raise TrainingError(
            f"memory ran out at optimizer step {state.global_step + 1} with a micro-batch of 1 sample ({cause}); choose a"
            " smaller model or inputs, training.precision bf16, or a device with more memory"
        )
    state.micro_batch_size = -(-before // 2)
    if state.device.type == "cuda":
        torch.cuda.empty_cache()  # blocks cut for larger tensors are of no use to smaller ones
    return (
        f"memory ran out at optimizer step {state.global_step + 1} with micro-batches of {before} ({cause}); going on with"
        f" {state.micro_batch_size}, the effective batch stays the same"
    )


def shortage_of(error: Exception) -> str:
    """Return the shortage's cause in a line.

    :raises Exception: the error itself, where it is none.
    """
    if not is_out_of_memory(error):
        raise error
    return describe(error)
