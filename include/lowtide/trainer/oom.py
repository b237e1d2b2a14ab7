"""Out of memory: restore the start of the step and take the same batch in smaller micro-batches, or explain what to change."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from lowtide.config.schema import largest_divisor
from lowtide.errors import TrainingError
from lowtide.trainer.random_state import RandomState
from lowtide.trainer.state import LoopState
from lowtide.trainer.user_code import describe


def batch_norm_warning(model: nn.Module, *, micro_batch_size: int, effective_batch_size: int) -> str | None:
    """Return a warning if a model normalises by a micro-batch while its baseline would by the whole batch, else None."""
    count = sum(1 for module in model.modules() if isinstance(module, _BatchNorm))
    if count == 0 or micro_batch_size >= effective_batch_size:
        return None
    return (
        f"the model has {count} BatchNorm layer{'s' if count > 1 else ''}: under accumulation they see micro-batches of"
        f" {micro_batch_size} and not the effective batch of {effective_batch_size}, so the result is not that of the"
        " unaccumulated training; use GroupNorm or LayerNorm, or training.accumulation_steps 1"
    )


_MESSAGES = (
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUDA error: out of memory",  # AcceleratorError: what the driver itself refuses, to its context or to pinned memory
)
"""Messages of out-of-memory errors that PyTorch raises as a plain RuntimeError."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception means that memory, the device's or the host's, ran out."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(message in str(error) for message in _MESSAGES)


class StepSnapshot:
    """What accumulating changes beside the gradients: the random generators and the model's buffers (BatchNorm's).

    :param host: include NumPy's and Python's generators, which is costly.
    """

    @torch.no_grad()
    def __init__(self, state: LoopState, *, host: bool) -> None:
        self._state = state
        self.random = RandomState.capture(state.device, host=host)
        self._buffers = [buffer.clone() for buffer in state.model.buffers()]

    @torch.no_grad()
    def restore(self) -> None:
        """Restore it, and drop the gradients of what was accumulated so far."""
        for buffer, saved in zip(self._state.model.buffers(), self._buffers, strict=True):
            buffer.copy_(saved)
        self._state.optimizer.zero_grad(set_to_none=True)
        self.random.restore(self._state.device)


def halve_micro_batch(state: LoopState, *, group_count: int, effective_batch_size: int, cause: str) -> str:
    """Halve the micro-batch for the rest of the training, free the device's cache, and return the warning.

    If half does not divide the effective batch, it is the next smaller size that does.

    :raises TrainingError: the micro-batch is a single sample already.
    """
    before = min(state.micro_batch_size, group_count)
    if before == 1:
        raise TrainingError(
            f"memory ran out at optimizer step {state.global_step + 1} with a micro-batch of 1 sample ({cause}); choose a"
            " smaller model or inputs, training.precision bf16, or a device with more memory"
        )
    state.micro_batch_size = largest_divisor(effective_batch_size, most=before // 2)
    if state.device.type == "cuda":
        torch.cuda.empty_cache()  # blocks cut for larger tensors are of no use to smaller ones
    message = (
        f"memory ran out at optimizer step {state.global_step + 1} with micro-batches of {before} ({cause}); continuing with"
        f" {state.micro_batch_size}, the effective batch stays the same"
    )
    if before < group_count:  # it was split already, with a warning
        return message
    size = state.micro_batch_size
    warning = batch_norm_warning(state.model, micro_batch_size=size, effective_batch_size=group_count)
    return f"{message}; {warning}" if warning else message


@contextmanager
def explain_out_of_memory(when: str, remedy: str) -> Iterator[None]:
    """Explain in one sentence that memory ran out where smaller micro-batches would not help.

    :raises TrainingError: memory ran out.
    """
    try:
        yield
    except Exception as error:
        raise TrainingError(f"memory ran out {when} ({out_of_memory_cause(error)}); {remedy}") from error


def out_of_memory_cause(error: Exception) -> str:
    """Return in one line why memory ran out.

    :raises Exception: the error itself, where it has another cause.
    """
    if not is_out_of_memory(error):
        raise error
    return describe(error)
