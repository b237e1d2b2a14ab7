"""Training data as tensors: what a data callable returns where all of it fits into memory."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

IGNORED_TARGET = -100
"""PyTorch's mark of a target that does not count; it becomes a weight of 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingData:
    """Inputs and class numbers for training and testing, one row a sample.

    Targets have shape (samples,) or, with a class for each token, (samples, tokens). ``train_weights`` and ``test_weights``
    have the shape of the targets: 0 for padding, or how much a sample counts; None means 1 each. The loss is divided by the
    sum of an effective batch's weights.

    ``prepare`` turns inputs into what the model takes (scaling, normalising), sample by sample, on the device: a micro-batch at
    once, or a whole effective batch where that is a few MiB. It lets images stay uint8 on the device: a quarter of the memory
    of float32, for two cheap operations a batch.
    ``augment`` changes prepared inputs in training only; it may draw from the global random generators, which a resumed
    training finds as they were.
    """

    train_inputs: Tensor
    train_targets: Tensor
    test_inputs: Tensor
    test_targets: Tensor
    train_weights: Tensor | None = None
    test_weights: Tensor | None = None
    prepare: Callable[[Tensor], Tensor] | None = None
    augment: Callable[[Tensor], Tensor] | None = None

    @property
    def train_count(self) -> int:
        """Number of training samples."""
        return len(self.train_inputs)

    @property
    def targets_per_sample(self) -> int:
        """1, or the number of tokens."""
        return self.train_targets[:1].numel()

    @property
    def byte_count(self) -> int:
        """Bytes of all tensors together."""
        tensors = (self.train_inputs, self.train_targets, self.test_inputs, self.test_targets)
        weights = (self.train_weights, self.test_weights)
        return sum(tensor.nbytes for tensor in (*tensors, *weights) if tensor is not None)

    def to(self, device: torch.device) -> "TrainingData":
        """Return the data on the device, the targets as int64, the weights as float32."""
        return replace(
            self,
            train_inputs=self.train_inputs.to(device),
            train_targets=self.train_targets.to(device, torch.int64),
            test_inputs=self.test_inputs.to(device),
            test_targets=self.test_targets.to(device, torch.int64),
            train_weights=None if self.train_weights is None else self.train_weights.to(device, torch.float32),
            test_weights=None if self.test_weights is None else self.test_weights.to(device, torch.float32),
        )

    def prepared(self, inputs: Tensor) -> Tensor:
        """Return a batch of inputs as the model takes them."""
        return inputs if self.prepare is None else self.prepare(inputs)

    def with_weights(self) -> "TrainingData":
        """Return the data with weights of 0 where targets are marked as ignored (-100)."""
        return replace(
            self,
            train_weights=weights_of(self.train_targets, self.train_weights),
            test_weights=weights_of(self.test_targets, self.test_weights),
        )


def weights_of(targets: Tensor, weights: Tensor | None) -> Tensor | None:
    """Return the weights as float32, those of ignored targets 0; None if all count alike."""
    counted = targets.long() != IGNORED_TARGET  # in uint8, -100 would be class 156
    if weights is not None:
        return torch.where(counted, weights.float(), 0.0)
    return None if bool(counted.all()) else counted.float()
