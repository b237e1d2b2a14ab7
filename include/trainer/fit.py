"""Whether a model and data fit one another, found out before the loop starts."""

from typing import Any

import torch
from torch import Tensor, nn

from include.config.training import TrainingConfig
from include.errors import ConfigurationError
from include.trainer.data import TrainingData
from include.trainer.imports import describe


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


def check_fit(model: nn.Module, data: TrainingData, training: TrainingConfig) -> None:
    """Show the model two samples, in evaluation mode, so that no buffer and no random state changes.

    :raises ConfigurationError: the model cannot take them, or does not give one row of class scores for each.
    """
    batch = data.prepared(data.train_inputs[:2])
    outputs = _try(model, batch, training)
    place = f"training.model '{training.model.path}'"
    lead = tuple(data.train_targets[:2].shape)
    if not isinstance(outputs, Tensor) or outputs.ndim < 2 or tuple(outputs.shape[:-1]) != lead:
        shape = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
        wanted = ", ".join(str(size) for size in lead)
        raise ConfigurationError(
            f"{place} gave {shape} for a batch of {len(batch)}; it must give a tensor of shape ({wanted}, classes)"
        )
    highest = int(torch.maximum(data.train_targets.max(), data.test_targets.max()))
    if highest >= outputs.shape[-1]:
        raise ConfigurationError(
            f"{place} gives {outputs.shape[-1]} classes, but training.data '{training.data.path}' has class numbers up to"
            f" {highest}; give the model {highest + 1} classes"
        )


@torch.inference_mode()
def _try(model: nn.Module, batch: Tensor, training: TrainingConfig) -> Any:
    was_training = model.training
    model.eval()
    try:
        with torch.random.fork_rng():
            return model(batch)
    except Exception as error:  # a user's model may raise anything
        raise ConfigurationError(
            f"training.model '{training.model.path}' cannot take a batch of shape {tuple(batch.shape)} ({batch.dtype})"
            f" from training.data '{training.data.path}' ({describe(error)}); make the two fit"
        ) from error
    finally:
        model.train(was_training)
