"""k micro-batches are one large batch, exactly, and the loop is plain PyTorch."""

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lowtide.trainer.data import TrainingData
from lowtide.trainer.loaders import ResidentSource, sample_order
from lowtide.trainer.loop import OptimizationLoop, accuracy
from lowtide.trainer.optim import Schedule
from lowtide.trainer.precision import Precision, make_precision
from lowtide.trainer.state import LoopState
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

CPU = torch.device("cpu")


def random_data(count: int, dtype: torch.dtype) -> TrainingData:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(count, 6, generator=generator, dtype=dtype)
    targets = torch.randint(0, 4, (count,), generator=generator)
    return TrainingData(train_inputs=inputs, train_targets=targets, test_inputs=inputs, test_targets=targets)


def new_model(dtype: torch.dtype) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 4)).to(dtype)


def new_state(model: nn.Module, *, micro: int, precision: Precision) -> LoopState:
    # plain SGD: AdamW divides by its own noise, which blows up the last bit of a gradient near zero
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    return LoopState(
        model=model,
        optimizer=optimizer,
        schedule=Schedule(optimizer, name="constant", steps=1),
        precision=precision,
        micro_batch_size=micro,
        device=CPU,
    )


def parameters(model: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().flatten().double() for parameter in model.parameters()])


def trained(
    data: TrainingData, *, micro: int, steps: int, dtype: torch.dtype, precision: Precision | None = None
) -> tuple[Tensor, list[float]]:
    source = ResidentSource(data, device=CPU, seed=5)
    state = new_state(new_model(dtype), micro=micro, precision=precision or Precision())
    loop = OptimizationLoop(state=state, effective_batch_size=micro * steps, clip_gradient_norm=0.5)
    losses = [float(loss) / count for _ in range(2) for loss, count in loop.epoch(source)]
    return parameters(state.model), losses


@settings(max_examples=25, deadline=None)
@given(micro=st.integers(1, 9), steps=st.integers(1, 5), count=st.integers(1, 60))
def test_any_split_of_the_effective_batch_gives_the_same_weights_in_fp64(micro: int, steps: int, count: int) -> None:
    """Also where the last group, or its last micro-batch, is short: no split may differ by more than rounding."""
    data = random_data(count, torch.float64)
    split, split_losses = trained(data, micro=micro, steps=steps, dtype=torch.float64)
    whole, whole_losses = trained(data, micro=micro * steps, steps=1, dtype=torch.float64)
    assert (split - whole).abs().max() <= 1e-12
    assert split_losses == pytest.approx(whole_losses, abs=1e-12)


@pytest.mark.parametrize("count", [64, 77], ids=["even", "uneven tail"])
def test_the_split_is_exact_to_1e_6_in_fp32(count: int) -> None:
    data = random_data(count, torch.float32)
    split, _ = trained(data, micro=4, steps=8, dtype=torch.float32)
    whole, _ = trained(data, micro=32, steps=1, dtype=torch.float32)
    assert (split - whole).abs().max() <= 1e-6


def plain_pytorch(data: TrainingData, *, batch: int, dtype: torch.dtype) -> tuple[Tensor, list[float]]:
    """The loop that anyone would write by hand, without accumulation."""
    model = new_model(dtype)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    losses = []
    for epoch in range(2):
        for indices in sample_order(seed=5, epoch=epoch, count=data.train_count).split(batch):
            optimizer.zero_grad()
            loss = cross_entropy(model(data.train_inputs[indices]), data.train_targets[indices])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            optimizer.step()
            losses.append(loss.item())
    return parameters(model), losses


def test_the_loop_is_the_hand_written_one() -> None:
    """Losses and final weights of plain PyTorch with mean loss on the whole batch."""
    data = random_data(77, torch.float64)
    weights, losses = trained(data, micro=8, steps=4, dtype=torch.float64)
    expected_weights, expected_losses = plain_pytorch(data, batch=32, dtype=torch.float64)
    assert (weights - expected_weights).abs().max() <= 1e-12
    assert losses == pytest.approx(expected_losses, abs=1e-12)


def test_dividing_the_mean_loss_by_the_number_of_micro_batches_would_be_wrong() -> None:
    """The usual mistake, on an uneven group of 8 + 8 + 3: its gradient is off by percents, that of the loop by rounding."""
    data = random_data(19, torch.float64)
    model = new_model(torch.float64)

    def gradient(losses: list[Tensor]) -> Tensor:
        parts = torch.autograd.grad(torch.stack(losses).sum(), list(model.parameters()))
        return torch.cat([part.flatten() for part in parts])

    def loss(indices: Tensor, reduction: str) -> Tensor:
        return cross_entropy(model(data.train_inputs[indices]), data.train_targets[indices], reduction=reduction)

    micro_batches = torch.arange(19).split(8)
    true = gradient([loss(torch.arange(19), "mean")])
    accumulated = gradient([loss(indices, "sum") / 19 for indices in micro_batches])
    usual = gradient([loss(indices, "mean") / 3 for indices in micro_batches])
    assert (accumulated - true).norm() / true.norm() < 1e-12
    assert (usual - true).norm() / true.norm() > 0.01


def test_an_epoch_takes_every_sample_once_and_steps_on_the_short_last_group() -> None:
    model = new_model(torch.float32)
    loop = OptimizationLoop(state=new_state(model, micro=8, precision=Precision()), effective_batch_size=32)
    source = ResidentSource(random_data(77, torch.float32), device=CPU, seed=0)
    counts = [count for _, count in loop.epoch(source)]
    assert counts == [32, 32, 13]
    assert all(parameter.grad is None for parameter in model.parameters())


def test_bf16_trains_and_stays_near_fp32() -> None:
    data = random_data(77, torch.float32)
    weights, losses = trained(data, micro=8, steps=4, dtype=torch.float32, precision=make_precision("bf16", CPU))
    reference, _ = trained(data, micro=8, steps=4, dtype=torch.float32)
    assert all(math.isfinite(loss) for loss in losses)
    assert 0 < (weights - reference).abs().max() < 0.02


def test_accuracy_counts_every_test_sample_whatever_the_batch_size() -> None:
    data = random_data(77, torch.float32)
    model = new_model(torch.float32)
    with torch.inference_mode():
        right = int((model(data.test_inputs).argmax(1) == data.test_targets).sum())
    before = copy.deepcopy(model.state_dict())
    source = ResidentSource(data, device=CPU, seed=0)
    for batch_size in (1, 10, 77, 500):
        assert accuracy(model, source, precision=Precision(), batch_size=batch_size) == right / 77
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
