"""The optimisation loop: accumulate, unscale, clip, step, zero."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

from include.trainer.data import TrainingData
from include.trainer.order import sample_order
from include.trainer.precision import Precision


def summed_cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the loss summed over the samples, at least in fp32: sums of many bf16 figures lose digits."""
    wide = outputs.float() if outputs.dtype in (torch.bfloat16, torch.float16) else outputs
    return cross_entropy(wide, targets, reduction="sum")


class OptimizationLoop:
    """Trains a model in micro-batches so that each optimizer step equals one on the whole effective batch.

    :param summed_loss: the loss summed over a micro-batch's samples; the loop divides by what the group really held, so
        an uneven last group is exact too.
    """

    def __init__(
        self,
        *,
        model: nn.Module,
        optimizer: Optimizer,
        precision: Precision,
        micro_batch_size: int,
        accumulation_steps: int,
        clip_gradient_norm: float | None = None,
        summed_loss: Callable[[Tensor, Tensor], Tensor] = summed_cross_entropy,
    ) -> None:
        self.model, self.optimizer, self.precision = model, optimizer, precision
        self.micro_batch_size, self.accumulation_steps = micro_batch_size, accumulation_steps
        self.clip_gradient_norm, self.summed_loss = clip_gradient_norm, summed_loss

    def epoch(self, data: TrainingData, *, seed: int, epoch: int) -> Iterator[tuple[Tensor, int]]:
        """Take an optimizer step at a time, giving its summed loss (a tensor on the device) and its number of samples."""
        order = sample_order(seed=seed, epoch=epoch, count=data.train_count).to(data.train_inputs.device)
        self.model.train()
        for group in order.split(self.micro_batch_size * self.accumulation_steps):
            yield self.optimizer_step(data, group), len(group)

    def optimizer_step(self, data: TrainingData, group: Tensor) -> Tensor:
        """Step on the samples that ``group`` numbers and return their summed loss, without waiting for the device."""
        group_loss = torch.zeros((), dtype=torch.float64, device=group.device)
        for micro_batch in group.split(self.micro_batch_size):
            inputs = data.prepared(data.train_inputs[micro_batch])
            with self.precision.autocast():
                loss = self.summed_loss(self.model(inputs), data.train_targets[micro_batch])
            self.precision.backward(loss / len(group))
            group_loss += loss.detach()
        self.precision.unscale(self.optimizer)
        if self.clip_gradient_norm is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.clip_gradient_norm)
        self.precision.step(self.optimizer)
        self.optimizer.zero_grad(set_to_none=True)
        return group_loss


@torch.inference_mode()
def accuracy(model: nn.Module, data: TrainingData, *, precision: Precision, batch_size: int) -> float:
    """Return the share of the test set that is classified right, 0 to 1.

    :param batch_size: the training's micro-batch, so that evaluating never needs more memory than training.
    """
    model.eval()
    correct = torch.zeros((), dtype=torch.int64, device=data.test_targets.device)
    for inputs, targets in zip(data.test_inputs.split(batch_size), data.test_targets.split(batch_size), strict=True):
        with precision.autocast():
            outputs = model(data.prepared(inputs))
        correct += (outputs.argmax(dim=1) == targets).sum()
    return correct.item() / len(data.test_targets)
