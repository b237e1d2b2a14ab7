"""A model that needs more memory than there is for batches above a size, as a GPU's allocator would say it."""

import torch
from torch import nn


class GreedyModel(nn.Module):
    """A linear model whose training passes fit up to ``most`` samples."""

    def __init__(self, most: int = 20) -> None:
        super().__init__()
        self.most = most
        self.linear = nn.Linear(28 * 28, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if self.training and len(images) > self.most:
            raise torch.OutOfMemoryError(f"CUDA out of memory with {len(images)}.")
        scores: torch.Tensor = self.linear(images.flatten(1))
        return scores
