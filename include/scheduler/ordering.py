"""Choosing an hour by the order of a modelled curve: which start has the least mean, no grams believed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from include.records import Reading


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """A possible start and the curve's mean over the job's duration from there, in g/kWh of the model."""

    moment: datetime
    mean_gco2eq_per_kwh: float


def mean_over(curve: Sequence[Reading], start: datetime, duration: timedelta) -> float | None:
    """Return the mean intensity over ``[start, start + duration)`` at constant power; None where the curve has a gap."""
    end = start + duration
    weighted, covered_s = 0.0, 0.0
    for reading in curve:
        overlap_s = (min(end, reading.end) - max(start, reading.start)).total_seconds()
        if overlap_s > 0:
            weighted += overlap_s * reading.carbon_intensity_gco2eq_per_kwh
            covered_s += overlap_s
    # one microsecond: datetimes hold no less, and the sum of floats may miss the whole by a rounding error
    return None if covered_s + 1e-6 < duration.total_seconds() else weighted / covered_s


def possible_starts(
    curve: Sequence[Reading], earliest: datetime, latest: datetime | None, duration: timedelta
) -> list[Start]:
    """Return the starts in ``[earliest, latest]`` that the curve covers, in time order.

    The mean over a sliding block of a curve of steps is piecewise linear in the start, so its minimum lies where the
    block begins or ends at a boundary, or at the ends of the range: only those are tried.
    """
    edges = {edge for reading in curve for edge in (reading.start, reading.end)}
    moments = {earliest, latest or earliest, *edges, *(edge - duration for edge in edges)}
    in_range = sorted(m for m in moments if earliest <= m and (latest is None or m <= latest))
    means = ((moment, mean_over(curve, moment, duration)) for moment in in_range)
    return [Start(moment=moment, mean_gco2eq_per_kwh=mean) for moment, mean in means if mean is not None]


def best_start(starts: Sequence[Start], minimum_gain_percent: float) -> Start:
    """Return the start with the least mean, or the first where waiting gains less than the minimum.

    :param starts: not empty, in time order; the first is "now".
    """
    now = starts[0]
    best = min(starts, key=lambda start: (start.mean_gco2eq_per_kwh, start.moment))
    worth_it = best.mean_gco2eq_per_kwh < now.mean_gco2eq_per_kwh * (1.0 - minimum_gain_percent / 100.0)
    return best if worth_it else now
