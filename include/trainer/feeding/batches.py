"""What the loop is fed: groups (one effective batch each) that can be cut into micro-batches of any size, and again."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What the model is shown at once, on the device; ``weights`` has the shape of ``targets``, None means 1 each."""

    inputs: Tensor
    targets: Tensor
    weights: Tensor | None = None


class Group(Protocol):
    """The samples of one optimizer step."""

    @property
    def count(self) -> int:
        """Number of samples."""
        ...

    @property
    def weight(self) -> float | Tensor:
        """What the summed loss is divided by: the sum of all weights, or the number of targets."""
        ...

    def batches(self, micro_batch_size: int) -> Iterator[Batch]:
        """Give the samples in order, in micro-batches as even as can be and no larger than that."""
        ...


class BatchSource(Protocol):
    """Training and test data, wherever they live; the order of samples is a pure function of (seed, epoch).

    ``to_model`` is what is done to prepared inputs last (their memory format, say). ``class_count`` is how many classes the
    model gives, once that is known: a source that reads as it goes checks targets against it.
    """

    to_model: Callable[[Tensor], Tensor] | None
    class_count: int | None

    @property
    def highest_target(self) -> int | None:
        """The highest class number in the data; None where only reading all of it would tell."""
        ...

    @property
    def train_count(self) -> int:
        """Number of training samples."""
        ...

    @property
    def test_count(self) -> int:
        """Number of test samples."""
        ...

    def groups(self, *, size: int, epoch: int, start: int = 0) -> Iterator[Group]:
        """Give the groups of one pass from its sample number ``start`` on; the last one may be short."""
        ...

    def test_batches(self, size: int) -> Iterator[Batch]:
        """Give the test data once, in order."""
        ...


def piece_count(count: int, micro_batch_size: int) -> int:
    """Return into how many micro-batches a group is cut.

    They are made as even as can be: 513 samples at 512 become 257 + 256, not 512 + 1, on which BatchNorm would fail.
    """
    return math.ceil(count / micro_batch_size)
