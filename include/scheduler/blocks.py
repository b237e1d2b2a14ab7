"""The blocks of one duration on a regular curve, by sliced prefix sums: one pass in C instead of a search per block."""

from collections.abc import Sequence
from operator import sub
from typing import NamedTuple


class Blocks(NamedTuple):
    """The starts at which a block of one duration begins or ends at an edge, in time order, and their means in g/kWh."""

    starts_s: tuple[float, ...]
    means: tuple[float, ...]


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
        means = [total / duration_s for total in map(sub, sums[k:], sums)]
        return Blocks(tuple(edges_s[: n - k + 1]), tuple(means))
    # a block that begins at an edge reaches rest_s into step i + k; one that ends at an edge begins rest_s before an edge
    begins = [(b - a + rest_s * v) / duration_s for a, b, v in zip(sums, sums[k:n], values[k:], strict=False)]
    ends = [(b - a + rest_s * v) / duration_s for a, b, v in zip(sums[1:], sums[k + 1 :], values, strict=False)]
    starts: list[float] = [0.0] * (2 * (n - k))
    both = starts.copy()
    starts[0::2], starts[1::2] = edges_s[: n - k], [edge - duration_s for edge in edges_s[k + 1 :]]
    both[0::2], both[1::2] = begins, ends
    return Blocks(tuple(starts), tuple(both))
