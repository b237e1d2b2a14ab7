"""Why two runs emitted different amounts: additive LMDI-I, which leaves no residual.

C = samples x (kWh per sample) x (g per kWh), the kWh after PUE. The intensity is split at the moment of submission:
I1/I0 = (I_submission/I0) x (I1/I_submission). Each factor's part is L(C1, C0) x ln(ratio), with the logarithmic mean
L(a, b) = (a - b) / ln(a/b), L(a, a) = a. B. W. Ang, Energy Policy 32 (2004) 1131-1139 and 33 (2005) 867-871; zeros by
the analytical limits of Ang and Liu, Energy Policy 35 (2007) 238-246.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFactors:
    """One run's factors: samples, energy in kWh after PUE, g/kWh as run and g/kWh had it begun at submission.

    :raises ValueError: negative or non-finite, or energy without a single sample (no kWh per sample exists).
    """

    samples: int
    energy_kwh: float
    mean_intensity_gco2eq_per_kwh: float
    submission_intensity_gco2eq_per_kwh: float | None = None

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} is {value!r}; it must be finite and >= 0")
        if self.samples == 0 and self.energy_kwh > 0:
            raise ValueError(f"{self.energy_kwh!r} kWh for no sample at all: no energy per sample exists")

    @property
    def emissions_gco2eq(self) -> float:
        """Grams of CO2-equivalent: energy times intensity."""
        return self.energy_kwh * self.mean_intensity_gco2eq_per_kwh

    @property
    def middle_intensity_gco2eq_per_kwh(self) -> float | None:
        """Intensity at submission; None where it does not separate waiting: unknown, or zero against more than zero."""
        middle = self.submission_intensity_gco2eq_per_kwh
        return None if middle == 0 and self.mean_intensity_gco2eq_per_kwh > 0 else middle


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """Parts of the change in grams, run minus baseline; negative means less. The four parts sum to ``total``."""

    work: float
    efficiency: float
    grid_conditions: float
    waiting: float
    total: float
    waiting_separated: bool


class _LogRatio(NamedTuple):
    """ln(after/before) = finite + order x ln(d) for a zero that is approached as d -> 0."""

    finite: float
    order: int


def attribute(baseline: RunFactors, run: RunFactors) -> Attribution:
    """Decompose the change of emissions from ``baseline`` to ``run``, in grams.

    Where the run's intensity at submission does not separate waiting, waiting is 0 and grid conditions carry both.
    """
    middle = run.middle_intensity_gco2eq_per_kwh
    pivot = run.mean_intensity_gco2eq_per_kwh if middle is None else middle
    ratios = (
        _log_ratio(run.samples, baseline.samples),
        _efficiency_ratio(baseline, run),
        _log_ratio(pivot, baseline.mean_intensity_gco2eq_per_kwh),
        _log_ratio(run.mean_intensity_gco2eq_per_kwh, pivot),
    )
    c0, c1 = baseline.emissions_gco2eq, run.emissions_gco2eq
    work, efficiency, grid_conditions, waiting = _parts(c0, c1, ratios)
    return Attribution(
        work=work,
        efficiency=efficiency,
        grid_conditions=grid_conditions,
        waiting=waiting,
        total=c1 - c0,
        waiting_separated=middle is not None,
    )


def logarithmic_mean(a: float, b: float) -> float:
    """L(a, b) = (a - b) / ln(a/b), with its limits L(a, a) = a and L(a, 0) = 0."""
    if a == 0 or b == 0:
        return 0.0
    x = math.log(a / b)
    if x == 0:
        return a
    if abs(x) > 1:
        return (a - b) / x
    # the same by (a - b) = 2 sqrt(ab) sinh(x/2): the quotient of two differences loses all its digits near a = b
    return math.sqrt(a) * math.sqrt(b) * math.sinh(x / 2) / (x / 2)


def _efficiency_ratio(baseline: RunFactors, run: RunFactors) -> _LogRatio:
    if baseline.samples == 0 or run.samples == 0:
        return _LogRatio(0.0, 0)  # a run without work has no energy per sample; the whole change is work
    return _log_ratio(run.energy_kwh / run.samples, baseline.energy_kwh / baseline.samples)


def _log_ratio(after: float, before: float) -> _LogRatio:
    if after > 0 and before > 0:
        return _LogRatio(math.log(after / before), 0)
    return _LogRatio(0.0, int(after == 0) - int(before == 0))


def _parts(c0: float, c1: float, ratios: tuple[_LogRatio, ...]) -> list[float]:
    if c0 > 0 and c1 > 0:
        weight = logarithmic_mean(c1, c0)
        return [weight * ratio.finite for ratio in ratios]
    orders = sum(ratio.order for ratio in ratios)
    if c0 == c1 or orders == 0:
        return [0.0] * len(ratios)
    # one side is zero: the factors that vanished (or appeared) share the change, the others have no part in it
    return [(c1 - c0) * ratio.order / orders for ratio in ratios]
