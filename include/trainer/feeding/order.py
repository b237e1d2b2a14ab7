"""The order of samples is a pure function of seed and epoch, so that any position in a run can be found again."""

import hashlib

import torch
from torch import Tensor


def sample_order(*, seed: int, epoch: int, count: int) -> Tensor:
    """Return a permutation of ``range(count)``; epochs count from 0.

    Drawn on the CPU by a generator of its own: the same on every device, and untouched by what the model draws.
    """
    digest = hashlib.sha256(f"sample order:{seed}:{epoch}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
    return torch.randperm(count, generator=generator)
