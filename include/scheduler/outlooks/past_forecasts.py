"""How far forecasts were from what came: the past error of a block, laid over the same block of today's forecast."""

from collections.abc import Sequence
from dataclasses import dataclass

from include.scheduler.curves.curve import IntensityCurve

LEAST_FORECASTS = 10
"""From fewer past forecasts no interval is given: two quantiles of nine numbers are two of the numbers."""
LOW, HIGH = 0.1, 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class PastForecast:
    """A forecast as it was known at ``origin_s`` (UNIX seconds), and what the grid then did."""

    origin_s: float
    forecast: IntensityCurve
    actual: IntensityCurve

    def error(self, lead_s: float, duration_s: float) -> float | None:
        """Return actual minus forecast mean of the block that began ``lead_s`` after the origin, in g/kWh."""
        start_s = self.origin_s + lead_s
        forecast = self.forecast.mean_over(start_s, start_s + duration_s)
        actual = self.actual.mean_over(start_s, start_s + duration_s)
        return None if forecast is None or actual is None else actual - forecast


@dataclass(frozen=True, slots=True)
class PastForecasts:
    """Forecasts of the same kind and of the same hour of day; tells how well a saving that they promise was kept."""

    forecasts: Sequence[PastForecast]

    def saving_interval_percent(
        self, curve: IntensityCurve, now_s: float, start_s: float, duration_s: float
    ) -> tuple[float, float] | None:
        """Return the 10 % and 90 % quantile of the saving of a block against starting now, in percent.

        Both blocks' errors come from the same past forecast: a level that was too high for one was too high for the other.
        None where the curve does not cover both blocks, or too few past forecasts do.
        """
        now = curve.mean_over(now_s, now_s + duration_s)
        block = curve.mean_over(start_s, start_s + duration_s)
        if now is None or block is None:
            return None
        savings = sorted(
            100.0 * (1.0 - max(0.0, block + late) / (now + early))
            for early, late in self._errors(start_s - now_s, duration_s)
            if now + early > 0.0
        )
        if len(savings) < LEAST_FORECASTS:
            return None
        return _quantile(savings, LOW), _quantile(savings, HIGH)

    def _errors(self, lead_s: float, duration_s: float) -> list[tuple[float, float]]:
        pairs = ((past.error(0.0, duration_s), past.error(lead_s, duration_s)) for past in self.forecasts)
        return [(early, late) for early, late in pairs if early is not None and late is not None]


def _quantile(ordered: Sequence[float], share: float) -> float:
    """Return a quantile by linear interpolation between the two nearest ranks."""
    at = share * (len(ordered) - 1)
    below = int(at)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (at - below) * (ordered[above] - ordered[below])
