"""The optimisation loop: accumulate, unscale, clip, step, schedule, zero."""

import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lowtide.errors import TrainingError
from lowtide.trainer.loaders import BatchSource, Group
from lowtide.trainer.oom import StepSnapshot, explain_out_of_memory, halve_micro_batch, out_of_memory_cause
from lowtide.trainer.precision import Precision
from lowtide.trainer.state import LoopState

_HEARTBEAT_S = 10.0


def summed_cross_entropy(outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the loss summed over all targets, times their weights; class scores lie in the last dimension.

    At least in fp32: sums of many bf16 figures lose digits.
    """
    wide = outputs.float() if outputs.dtype in (torch.bfloat16, torch.float16) else outputs
    scores, classes = (
        (wide, targets) if (wide.dim(), targets.dim()) == (2, 1) else (wide.flatten(0, -2), targets.flatten())
    )
    if weights is None:
        return cross_entropy(scores, classes, reduction="sum")
    return (cross_entropy(scores, classes, reduction="none") * weights.flatten()).sum()


_CHECK_HOST_EVERY = 100
"""Copying NumPy's and Python's generators is costly: it is done in each step only where the model or the data draw from them, which
is checked in the first step and, while they do not, in every hundredth."""
_LESS_STATE = "choose training.optimizer sgd, which keeps no state, a smaller model, or a device with more memory"


class OptimizationLoop:
    """Trains a model in micro-batches so that each optimizer step equals one on the whole effective batch.

    :param forward: how the model is called, if not by the model itself (but compiled, for example).
    :param warn: called once each time memory ran out and the micro-batch was halved.
    """

    def __init__(
        self,
        *,
        state: LoopState,
        effective_batch_size: int,
        clip_gradient_norm: float | None = None,
        forward: Callable[[Tensor], Tensor] | None = None,
        warn: Callable[[str], None] = print,
    ) -> None:
        self.state, self.effective_batch_size = state, effective_batch_size
        self.clip_gradient_norm, self.forward, self.warn = clip_gradient_norm, forward or state.model, warn
        self._steps, self._draws_on_host = 0, False

    def epoch(self, data: BatchSource) -> Iterator[tuple[Tensor, int]]:
        """Continue the present pass to its end, an optimizer step at a time: between two, ``state`` may be saved.

        Gives each step's loss times its samples (a tensor on the device) and the number of its samples.
        """
        state = self.state
        state.model.train()
        for group in data.groups(size=self.effective_batch_size, epoch=state.epoch, start=state.epoch_samples):
            yield self.optimizer_step(group) * group.count, group.count
        state.finish_epoch()

    def optimizer_step(self, group: Group, *, may_shrink: bool = True) -> Tensor:
        """Take one step and return the group's mean loss, without waiting for the device.

        :param may_shrink: halve the micro-batch and try again where memory runs out; else that is raised.
        :raises TrainingError: memory ran out where a smaller micro-batch does not help.
        """
        state = self.state
        mean_loss = self._accumulate_within_memory(group) if may_shrink else self.accumulate(group)
        try:
            state.precision.unscale(state.optimizer)
            if self.clip_gradient_norm is not None:
                nn.utils.clip_grad_norm_(state.model.parameters(), self.clip_gradient_norm)
            state.precision.step(state.optimizer)
        except Exception:  # not tried again: a part of the parameters may have moved
            with explain_out_of_memory(f"in the optimizer's own step {state.global_step + 1}", _LESS_STATE):
                raise
        state.advance(group.count)
        state.optimizer.zero_grad(set_to_none=True)
        return mean_loss

    def accumulate(self, group: Group) -> Tensor:
        """Add up the gradients of the group's mean loss, a micro-batch at a time, and return that loss.

        Divided by what the group really held, so an uneven last group is exact too.
        """
        precision = self.state.precision
        losses = []
        for batch in group.batches(self.state.micro_batch_size):
            with precision.autocast():
                loss = summed_cross_entropy(self.forward(batch.inputs), batch.targets, batch.weights) / group.weight
            precision.backward(loss)
            losses.append(loss.detach())
        return torch.stack(losses).sum(dtype=torch.float64)

    def _accumulate_within_memory(self, group: Group) -> Tensor:
        state = self.state
        start = StepSnapshot(state, host=self._draws_on_host or self._steps % _CHECK_HOST_EVERY == 0)
        self._steps += 1
        while True:
            try:
                mean_loss = self.accumulate(group)
            except Exception as error:  # noqa: BLE001 any other error is raised again
                cause = out_of_memory_cause(error)
            else:
                self._draws_on_host = self._draws_on_host or start.random.host_has_drawn()
                return mean_loss
            # out here the traceback, which holds the activations, is gone
            effective = self.effective_batch_size
            self.warn(halve_micro_batch(state, group_count=group.count, effective_batch_size=effective, cause=cause))
            start.restore()


def accuracy(
    model: nn.Module,
    data: BatchSource,
    *,
    precision: Precision,
    batch_size: int,
    warn: Callable[[str], None] = print,
    heartbeat: Callable[[], None] = lambda: None,
) -> float:
    """Return the share of the test targets that are classified right, 0 to 1, each counted by its weight.

    :param batch_size: the training's micro-batch, which mostly needs less memory here; where it does not fit it is halved.
    :param warn: called once each time memory ran out and the batch was halved.
    :param heartbeat: called about every ten seconds, so that a long evaluation is not taken for a hang.
    :raises TrainingError: memory does not suffice for a single sample.
    """
    while True:
        try:
            return _accuracy(model, data, precision, batch_size, heartbeat)
        except Exception as error:  # noqa: BLE001 any other error is raised again
            cause = out_of_memory_cause(error)
        if batch_size == 1:
            raise TrainingError(
                f"memory ran out in the evaluation with a batch of 1 sample ({cause}); choose smaller test inputs, or a"
                " device with more memory; the last checkpoint holds the trained weights"
            )
        before, batch_size = batch_size, -(-batch_size // 2)
        torch.cuda.empty_cache()  # nothing on a CPU
        warn(f"memory ran out in the evaluation with batches of {before} ({cause}); evaluating again with {batch_size}")


@torch.inference_mode()
def _accuracy(
    model: nn.Module, data: BatchSource, precision: Precision, batch_size: int, heartbeat: Callable[[], None]
) -> float:
    model.eval()
    right = total = torch.zeros((), dtype=torch.float64)
    reported_s = time.monotonic()
    for batch in data.test_batches(batch_size):
        with precision.autocast():
            outputs = model(batch.inputs)
        hits = (outputs.argmax(dim=-1) == batch.targets).double()
        weights = torch.ones_like(hits) if batch.weights is None else batch.weights.double()
        right, total = right + (hits * weights).sum(), total + weights.sum()
        if time.monotonic() - reported_s >= _HEARTBEAT_S:
            heartbeat()
            reported_s = time.monotonic()
    return float(right / total)
