"""The figures of a comparison: changes in percent, parts in grams, and what waiting avoided."""

from dataclasses import dataclass, replace

from include.records import TrainingRecord
from include.report.attribution import attribute
from include.report.evidence import incomparable_energy, incomparable_intensity
from include.report.factors import factors_of, grid_intensity
from include.report.model import AttributionParts, Changes, Waiting
from include.units import relative_change_percent


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two records and what follows from them; the input of the headline's rules."""

    baseline: TrainingRecord | None
    run: TrainingRecord
    changes: Changes
    parts: AttributionParts
    waiting: Waiting
    notes: tuple[str, ...]


def compared(baseline: TrainingRecord | None, run: TrainingRecord) -> Comparison:
    """Return all figures of a comparison; None wherever two figures do not mean the same thing.

    :raises ArtifactError: a record contradicts itself.
    """
    parts, notes = _attribution(baseline, run)
    return Comparison(
        baseline=baseline,
        run=run,
        changes=Changes() if baseline is None else _changes(baseline, run),
        parts=parts,
        waiting=waiting_of(run),
        notes=tuple(notes),
    )


def waiting_of(run: TrainingRecord) -> Waiting:
    """Return what waiting avoided against this run's own energy curve at submission, in grams and percent."""
    if run.counterfactual is None:
        return Waiting(wait_s=run.wait_s)
    at_submission = run.counterfactual.emissions_gco2eq
    avoided = at_submission - run.emissions_gco2eq
    percent = 100.0 * avoided / at_submission if at_submission else None
    return Waiting(wait_s=run.wait_s, avoided_gco2eq=avoided, avoided_percent=percent)


def _changes(baseline: TrainingRecord, run: TrainingRecord) -> Changes:
    energy = not incomparable_energy(baseline, run)
    intensity = not incomparable_intensity(baseline, run)
    memory = baseline.peak_memory_kind == run.peak_memory_kind

    def percent(comparable: bool, after: float, before: float) -> float | None:
        return relative_change_percent(after, before) if comparable else None

    return Changes(
        emissions_percent=percent(energy and intensity, run.emissions_gco2eq, baseline.emissions_gco2eq),
        energy_percent=percent(energy, run.energy_kwh.total, baseline.energy_kwh.total),
        mean_intensity_percent=percent(intensity, grid_intensity(run), grid_intensity(baseline)),
        peak_memory_percent=percent(memory, run.peak_memory_bytes, baseline.peak_memory_bytes),
        accuracy_points=100.0 * (run.test_accuracy - baseline.test_accuracy),
        duration_percent=relative_change_percent(run.duration_s, baseline.duration_s),
    )


def _attribution(baseline: TrainingRecord | None, run: TrainingRecord) -> tuple[AttributionParts, list[str]]:
    factors = factors_of(run)
    avoided = waiting_of(run).avoided_gco2eq
    alone = AttributionParts(waiting=None if avoided is None else -avoided)
    if baseline is None:
        return alone, _not_separated(run, separated=avoided is not None)
    if incomparable_energy(baseline, run) or incomparable_intensity(baseline, run):
        return alone, ["the change in emissions is not attributed, because the two are not comparable"]
    # taken as it ran: what a baseline's own wait did for it is weather to the run
    before = replace(factors_of(baseline), submission_intensity_gco2eq_per_kwh=None)
    found = attribute(before, factors)
    parts = AttributionParts(
        work=found.work,
        efficiency=found.efficiency,
        grid_conditions=found.grid_conditions,
        waiting=found.waiting,
        total=found.total,
    )
    return parts, _not_separated(run, separated=found.waiting_separated)


def _not_separated(run: TrainingRecord, *, separated: bool) -> list[str]:
    if separated:
        return []
    why = "is not known" if run.counterfactual is None else "was zero"
    return [f"waiting cannot be separated from grid conditions: the grid's intensity at submission {why}"]
