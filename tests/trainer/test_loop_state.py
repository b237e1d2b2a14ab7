"""A training that is saved at an optimizer step and restored elsewhere continues to the last bit as if nothing had been."""

import io
import random
from typing import Any

import numpy
import pytest
import torch
from lowtide.trainer.data import TrainingData
from lowtide.trainer.loaders import ResidentSource
from lowtide.trainer.loop import OptimizationLoop
from lowtide.trainer.optim import Schedule, make_optimizer
from lowtide.trainer.precision import Precision
from lowtide.trainer.random_state import RandomState, seed_everything
from lowtide.trainer.state import LoopState
from torch import Tensor, nn

from tests.trainer.conftest import MakeConfig

CPU = torch.device("cpu")
EPOCHS, STEPS_PER_EPOCH = 2, 5


def noisy(inputs: Tensor) -> Tensor:
    """Draws from all three global generators, as a user's augmentation may."""
    scale = random.random() + float(numpy.random.rand())
    return inputs + 0.1 * scale * torch.randn_like(inputs)


def new_source() -> ResidentSource:
    generator = torch.Generator().manual_seed(1)
    inputs, targets = torch.randn(70, 6, generator=generator), torch.randint(0, 4, (70,), generator=generator)
    data = TrainingData(
        train_inputs=inputs, train_targets=targets, test_inputs=inputs, test_targets=targets, augment=noisy
    )
    return ResidentSource(data, device=CPU, seed=3)


def new_loop(make: MakeConfig, precision: Precision, seed: int = 0) -> OptimizationLoop:
    """Dropout, BatchNorm, AdamW with weight decay, a schedule with warm-up, clipping: everything that has state."""
    seed_everything(seed)
    model = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 4))
    optimizer = make_optimizer(make(weight_decay=0.1, learning_rate=0.05), model.parameters())
    schedule = Schedule(optimizer, name="cosine", steps=EPOCHS * STEPS_PER_EPOCH, warmup_steps=2)
    schedule.set_step(0)
    state = LoopState(
        model=model, optimizer=optimizer, schedule=schedule, precision=precision, micro_batch_size=6, device=CPU
    )
    return OptimizationLoop(state=state, effective_batch_size=16, clip_gradient_norm=0.5)


def train(loop: OptimizationLoop, *, until: int = EPOCHS * STEPS_PER_EPOCH) -> list[float]:
    source, losses = new_source(), []
    while loop.state.epoch < EPOCHS:
        for loss, _ in loop.epoch(source):
            losses.append(float(loss))
            if loop.state.global_step == until:
                return losses
    return losses


def written_and_read(state: LoopState) -> dict[str, Any]:
    """Through a file's bytes, with the reader that runs no code."""
    file = io.BytesIO()
    torch.save(state.state_dict(), file)
    file.seek(0)
    saved: dict[str, Any] = torch.load(file, weights_only=True)
    return saved


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("pauses", [(1, 2, 7), (3, 5, 6)], ids=["mid-epoch", "at an epoch's end"])
def test_pauses_change_nothing(training_config: MakeConfig, precision: str, pauses: tuple[int, ...]) -> None:
    """Losses, weights and the optimizer's state, bit by bit; each leg begins with other weights and generators."""
    whole = new_loop(training_config, Precision(precision, CPU))
    expected = train(whole)
    leg = new_loop(training_config, Precision(precision, CPU))
    losses = train(leg, until=pauses[0])
    for number, until in enumerate((*pauses[1:], EPOCHS * STEPS_PER_EPOCH)):
        saved = written_and_read(leg.state)
        leg = new_loop(training_config, Precision(precision, CPU), seed=100 + number)
        leg.state.load_state_dict(saved)
        losses += train(leg, until=until)
    assert losses == expected
    assert len(losses) == EPOCHS * STEPS_PER_EPOCH
    for name, value in whole.state.model.state_dict().items():
        assert torch.equal(leg.state.model.state_dict()[name], value), name
    assert leg.state.precision.state_dict() == whole.state.precision.state_dict()


@pytest.mark.parametrize("left_out", ["random", "optimizer", "global_step"])
def test_each_part_of_the_state_matters(training_config: MakeConfig, left_out: str) -> None:
    """Without it the losses differ: nothing is saved that is not needed."""
    expected = train(new_loop(training_config, Precision()))
    first = new_loop(training_config, Precision())
    train(first, until=4)
    saved = first.state.state_dict()
    second = new_loop(training_config, Precision(), seed=9)
    saved[left_out] = second.state.state_dict()[left_out]
    second.state.load_state_dict(saved)
    assert train(second)[:6] != expected[4:]


def test_all_generators_are_captured_and_restored() -> None:
    def draw() -> tuple[float, float, float, float]:
        return random.gauss(0, 1), random.random(), float(numpy.random.randn()), float(torch.randn(()))

    draw()  # leaves half of a pair of normal draws in Python's and in NumPy's generator
    saved = RandomState.capture(CPU).state_dict()
    first = draw()
    seed_everything(77)
    RandomState.from_state_dict(saved).restore(CPU)
    assert draw() == first
