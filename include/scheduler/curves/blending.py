"""One curve from two: what a provider forecasts for the next hours, and the history's forecast where that ends."""

from datetime import timedelta
from math import exp

from include.records import Forecast, Reading
from include.scheduler.curves.curve import IntensityCurve

SOON = timedelta(hours=3)
OVERLAP_S = 6 * 3600.0
"""The provider's last hours, over which the two levels are compared."""
DECAY_S = 12 * 3600.0
"""How fast a difference in level is forgotten: after half a day the history's own level holds again to 37 %."""


def provider_curve(reading: Reading, forecast: Forecast) -> IntensityCurve:
    """Return a provider's forecast as a curve; it begins with the reading that holds now where the forecast begins soon."""
    first = forecast.readings[0]
    before = timedelta(0) <= first.start - reading.end <= SOON and reading.comparable_with(first)
    return IntensityCurve.from_readings((reading, *forecast.readings) if before else forecast.readings)


def prolonged(curve: IntensityCurve, later: IntensityCurve) -> IntensityCurve:
    """Return a curve with another one's hours after its end, moved to its level by a difference that decays.

    A history knows the usual order of the hours to come, not that this week is windier than the last; a jump at the seam
    would pass for a clean or a dirty hour.
    """
    offset = _level_difference(curve, later)
    if offset == 0.0 or later.end_s <= curve.end_s:
        return curve.extended_by(later)
    steps = zip(later.edges_s, later.values, strict=False)
    moved = [value + offset * exp(-max(0.0, start_s - curve.end_s) / DECAY_S) for start_s, value in steps]
    # not max(0.0, value): that makes a gap, which is NaN, a perfectly clean hour
    return curve.extended_by(IntensityCurve(later.edges_s, [0.0 if value < 0.0 else value for value in moved]))


def _level_difference(curve: IntensityCurve, later: IntensityCurve) -> float:
    start_s = max(curve.start_s, later.start_s, curve.end_s - OVERLAP_S)
    if start_s >= curve.end_s:
        return 0.0
    mine, theirs = curve.mean_over(start_s, curve.end_s), later.mean_over(start_s, curve.end_s)
    return 0.0 if mine is None or theirs is None else mine - theirs
