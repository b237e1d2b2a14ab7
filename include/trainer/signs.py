"""Signs of life while test data go by: a long evaluation must not look like a hang."""

import time
from collections.abc import Callable, Iterator
from typing import Protocol

from include.trainer.feeding.batches import Batch

_INTERVAL_S = 10.0


class TestData(Protocol):
    """The part of a ``BatchSource`` that an evaluation needs."""

    def test_batches(self, size: int) -> Iterator[Batch]:
        """Give the test data once, in order."""
        ...


class SignsOfLife:
    """Test data that give a sign about every ten seconds, between two batches."""

    def __init__(self, data: TestData, sign: Callable[[], None], *, interval_s: float = _INTERVAL_S) -> None:
        self._data, self._sign, self._interval_s = data, sign, interval_s

    def test_batches(self, size: int) -> Iterator[Batch]:
        """Give the test data once, in order."""
        given_s = time.monotonic()
        for batch in self._data.test_batches(size):
            yield batch
            if time.monotonic() - given_s >= self._interval_s:
                given_s = time.monotonic()
                self._sign()
