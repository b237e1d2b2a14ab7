"""What may be said about a comparison: the rules for claims, in the order in which they bar one."""

from collections.abc import Sequence

from include.records import TrainingRecord
from include.report.changes import Comparison
from include.report.evidence import (
    counterfactual_reasons,
    estimated_energy_reasons,
    forecast_reasons,
    foreign_signal_reasons,
    incomparable_energy,
    incomparable_intensity,
    incomplete_energy_reasons,
    simulated_reasons,
)
from include.report.figures import (
    change_text,
    duration_text,
    grams_text,
    percent_text,
    points_text,
    signed_grams_text,
)
from include.report.model import Direction, Headline

_PARTS = ("waiting", "efficiency", "grid_conditions", "work")
_FROM_BEST_TO_WORST: tuple[Direction, ...] = ("lower", "no_measurable_change", "higher")
HOW_TO_MAKE_A_BASELINE = "make one with: airflow dags trigger baseline_training"


def headline(comparison: Comparison, *, repeatability_percent: float) -> Headline:
    """Apply the rules: no baseline, simulated, unsettled, not comparable, estimated energy, and only then a claim."""
    baseline, run = comparison.baseline, comparison.run
    if baseline is None:
        return _no_baseline(comparison, repeatability_percent)
    both: Sequence[tuple[TrainingRecord, str]] = ((baseline, "baseline"), (run, "run"))
    if simulated := [reason for record, who in both for reason in simulated_reasons(record, who)]:
        estimated = [reason for record, who in both for reason in estimated_energy_reasons(record, who)]
        return _simulated(comparison, [*simulated, *estimated])
    if barred := _barred(comparison, both):
        return Headline(status="withheld", direction=None, text="No claim: " + "; ".join(barred) + ".", reasons=barred)
    if estimated := [reason for record, who in both for reason in estimated_energy_reasons(record, who)]:
        return _waiting_only(comparison, estimated, repeatability_percent)
    return _claimed(comparison, repeatability_percent)


def direction_of(change_percent: float, repeatability_percent: float) -> Direction:
    """Return the direction of a change; one inside the repeatability has none that could be told from noise."""
    if abs(change_percent) <= repeatability_percent:
        return "no_measurable_change"
    return "lower" if change_percent < 0 else "higher"


def _barred(comparison: Comparison, both: Sequence[tuple[TrainingRecord, str]]) -> tuple[str, ...]:
    (baseline, _), (run, _) = both
    reasons = [reason for record, who in both for reason in forecast_reasons(record, who)]
    reasons += [reason for record, who in both for reason in foreign_signal_reasons(record, who)]
    reasons += [reason for record, who in both for reason in incomplete_energy_reasons(record, who)]
    reasons += incomparable_intensity(baseline, run) + incomparable_energy(baseline, run)
    if not reasons and comparison.changes.emissions_percent is None:
        reasons.append("the baseline's emissions are zero, so no percentage exists")
    return tuple(reasons)


def _no_baseline(comparison: Comparison, repeatability_percent: float) -> Headline:
    run = comparison.run
    barred = simulated_reasons(run, "run") + forecast_reasons(run, "run")
    text = f"Nothing to compare with: there is no baseline with the same comparison key; {HOW_TO_MAKE_A_BASELINE}."
    barred += incomplete_energy_reasons(run, "run")
    if not barred and not foreign_signal_reasons(run, "run") and not counterfactual_reasons(run):
        text += f" {_waiting_sentence(comparison, repeatability_percent)}"
    return Headline(
        status="no_baseline", direction=None, text=text, reasons=("no baseline with the same comparison key", *barred)
    )


def _simulated(comparison: Comparison, reasons: list[str]) -> Headline:
    text = f"Simulated, nothing is claimed. In the simulation: {_figures(comparison)}."
    return Headline(status="simulated", direction=None, text=text, reasons=tuple(reasons))


