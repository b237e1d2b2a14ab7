"""Mixed precision changes neither what is clipped nor how the loss is summed."""

import pytest
import torch
from lowtide.trainer.data import TrainingData
from lowtide.trainer.loaders import ResidentSource
from lowtide.trainer.loop import OptimizationLoop, summed_cross_entropy
from lowtide.trainer.optim import Schedule
from lowtide.trainer.precision import Precision
from lowtide.trainer.state import LoopState
from torch import nn
from torch.nn.functional import cross_entropy

CPU = torch.device("cpu")
CLIP = 0.25


def change_by_one_step(precision: Precision, clip: float | None) -> torch.Tensor:
    """One step of plain gradient descent at a rate of 1: the weights change by the gradient that it was given."""
    torch.manual_seed(0)
    model = nn.Linear(6, 4)
    before = nn.utils.parameters_to_vector(model.parameters()).detach().clone()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    state = LoopState(
        model=model,
        optimizer=optimizer,
        schedule=Schedule(optimizer, name="constant", steps=1),
        precision=precision,
        micro_batch_size=8,
        device=CPU,
    )
    inputs, targets = torch.randn(32, 6), torch.randint(0, 4, (32,))
    data = TrainingData(train_inputs=inputs, train_targets=targets, test_inputs=inputs, test_targets=targets)
    loop = OptimizationLoop(state=state, effective_batch_size=32, clip_gradient_norm=clip)
    loop.optimizer_step(next(iter(ResidentSource(data, device=CPU, seed=0).groups(size=32, epoch=0))))
    return before - nn.utils.parameters_to_vector(model.parameters()).detach()


def test_fp16_clips_the_true_gradient_and_not_the_scaled_one() -> None:
    """The scaler multiplies the loss by 65,536: clipped before it is taken out, the gradient would be as much too small."""
    free = change_by_one_step(Precision("fp16", CPU), None)
    assert float(free.norm()) > CLIP  # so there is something to clip
    torch.testing.assert_close(free, change_by_one_step(Precision(), None), rtol=0.02, atol=1e-3)
    clipped = change_by_one_step(Precision("fp16", CPU), CLIP)
    assert float(clipped.norm()) == pytest.approx(CLIP, rel=1e-3)
    torch.testing.assert_close(clipped, free * (CLIP / free.norm()))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_loss_of_many_samples_is_summed_in_full_precision(dtype: torch.dtype, weighted: bool) -> None:
    """A sum of 4,096 losses has twelve bits before the point; bf16 keeps eight of all, fp16 eleven."""
    torch.manual_seed(0)
    outputs, targets = torch.randn(4096, 10).to(dtype), torch.randint(0, 10, (4096,))
    weights = torch.rand(4096) if weighted else None
    each = cross_entropy(outputs.double(), targets, reduction="none")
    exact = (each if weights is None else each * weights.double()).sum()
    found = summed_cross_entropy(outputs, targets, weights)
    assert found.dtype == torch.float32
    assert float(found) == pytest.approx(float(exact), rel=1e-5)
