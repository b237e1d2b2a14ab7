"""A step that failed is taken again with every buffer as it was at its start, whatever changed it."""

import pytest
import torch
from lowtide.trainer.oom import StepSnapshot
from torch import Tensor, nn

from tests.trainer.test_out_of_memory import new_loop

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


def step(found: nn.Module, change: object) -> None:
    """What a step does: BatchNorm counts, and the model writes its table."""
    found.get_submodule("batch_norm")(torch.rand(4, len(found.get_buffer("table"))))
    if callable(change):
        change(found.get_buffer("table"))


@pytest.mark.parametrize("change", [in_place, through_data, None])
@pytest.mark.parametrize("size", [LARGE, SMALL])
def test_every_buffer_is_as_it_was_at_the_start_of_the_step(size: int, change: object) -> None:
    found = model(size)
    state = new_loop(found, 4, []).state
    for _ in range(2):
        snapshot = StepSnapshot(state, host=False)
        before = {name: value.clone() for name, value in found.state_dict().items()}
        for _ in range(2):  # a step may fail twice
            step(found, change)
            snapshot.restore()
            for name, value in found.state_dict().items():
                assert torch.equal(value, before[name]), name
        step(found, change)
        assert (change is None) == torch.equal(found.get_buffer("table"), before["table"])


def test_a_buffer_that_was_replaced_between_two_steps_is_captured_anew() -> None:
    found = model(SMALL)
    state = new_loop(found, 4, []).state
    StepSnapshot(state, host=False)
    found.register_buffer("table", torch.zeros(SMALL))
    snapshot = StepSnapshot(state, host=False)
    in_place(found.get_buffer("table").add_(1))
    snapshot.restore()
    assert not found.get_buffer("table").any()
