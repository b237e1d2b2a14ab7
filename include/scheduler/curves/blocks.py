"""The blocks of one duration on a curve, by prefix sums; on a regular curve in one pass instead of a search per block."""

from collections.abc import Callable, Sequence
from operator import sub
from typing import NamedTuple

_TIE = 1e-9
"""Means closer than this share are equal: sums of floats differ by their order, and a tie must go to the earliest."""


class Block(NamedTuple):
    """A block that begins at ``start_s`` (UNIX seconds) and its mean intensity in g/kWh."""

    start_s: float
    mean_gco2eq_per_kwh: float


class Blocks(NamedTuple):
    """The starts at which a block of one duration begins or ends at an edge, in time order.

    ``totals`` are the blocks' integrals in g/kWh x s: what is only compared need not be divided.
    """

    starts_s: tuple[float, ...]
    totals: tuple[float, ...]


def regular_blocks(
    edges_s: Sequence[float], values: Sequence[float], sums: Sequence[float], step_s: float, duration_s: float
) -> Blocks:
    """Return the blocks of a curve without gaps whose steps are all ``step_s`` long.

    :param sums: the integral of the curve up to each edge.
    """
    whole, rest_s = divmod(duration_s, step_s)
    k, n = int(whole), len(values)
    if duration_s > edges_s[-1] - edges_s[0]:
        return Blocks((), ())
    if rest_s == 0:
        return Blocks(tuple(edges_s[: n - k + 1]), tuple(map(sub, sums[k:], sums)))
    # a block that begins at an edge reaches rest_s into step i + k; one that ends at an edge begins rest_s before an edge
    rests = [rest_s * value for value in values]
    starts: list[float] = [0.0] * (2 * (n - k))
    totals = starts.copy()
    starts[0::2], starts[1::2] = edges_s[: n - k], [edge - duration_s for edge in edges_s[k + 1 :]]
    totals[0::2] = [b - a + rest for a, b, rest in zip(sums, sums[k:n], rests[k:], strict=False)]
    totals[1::2] = [b - a + rest for a, b, rest in zip(sums[1:], sums[k + 1 :], rests, strict=False)]
    return Blocks(tuple(starts), tuple(totals))


def general_blocks(
    edges_s: Sequence[float], duration_s: float, mean_over: Callable[[float, float], float | None]
) -> Blocks:
    """Return the blocks of any curve; those that it does not cover are left out."""
    starts = sorted({*edges_s, *(edge - duration_s for edge in edges_s)})
    found = [(start, mean) for start in starts if (mean := mean_over(start, start + duration_s)) is not None]
    return Blocks(tuple(start for start, _ in found), tuple(mean * duration_s for _, mean in found))


def nearly(mean: float) -> float:
    """Return the greatest mean in g/kWh that counts as equal."""
    return mean + _TIE * (1.0 + mean)
