"""Data on the device: how many samples are prepared at once, and that it makes no difference to what the model sees."""

import torch
from lowtide.trainer.data import TrainingData
from lowtide.trainer.loaders import ResidentSource
from torch import Tensor

CPU = torch.device("cpu")


def a_source(enlarged: int, sizes: list[int]) -> ResidentSource:
    """Samples of 16 bytes that preparing makes so many times as wide; ``sizes`` gets each call."""

    def prepare(inputs: Tensor) -> Tensor:
        sizes.append(len(inputs))
        return inputs.float().repeat(1, enlarged)

    inputs = torch.arange(64 * 16, dtype=torch.uint8).reshape(64, 16)
    targets = torch.arange(64) % 4
    data = TrainingData(
        train_inputs=inputs, train_targets=targets, test_inputs=inputs, test_targets=targets, prepare=prepare
    )
    return ResidentSource(data, device=CPU, seed=0)


def test_a_small_group_is_prepared_at_once() -> None:
    sizes: list[int] = []
    (group,) = a_source(1, sizes).groups(size=64, epoch=0)
    assert [len(batch.inputs) for batch in group.batches(8)] == [8] * 8
    assert sizes == [1, 64]


def test_samples_that_preparing_enlarges_are_prepared_a_micro_batch_at_a_time() -> None:
    """64 samples are 1 KiB as stored, and 16 MiB as the model takes them: that is what accumulation is to save."""
    sizes: list[int] = []
    (group,) = a_source(4096, sizes).groups(size=64, epoch=0)
    assert [len(batch.inputs) for batch in group.batches(8)] == [8] * 8
    assert sizes == [1, *[8] * 8]


def test_both_ways_give_the_same_samples_in_the_same_order() -> None:
    (small,), (large,) = (list(a_source(enlarged, []).groups(size=64, epoch=3)) for enlarged in (1, 4096))
    for one, other in zip(small.batches(10), large.batches(10), strict=True):
        assert torch.equal(one.inputs, other.inputs[:, :16])
        assert torch.equal(one.targets, other.targets)