def _waiting_only(comparison: Comparison, estimated: list[str], repeatability_percent: float) -> Headline:
    """Energy that is estimated cancels out of one quotient only: this run now against this run at submission."""
    no_efficiency = [*estimated, "estimated energy supports no claim about efficiency or the total"]
    barred = counterfactual_reasons(comparison.run)
    if barred:
        reasons = (*no_efficiency, *barred)
        return Headline(status="withheld", direction=None, text=f"No claim: {'; '.join(reasons)}.", reasons=reasons)
    change = -(comparison.waiting.avoided_percent or 0.0)
    return Headline(
        status="claimed",
        direction=direction_of(change, repeatability_percent),
        text=f"{_waiting_sentence(comparison, repeatability_percent)} Nothing else is claimed: energy is partly estimated.",
        reasons=tuple(no_efficiency),
    )


def _claimed(comparison: Comparison, repeatability_percent: float) -> Headline:
    """Claim what waiting and efficiency did, and never better than the total or than that: the weather is nobody's merit."""
    waiting_barred = counterfactual_reasons(comparison.run)
    ours = ("efficiency",) if waiting_barred else ("waiting", "efficiency")
    ours_percent = _ours_percent(comparison, ours)
    total_percent = comparison.changes.emissions_percent or 0.0
    ours_direction = direction_of(ours_percent, repeatability_percent)
    direction = max(ours_direction, direction_of(total_percent, repeatability_percent), key=_FROM_BEST_TO_WORST.index)
    reasons = list(waiting_barred)
    if ours_direction == "no_measurable_change":
        reasons.append(f"the change is inside the repeatability of {percent_text(repeatability_percent)}")
    lead = _ours_sentence(ours, ours_percent, ours_direction)
    if direction == "higher" and ours_direction != "higher":
        lead = f"Emissions were {percent_text(total_percent)} higher than the baseline's, though {lead}"
    text = f"{lead[0].upper()}{lead[1:]}: {_figures(comparison, ours)}. Test accuracy {points_text(comparison.changes.accuracy_points)}."
    return Headline(status="claimed", direction=direction, text=text, reasons=tuple(reasons))


def _ours_percent(comparison: Comparison, names: tuple[str, ...]) -> float:
    """Return what our parts did to the emissions that there would have been without them."""
    parts = comparison.parts.model_dump()
    grams = sum(parts[name] or 0.0 for name in names)
    without = comparison.run.emissions_gco2eq - grams
    return 100.0 * grams / without if without > 0 else 0.0


def _ours_sentence(names: tuple[str, ...], percent: float, direction: Direction) -> str:
    who = " and ".join(names)
    if direction == "no_measurable_change":
        return f"{who} made no measurable change to emissions ({change_text(percent)})"
    return f"{who} made emissions {percent_text(abs(percent))} {direction} than they would have been"


def _figures(comparison: Comparison, credited: tuple[str, ...] = ("waiting", "efficiency")) -> str:
    if comparison.baseline is None or comparison.parts.total is None:
        return f"the run emitted {grams_text(comparison.run.emissions_gco2eq)}"
    before, after = comparison.baseline.emissions_gco2eq, comparison.run.emissions_gco2eq
    ours = _named(comparison, credited)
    not_ours = _named(comparison, tuple(part for part in _PARTS if part not in credited))
    change = change_text(comparison.changes.emissions_percent)
    return f"{grams_text(before)} before, {grams_text(after)} now ({change}); ours: {ours}; not ours: {not_ours}"


def _named(comparison: Comparison, names: tuple[str, ...]) -> str:
    parts = comparison.parts.model_dump()
    return ", ".join(f"{name.replace('_', ' ')} {signed_grams_text(parts[name])}" for name in names)


def _waiting_sentence(comparison: Comparison, repeatability_percent: float) -> str:
    change = -(comparison.waiting.avoided_percent or 0.0)
    waited = f"Waiting {duration_text(comparison.waiting.wait_s)}"
    direction = direction_of(change, repeatability_percent)
    if direction == "no_measurable_change":
        return f"{waited} made no measurable change to this run's emissions ({change_text(change)})."
    return (
        f"{waited} made this run's emissions {percent_text(abs(change))} {direction} than the same energy at"
        " submission would have."
    )
