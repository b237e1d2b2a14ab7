"""How far ahead samples are fetched: a group in pieces, so that what lies ready in shared memory is about two groups at most."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

_GROUPS_AHEAD = 2
_PIECES = 8
"""A group's pieces are fetched by several workers at once. Their number must not depend on that of the workers: what a data
set draws at random is seeded by piece."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefetch:
    """Into how many pieces a group is cut, how many processes fetch them, and how many each has in hand (None: no processes)."""

    pieces: int
    workers: int
    in_hand: int | None

    @classmethod
    def of(cls, workers: int, *, whole: bool) -> Self:
        """Return what keeps within the limit.

        :param whole: a group must be fetched in one piece.
        """
        pieces = 1 if whole else _PIECES
        most = _GROUPS_AHEAD * pieces
        workers = min(workers, most)
        return cls(pieces=pieces, workers=workers, in_hand=most // workers if workers else None)

    def lists(self, numbers: Sequence[int], size: int) -> Iterator[list[list[int]]]:
        """Give for each group of ``size`` the sample numbers of its pieces."""
        for first in range(0, len(numbers), size):
            group = list(numbers[first : first + size])
            step = -(-len(group) // self.pieces)
            yield [group[start : start + step] for start in range(0, len(group), step)]
