"""What the grid was like over the days before a moment."""

from bisect import bisect_left, bisect_right
from datetime import timedelta
from math import isnan

from include.scheduler.curves.curve import IntensityCurve

LEAST_KNOWN = 0.5
"""A window of which less is known says nothing about it."""


class TrailingCurve:
    """The values of a curve before a moment; ``include.scheduler.outlooks.outlook.Trailing``.

    :param until_s: UNIX seconds; what the curve holds from there on is not looked at.
    """

    def __init__(self, curve: IntensityCurve, until_s: float) -> None:
        self._curve = curve
        self._until_s = until_s
        self._found: dict[tuple[float, timedelta], float | None] = {}

    def percentile(self, percent: float, window: timedelta) -> float | None:
        """Return the least value at or below which the intensity was for ``percent`` of the known time of the window.

        In g/kWh; None if less than half of the window before ``until_s`` is known.
        """
        asked = (percent, window)
        if asked not in self._found:  # many jobs ask the same
            self._found[asked] = self._percentile(percent, window.total_seconds())
        return self._found[asked]

    def _percentile(self, percent: float, window_s: float) -> float | None:
        known = sorted(self._weighted(self._until_s - window_s))
        total_s = sum(weight_s for _, weight_s in known)
        if total_s < LEAST_KNOWN * window_s:
            return None
        reached_s = 0.0
        for value, weight_s in known:
            reached_s += weight_s
            if reached_s >= total_s * percent / 100.0 * (
                1.0 - 1e-12
            ):  # a sum of floats may miss its share by a rounding error
                return value
        return known[-1][0]

    def _weighted(self, since_s: float) -> list[tuple[float, float]]:
        """Return value and seconds of each known step in the window."""
        edges, values = self._curve.edges_s, self._curve.values
        first = max(0, bisect_right(edges, since_s) - 1)
        last = min(len(values), bisect_left(edges, self._until_s))
        spans = ((values[i], min(edges[i + 1], self._until_s) - max(edges[i], since_s)) for i in range(first, last))
        return [(value, length_s) for value, length_s in spans if length_s > 0 and not isnan(value)]
