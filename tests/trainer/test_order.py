"""The order of samples depends on seed and epoch alone."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from lowtide.trainer.loaders import sample_order


@given(seed=st.integers(0, 2**63 - 1), epoch=st.integers(0, 10_000), count=st.integers(1, 200))
def test_an_order_is_a_permutation_and_can_be_had_again(seed: int, epoch: int, count: int) -> None:
    order = sample_order(seed=seed, epoch=epoch, count=count)
    assert sorted(order.tolist()) == list(range(count))
    assert torch.equal(order, sample_order(seed=seed, epoch=epoch, count=count))


def test_epochs_and_seeds_differ_in_order() -> None:
    orders = {tuple(sample_order(seed=s, epoch=e, count=50).tolist()) for s in range(4) for e in range(4)}
    assert len(orders) == 16


def test_the_global_random_state_is_neither_read_nor_changed() -> None:
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = sample_order(seed=3, epoch=0, count=50)
    assert torch.equal(state, torch.get_rng_state())
    torch.manual_seed(2)
    assert torch.equal(first, sample_order(seed=3, epoch=0, count=50))
