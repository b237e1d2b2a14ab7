"""BatchNorm and accumulation: what cannot be made equal is said."""

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def batch_norm_warning(model: nn.Module, *, micro_batch_size: int, effective_batch_size: int) -> str | None:
    """Return a sentence where a model normalises by a micro-batch while its baseline would by the whole batch, else None."""
    count = sum(1 for module in model.modules() if isinstance(module, _BatchNorm))
    if count == 0 or micro_batch_size >= effective_batch_size:
        return None
    return (
        f"the model has {count} BatchNorm layer{'s' if count > 1 else ''}: under accumulation they see micro-batches of"
        f" {micro_batch_size} and not the effective batch of {effective_batch_size}, so the result is not that of the"
        " unaccumulated training; use GroupNorm or LayerNorm, or training.accumulation_steps 1"
    )
