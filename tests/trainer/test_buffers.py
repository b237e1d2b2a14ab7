"""Buffers are set back whatever changed them, and large ones that nothing changes are copied once."""

import pytest
import torch
from lowtide.trainer.oom import BufferCopies
from torch import Tensor, nn

LARGE, SMALL = 300_000, 8


def model(size: int) -> nn.Module:
    torch.manual_seed(0)
    found = nn.Module()
    found.register_buffer("table", torch.rand(size))
    found.register_buffer("norm", None)
    found.add_module("batch_norm", nn.BatchNorm1d(size))
    return found


def in_place(buffer: Tensor) -> None:
    buffer.mul_(2)


def through_data(buffer: Tensor) -> None:
    """As vector quantisers do; PyTorch's version counter does not see it."""
    buffer.data.mul_(2)


def addresses(copies: BufferCopies) -> list[int]:
    return [copy.saved.data_ptr() for copy in copies._copies]


def step(found: nn.Module, change: object) -> None:
    """What a step does: BatchNorm counts, and the model writes its table."""
    found.get_submodule("batch_norm")(torch.rand(4, len(found.get_buffer("table"))))
    if callable(change):
        change(found.get_buffer("table"))


@pytest.mark.parametrize("change", [in_place, through_data, None])
@pytest.mark.parametrize("size", [LARGE, SMALL])
def test_every_buffer_is_as_it_was_at_the_start_of_the_step(size: int, change: object) -> None:
    """From the first step on, also where the version counter does not notice the change."""
    found = model(size)
    copies = BufferCopies(found)
    for number in range(4):
        copies.capture(compare=number == 1)
        before = {name: value.clone() for name, value in found.state_dict().items()}
        for _ in range(2):  # a step may fail twice
            step(found, change)
            copies.restore()
            for name, value in found.state_dict().items():
                assert torch.equal(value, before[name]), name
        step(found, change)
        assert (change is None) == torch.equal(found.get_buffer("table"), before["table"])


def test_a_large_buffer_that_stays_is_copied_once() -> None:
    found = nn.Module()
    found.register_buffer("mask", torch.rand(LARGE))
    copies = BufferCopies(found)
    copies.capture(compare=False)
    first = addresses(copies)
    for number in range(3):
        copies.capture(compare=number == 1)
        assert addresses(copies) == first
    in_place(found.get_buffer("mask"))
    copies.capture(compare=False)
    assert addresses(copies) != first


def test_a_buffer_that_was_replaced_is_copied_anew() -> None:
    found = model(LARGE)
    copies = BufferCopies(found)
    copies.capture(compare=False)
    found.register_buffer("table", torch.zeros(LARGE))
    copies.capture(compare=False)
    in_place(found.get_buffer("table").add_(1))
    copies.restore()
    assert not found.get_buffer("table").any()
