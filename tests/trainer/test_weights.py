"""Weights of samples and tokens: what is padded does not count, neither in the loss nor in the accuracy."""

from dataclasses import replace

import pytest
import torch
from lowtide.config.schema import TrainingConfig
from lowtide.errors import DataSetError
from lowtide.trainer.data import TrainingData, check_data, weights_of
from lowtide.trainer.loaders import ResidentSource
from lowtide.trainer.loop import OptimizationLoop, accuracy
from lowtide.trainer.optim import Schedule
from lowtide.trainer.precision import Precision
from lowtide.trainer.state import LoopState
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from tests.trainer.conftest import MakeConfig

CPU = torch.device("cpu")
TOKENS, CLASSES = 7, 5


def tagger() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Embedding(11, 8), nn.Tanh(), nn.Linear(8, CLASSES)).double()


def padded(ignored: bool) -> TrainingData:
    """Sequences of 1 to 7 tokens; behind their end the targets are nonsense with weight 0, or -100 without weights."""
    generator = torch.Generator().manual_seed(2)
    tokens = torch.randint(0, 11, (50, TOKENS), generator=generator)
    targets = torch.randint(0, CLASSES, (50, TOKENS), generator=generator)
    lengths = torch.randint(1, TOKENS + 1, (50, 1), generator=generator)
    real = torch.arange(TOKENS) < lengths
    if ignored:
        targets = targets.masked_fill(~real, -100)
    weights = None if ignored else real.float()
    return TrainingData(
        train_inputs=tokens,
        train_targets=targets,
        test_inputs=tokens,
        test_targets=targets,
        train_weights=weights,
        test_weights=weights,
    )


def trained(data: TrainingData, micro: int) -> Tensor:
    model = tagger()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    state = LoopState(
        model=model,
        optimizer=optimizer,
        schedule=Schedule(optimizer, name="constant", steps=1),
        precision=Precision(),
        micro_batch_size=micro,
        device=CPU,
    )
    loop = OptimizationLoop(state=state, effective_batch_size=16)
    list(loop.epoch(ResidentSource(data, device=CPU, seed=0)))
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def by_hand(data: TrainingData) -> Tensor:
    """Plain PyTorch on whole batches: the mean over the real tokens of a batch, by cross_entropy's own ignore_index."""
    model = tagger()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for group in ResidentSource(data, device=CPU, seed=0).groups(size=16, epoch=0):
        (batch,) = group.batches(16)
        optimizer.zero_grad()
        cross_entropy(model(batch.inputs).transpose(1, 2), batch.targets).backward()
        optimizer.step()
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


@pytest.mark.parametrize("micro", [16, 8, 5, 1])
def test_every_token_counts_once_however_the_batch_is_cut(training_config: MakeConfig, micro: int) -> None:
    """Weights of 0 and targets of -100 give the same weights as plain PyTorch on the whole batch, to 1e-7."""
    expected = by_hand(padded(ignored=True))
    config = training_config(micro_batch_size=4, accumulation_steps=4)
    for ignored in (True, False):
        data = check_data(padded(ignored), config)
        assert isinstance(data, TrainingData)
        assert (trained(data, micro) - expected).abs().max() < 1e-7


def test_an_ignored_target_does_not_count_whatever_its_weight(training_config: MakeConfig) -> None:
    """-100 and weights of 1 together: as -100 alone, in the loss's divisor and in the accuracy."""
    alone = padded(ignored=True)
    ones = torch.ones(alone.train_targets.shape)
    both = replace(alone, train_weights=ones, test_weights=ones)
    config = training_config(micro_batch_size=4, accumulation_steps=4)
    checked = [check_data(data, config) for data in (alone, both)]
    found = []
    for data in checked:
        assert isinstance(data, TrainingData)
        source = ResidentSource(data, device=CPU, seed=0)
        right = accuracy(tagger(), source, precision=Precision(), batch_size=9)
        found.append((right, trained(data, 5)))
    assert found[0][0] == found[1][0]
    assert torch.equal(found[0][1], found[1][1])
    assert weights_of(torch.tensor([1, -100]), torch.tensor([2.0, 3.0])).tolist() == [2.0, 0.0]  # type: ignore[union-attr]
    with pytest.raises(DataSetError, match="not all 0"):
        check_data(replace(both, train_weights=(alone.train_targets == -100).float()), config)


def test_class_156_of_uint8_targets_is_not_ignored(training_config: MakeConfig) -> None:
    """In uint8, -100 wraps to 156."""
    inputs, targets = torch.zeros(32, 2), torch.full((32,), 156, dtype=torch.uint8)
    data = TrainingData(train_inputs=inputs, train_targets=targets, test_inputs=inputs, test_targets=targets)
    checked = check_data(data, training_config(micro_batch_size=4, accumulation_steps=4))
    assert isinstance(checked, TrainingData)
    assert checked.train_weights is None
    assert weights_of(targets, None) is None


def test_a_sample_of_weight_two_counts_as_two() -> None:
    once = padded(ignored=False)
    assert once.train_weights is not None
    twice = torch.cat([torch.arange(50), torch.arange(25)])
    doubled = TrainingData(
        train_inputs=once.train_inputs[twice],
        train_targets=once.train_targets[twice],
        train_weights=once.train_weights[twice],
        test_inputs=once.test_inputs,
        test_targets=once.test_targets,
    )
    weights = once.train_weights * (1 + (torch.arange(50) < 25).float().unsqueeze(1))
    weighted = TrainingData(
        train_inputs=once.train_inputs,
        train_targets=once.train_targets,
        train_weights=weights,
        test_inputs=once.test_inputs,
        test_targets=once.test_targets,
    )
    assert (one_step(weighted, 50) - one_step(doubled, 75)).abs().max() < 1e-7


def one_step(data: TrainingData, size: int) -> Tensor:
    model = tagger()
    (group,) = ResidentSource(data, device=CPU, seed=0).groups(size=size, epoch=0)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    state = LoopState(
        model=model,
        optimizer=optimizer,
        schedule=Schedule(optimizer, name="constant", steps=1),
        precision=Precision(),
        micro_batch_size=7,
        device=CPU,
    )
    OptimizationLoop(state=state, effective_batch_size=size).optimizer_step(group)
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def test_accuracy_leaves_padding_out() -> None:
    data, model = padded(ignored=False), tagger()
    assert data.test_weights is not None
    real = data.test_weights > 0
    with torch.inference_mode():
        right = model(data.test_inputs).argmax(-1)[real] == data.test_targets[real]
    found = accuracy(model, ResidentSource(data, device=CPU, seed=0), precision=Precision(), batch_size=9)
    assert found == pytest.approx(float(right.double().mean()))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (torch.ones(50), r"weights of shape \(50,\), but targets of \(50, 7\); make them alike"),
        (torch.zeros(50, TOKENS), "must be finite, not negative and not all 0"),
        (torch.full((50, TOKENS), -1.0), "must be finite, not negative and not all 0"),
        (torch.full((50, TOKENS), float("nan")), "must be finite, not negative and not all 0"),
    ],
)
def test_impossible_weights_are_refused(training_config: MakeConfig, weights: Tensor, message: str) -> None:
    config: TrainingConfig = training_config(micro_batch_size=4, accumulation_steps=4)
    data = padded(ignored=True)
    broken = TrainingData(
        train_inputs=data.train_inputs,
        train_targets=data.train_targets,
        test_inputs=data.test_inputs,
        test_targets=data.test_targets,
        train_weights=weights,
    )
    with pytest.raises(DataSetError, match=message):
        check_data(broken, config)
