"""Whether a model and data fit one another, found out before the loop starts."""

from typing import Any

import torch
from torch import Tensor, nn

from include.config.training import TrainingConfig
from include.errors import ConfigurationError
from include.trainer.feeding.batches import BatchSource
from include.trainer.imports import describe
from include.trainer.optimization.shortage import is_out_of_memory


def check_model(found: Any, training: TrainingConfig) -> nn.Module:
    """Return what a model callable gave, once it is known to be a model that can learn.

    :raises ConfigurationError: not a ``torch.nn.Module``, or one without trainable parameters.
    """
    path = training.model.path
    if not isinstance(found, nn.Module):
        raise ConfigurationError(
            f"training.model.path '{path}' returned {type(found).__name__}, not a torch.nn.Module; return the model"
        )
    if not any(parameter.requires_grad for parameter in found.parameters()):
        raise ConfigurationError(f"training.model.path '{path}' has no trainable parameter; there is nothing to train")
    return found


def check_fit(model: nn.Module, data: BatchSource, training: TrainingConfig) -> None:
    """Show the model two samples, in evaluation mode, so that no buffer and no random state changes.

    :raises ConfigurationError: the model cannot take them, or does not give one row of class scores for each target.
    """
    batch = next(data.test_batches(2))
    outputs = _try(model, batch.inputs, training)
    place = f"training.model '{training.model.path}'"
    if not isinstance(outputs, Tensor) or outputs.ndim < 2 or outputs.shape[:-1] != batch.targets.shape:
        shape = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
        wanted = ", ".join(str(size) for size in batch.targets.shape)
        raise ConfigurationError(
            f"{place} gave {shape} for a batch of {len(batch.inputs)}; it must give a tensor of shape ({wanted}, classes)"
        )
    data.class_count, highest = outputs.shape[-1], data.highest_target
    if highest is not None and highest >= data.class_count:
        raise ConfigurationError(
            f"{place} gives {data.class_count} classes, but training.data '{training.data.path}' has class numbers up to"
            f" {highest}; give the model {highest + 1} classes"
        )


@torch.no_grad()  # not inference_mode: what a model caches at its first call must be usable in training
def _try(model: nn.Module, batch: Tensor, training: TrainingConfig) -> Any:
    was_training = model.training
    model.eval()
    try:
        with torch.random.fork_rng(devices=[batch.device] if batch.device.type == "cuda" else []):
            return model(batch)
    except Exception as error:  # a user's model may raise anything
        if is_out_of_memory(error):
            raise  # the two may well fit one another
        raise ConfigurationError(
            f"training.model '{training.model.path}' cannot take a batch of shape {tuple(batch.shape)} ({batch.dtype})"
            f" from training.data '{training.data.path}' ({describe(error)}); make the two fit"
        ) from error
    finally:
        model.train(was_training)
