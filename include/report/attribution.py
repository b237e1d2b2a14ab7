"""Why two runs emitted different amounts: additive LMDI-I, which leaves no residual.

C = samples x (kWh per sample) x (g per kWh at submission) x (g per kWh as run / g per kWh at submission), the kWh after PUE.
Each factor's part is L(C1, C0) x ln(ratio), with the logarithmic mean L(a, b) = (a - b) / ln(a/b), L(a, a) = a. With a
baseline that is taken as it ran, the intensity's two ratios are (I_submission/I0) x (I1/I_submission). B. W. Ang, Energy
Policy 32 (2004) 1131-1139 and 33 (2005) 867-871; zeros by the analytical limits of Ang and Liu, Energy Policy 35 (2007)
238-246.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFactors:
    """One run's factors: samples, energy in kWh after PUE, g/kWh as run and g/kWh had it begun at submission.

    :raises ValueError: negative or non-finite, energy without a single sample (no kWh per sample exists), or emissions
        that are too large or too small for a float.
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
        factors, product = (self.energy_kwh, self.mean_intensity_gco2eq_per_kwh), self.emissions_gco2eq
        if not math.isfinite(product) or (product == 0) != (0 in factors):
            raise ValueError(f"{factors[0]!r} kWh at {factors[1]!r} g/kWh come to {product!r} g, which is no figure")

    @property
    def emissions_gco2eq(self) -> float:
        """Grams of CO2-equivalent: energy times intensity."""
        return self.energy_kwh * self.mean_intensity_gco2eq_per_kwh

    @property
    def middle_intensity_gco2eq_per_kwh(self) -> float | None:
        """Intensity at submission; None where it does not separate waiting: unknown, or zero against more than zero."""
        middle = self.submission_intensity_gco2eq_per_kwh
        return None if middle == 0 and self.mean_intensity_gco2eq_per_kwh > 0 else middle

    @property
    def pivot_gco2eq_per_kwh(self) -> float:
        """Where grid conditions end and waiting begins; without one, the intensity as run, and waiting has no part."""
        middle = self.middle_intensity_gco2eq_per_kwh
        return self.mean_intensity_gco2eq_per_kwh if middle is None else middle


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
    """Decompose the change of emissions from ``baseline`` to ``run``, in grams. Exchanging the two flips every sign.

    Where a run's intensity at submission does not separate waiting, it is taken as it ran: waiting has no part, and grid
    conditions carry both.
    """
    ratios = (
        _log_ratio(run.samples, baseline.samples),
        _efficiency_ratio(baseline, run),
        _log_ratio(run.pivot_gco2eq_per_kwh, baseline.pivot_gco2eq_per_kwh),
        _difference(_waiting_ratio(run), _waiting_ratio(baseline)),
    )
    c0, c1 = baseline.emissions_gco2eq, run.emissions_gco2eq
    work, efficiency, grid_conditions, waiting = _parts(c0, c1, ratios)
    return Attribution(
        work=work,
        efficiency=efficiency,
        grid_conditions=grid_conditions,
        waiting=waiting,
        total=c1 - c0,
        waiting_separated=any(side.middle_intensity_gco2eq_per_kwh is not None for side in (baseline, run)),
    )


def logarithmic_mean(a: float, b: float) -> float:
    """L(a, b) = (a - b) / ln(a/b), with its limits L(a, a) = a and L(a, 0) = 0. Symmetric to the last bit."""
    if a == 0 or b == 0:
        return 0.0
    small, large = sorted((a, b))
    x = _log_quotient(large, small)
    if x == 0:
        return a
    if x > 1:
        return (large - small) / x
    # the same by (a - b) = 2 sqrt(ab) sinh(x/2): the quotient of two differences loses all its digits near a = b
    return math.sqrt(small) * math.sqrt(large) * math.sinh(x / 2) / (x / 2)


def _efficiency_ratio(baseline: RunFactors, run: RunFactors) -> _LogRatio:
    if baseline.samples == 0 or run.samples == 0:
        return _LogRatio(0.0, 0)  # a run without work has no energy per sample; the whole change is work
    return _difference(_log_ratio(run.energy_kwh, baseline.energy_kwh), _log_ratio(run.samples, baseline.samples))


def _waiting_ratio(run: RunFactors) -> _LogRatio:
    return _log_ratio(run.mean_intensity_gco2eq_per_kwh, run.pivot_gco2eq_per_kwh)


def _difference(after: _LogRatio, before: _LogRatio) -> _LogRatio:
    return _LogRatio(after.finite - before.finite, after.order - before.order)


def _log_ratio(after: float, before: float) -> _LogRatio:
    if after == 0 or before == 0:
        return _LogRatio(0.0, int(after == 0) - int(before == 0))
    # the larger over the smaller: the logarithms of a/b and b/a are not each other's negative to the last bit
    small, large = sorted((after, before))
    return _LogRatio(math.copysign(_log_quotient(large, small), after - before), 0)


def _log_quotient(large: float, small: float) -> float:
    quotient = large / small
    return math.log(quotient) if math.isfinite(quotient) else math.log(large) - math.log(small)


def _parts(c0: float, c1: float, ratios: tuple[_LogRatio, ...]) -> list[float]:
    if c0 > 0 and c1 > 0:
        weight = logarithmic_mean(c1, c0)
        return [weight * ratio.finite for ratio in ratios]
    orders = sum(ratio.order for ratio in ratios)
    if c0 == c1 or orders == 0:
        return [0.0] * len(ratios)
    # one side is zero: the factors that vanished (or appeared) share the change, the others have no part in it
    return [(c1 - c0) * ratio.order / orders for ratio in ratios]
