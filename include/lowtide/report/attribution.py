"""Why two runs emitted different amounts: additive LMDI-I, which leaves no residual.

C = samples x (kWh per sample) x (g per kWh at submission) x (g per kWh as run / g per kWh at submission), the kWh after PUE.
Each factor's part is L(C1, C0) x ln(ratio), with the logarithmic mean L(a, b) = (a - b) / ln(a/b), L(a, a) = a. With a
baseline that is taken as it ran, the intensity's two ratios are (I_submission/I0) x (I1/I_submission). B. W. Ang, Energy
Policy 32 (2004) 1131-1139 and 33 (2005) 867-871; zeros by the analytical limits of Ang and Liu, Energy Policy 35 (2007)
238-246.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from lowtide.errors import ArtifactError
from lowtide.records import TrainingRecord
from lowtide.report.comparability import ENERGY, INTENSITY, agree_on, barring
from lowtide.report.data_quality import estimated_energy_reasons, simulated_reasons
from lowtide.report.model import AttributionParts, Changes, Comparability, Controllable, Waiting
from lowtide.units import relative_change_percent


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
    def pivot_gco2eq_per_kwh(self) -> float:
        """Where grid conditions end and waiting begins: the intensity at submission.

        Where that does not separate waiting (unknown, or zero against more than zero), the one as run: waiting has no part.
        """
        middle, mean = self.submission_intensity_gco2eq_per_kwh, self.mean_intensity_gco2eq_per_kwh
        return mean if middle is None or (middle == 0 < mean) else middle


class _LogRatio(NamedTuple):
    """ln(after/before) = finite + order x ln(d) for a zero that is approached as d -> 0."""

    finite: float
    order: int


def attribute(baseline: RunFactors, run: RunFactors) -> AttributionParts:
    """Decompose the change of emissions from ``baseline`` to ``run``, in grams. Exchanging the two flips every sign.

    Where a run's intensity at submission does not separate waiting, it is taken as it ran: waiting has no part, and grid
    conditions carry both.
    """
    ratios = (
        _log_ratio(run.samples, baseline.samples),
        _efficiency_ratio(baseline, run),
        _log_ratio(run.pivot_gco2eq_per_kwh, baseline.pivot_gco2eq_per_kwh),
        _difference(*(_log_ratio(r.mean_intensity_gco2eq_per_kwh, r.pivot_gco2eq_per_kwh) for r in (run, baseline))),
    )
    c0, c1 = baseline.emissions_gco2eq, run.emissions_gco2eq
    work, efficiency, grid_conditions, waiting = _parts(c0, c1, ratios)
    return AttributionParts(
        work=work, efficiency=efficiency, grid_conditions=grid_conditions, waiting=waiting, total=c1 - c0
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
    return math.sqrt(small) * math.sqrt(large) * (math.sinh(x / 2) / (x / 2))


def _efficiency_ratio(baseline: RunFactors, run: RunFactors) -> _LogRatio:
    if baseline.samples == 0 or run.samples == 0:
        return _LogRatio(0.0, 0)  # a run without work has no energy per sample; the whole change is work
    return _difference(_log_ratio(run.energy_kwh, baseline.energy_kwh), _log_ratio(run.samples, baseline.samples))


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


# A training record as the factors of its emissions, after a check that the record agrees with itself.


_RELATIVE_TOLERANCE = 1e-6


def factors_of(record: TrainingRecord) -> RunFactors:
    """Return samples, energy after PUE, and intensity as run and at submission, both derived from the grams.

    The record's own mean intensity is checked here but not used.

    :raises ArtifactError: emissions are not energy times mean intensity, or energy without samples.
    """
    energy_kwh = (record.energy_kwh.total - record.unvalued_energy_kwh) * record.pue
    product = energy_kwh * record.mean_carbon_intensity_gco2eq_per_kwh
    if not math.isclose(product, record.emissions_gco2eq, rel_tol=_RELATIVE_TOLERANCE, abs_tol=1e-12):
        raise ArtifactError(
            f"the record of run {record.run_id!r} contradicts itself: {energy_kwh!r} kWh at"
            f" {record.mean_carbon_intensity_gco2eq_per_kwh!r} g/kWh are not {record.emissions_gco2eq!r} g;"
            " measure the run again"
        )
    try:
        return RunFactors(
            samples=record.samples,
            energy_kwh=energy_kwh,
            mean_intensity_gco2eq_per_kwh=grid_intensity(record),
            submission_intensity_gco2eq_per_kwh=_submission_intensity(record),
        )
    except ValueError as error:
        raise ArtifactError(
            f"the record of run {record.run_id!r} cannot be compared: {error}; compare finished runs"
        ) from error


def grid_intensity(record: TrainingRecord) -> float:
    """Return the grid's mean intensity in g/kWh over the run, weighted by energy, without the site's PUE."""
    energy_kwh = (record.energy_kwh.total - record.unvalued_energy_kwh) * record.pue
    return record.emissions_gco2eq / energy_kwh if energy_kwh else record.mean_carbon_intensity_gco2eq_per_kwh


def _submission_intensity(record: TrainingRecord) -> float | None:
    if record.counterfactual is None:
        return None
    energy_kwh = record.energy_kwh.total * record.pue
    if not energy_kwh:
        return record.counterfactual.carbon_intensity_gco2eq_per_kwh
    return record.counterfactual.emissions_gco2eq / energy_kwh


# Changes and parts of one side's runs against the other's; with several runs a side, those of the means.


Records = Sequence[TrainingRecord]


def changes_of(baselines: Records, runs: Records, comparability: Comparability) -> Changes:
    """Return the changes of the means; None wherever two figures do not mean the same thing."""
    energy = agree_on(comparability, ENERGY)
    intensity = agree_on(comparability, INTENSITY)
    memory = agree_on(comparability, ("peak_memory_kind",))

    def percent(comparable: bool, mean: Callable[[Records], float]) -> float | None:
        return relative_change_percent(mean(runs), mean(baselines)) if comparable else None

    return Changes(
        emissions_percent=percent(energy and intensity, mean_emissions),
        energy_percent=percent(energy, lambda records: _mean(r.energy_kwh.total for r in records)),
        mean_intensity_percent=percent(intensity, _mean_intensity),
        peak_memory_percent=percent(memory, lambda records: _mean(r.peak_memory_bytes for r in records)),
        accuracy_points=100.0 * (_mean(r.test_accuracy for r in runs) - _mean(r.test_accuracy for r in baselines)),
        duration_percent=percent(True, lambda records: _mean(r.duration_s for r in records)),
    )


def parts_of(baselines: Records, runs: Records) -> AttributionParts:
    """Return the mean over all pairs of the parts: they sum to the difference of the means without a residual."""
    # a baseline is taken as it ran: the effect of its own wait is a grid condition for the run
    before = [replace(factors_of(record), submission_intensity_gco2eq_per_kwh=None) for record in baselines]
    after = [factors_of(record) for record in runs]
    pairs = [attribute(b, a).model_dump() for b in before for a in after]
    return AttributionParts(**{name: _mean(pair[name] for pair in pairs) for name in AttributionParts.model_fields})


def mean_emissions(records: Records) -> float:
    """Return the mean emissions in g."""
    return _mean(record.emissions_gco2eq for record in records)


def _mean_intensity(records: Records) -> float:
    energy_kwh = math.fsum(record.energy_kwh.total for record in records)
    if not energy_kwh:
        return _mean(grid_intensity(record) for record in records)
    return math.fsum(grid_intensity(r) * r.energy_kwh.total for r in records) / energy_kwh


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return math.fsum(found) / len(found)


# The controllable parts: efficiency where the meters can tell it, waiting where a decision made the run wait.


def credited(baselines: Records, runs: Records, waiting: Waiting, comparability: Comparability) -> tuple[str, ...]:
    """Return the parts of the attribution that are controllable for these runs.

    In a simulation efficiency is although its energy is estimated, as all of it is: nothing is claimed there.
    """
    both = (*baselines, *runs)
    simulated = any(simulated_reasons(record, "record") for record in both)
    estimated = any(estimated_energy_reasons(record, "record") for record in both)
    efficiency = simulated or not (estimated or barring(comparability, "efficiency"))
    return (*(() if waiting.not_claimed else ("waiting",)), *(("efficiency",) if efficiency else ()))


def controllable_of(
    parts: AttributionParts, baselines: Records, runs: Records, names: Sequence[str]
) -> Controllable | None:
    """Return what the controllable parts did: their grams, and the change against a run without them; None if unknown.

    The percentage is not the grams over the rest: an additive part is weighed by the baseline's emissions too, so that a
    cleaner week would make a wait of 10 % one of 40 %, and its noise a claim.
    """
    if parts.total is None or not names:
        return None
    after, without = mean_emissions(runs), _without(baselines, runs, names)
    return Controllable(
        parts=tuple(names),
        change_gco2eq=sum(getattr(parts, name) or 0.0 for name in names),
        change_percent=100.0 * (after - without) / without if without > 0 else 0.0,
    )


def _without(baselines: Records, runs: Records, names: Sequence[str]) -> float:
    """Return the mean grams of these samples without the named parts: at a baseline's energy, and at submission."""

    def grams(baseline: RunFactors, run: RunFactors) -> float:
        inefficient = "efficiency" in names and baseline.samples > 0
        energy_kwh = run.samples * baseline.energy_kwh / baseline.samples if inefficient else run.energy_kwh
        return energy_kwh * (run.pivot_gco2eq_per_kwh if "waiting" in names else run.mean_intensity_gco2eq_per_kwh)

    before, after = ([factors_of(record) for record in side] for side in (baselines, runs))
    return _mean(grams(b, a) for b in before for a in after)
