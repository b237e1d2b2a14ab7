"""Everything that a training is at an optimizer step: what a checkpoint holds, and all that it needs to resume with identical bits."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from lowtide.trainer.optim import Schedule
from lowtide.trainer.precision import Precision
from lowtide.trainer.random_state import RandomState


@dataclass(slots=True, kw_only=True)
class LoopState:
    """A training between two optimizer steps.

    ``global_step`` counts optimizer steps, ``epoch`` passes from 0, ``epoch_samples`` the samples of the present pass that
    are done: always a multiple of the effective batch, or the whole data set. ``micro_batch_size`` is part of the state
    because it shrinks when memory runs out, and another split of a batch rounds differently.
    """

    model: nn.Module
    optimizer: Optimizer
    schedule: Schedule
    precision: Precision
    micro_batch_size: int
    device: torch.device
    global_step: int = 0
    epoch: int = 0
    epoch_samples: int = 0

    def advance(self, samples: int) -> None:
        """Count an optimizer step that was taken, and set the learning rate of the next."""
        self.global_step += 1
        self.epoch_samples += samples
        self.schedule.set_step(self.global_step)

    def finish_epoch(self) -> None:
        """Move to the start of the next pass."""
        self.epoch += 1
        self.epoch_samples = 0

    def state_dict(self) -> dict[str, Any]:
        """Return all of it, and the random generators as they are now, for ``torch.load(weights_only=True)``.

        The tensors are the live ones: save them, or copy them, before the next step. The schedule has no state.
        """
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "precision": self.precision.state_dict(),
            "random": RandomState.capture(self.device).state_dict(),
            "micro_batch_size": self.micro_batch_size,
            "global_step": self.global_step,
            "epoch": self.epoch,
            "epoch_samples": self.epoch_samples,
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Become what ``state_dict`` returned; the random generators are set last, since loading may draw from them.

        :raises RuntimeError: the model's layers are others (PyTorch's message).
        :raises ValueError: the optimizer's parameters are others (PyTorch's message).
        """
        self.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.precision.load_state_dict(saved["precision"])
        self.micro_batch_size = int(saved["micro_batch_size"])
        self.global_step = int(saved["global_step"])
        self.epoch, self.epoch_samples = int(saved["epoch"]), int(saved["epoch_samples"])
        self.schedule.set_step(self.global_step)
        self.optimizer.zero_grad(set_to_none=True)
        RandomState.from_state_dict(saved["random"]).restore(self.device)
