"""What may be said about a comparison: the rules for claims, in the order in which they bar one."""

from collections.abc import Callable

from include.records import TrainingRecord
from include.report.changes import Comparison
from include.report.evidence import (
    estimated_energy_reasons,
    forecast_reasons,
    foreign_signal_reasons,
    incomplete_energy_reasons,
    simulated_reasons,
)
from include.report.fairness.differences import barring
from include.report.model import Direction, Headline, Interval
from include.report.text.figures import percent_text
from include.report.text.wording import claim_text, figures_text, higher_total, named, waiting_sentence

_FROM_BEST_TO_WORST: tuple[Direction, ...] = ("lower", "no_measurable_change", "higher")
HOW_TO_MAKE_A_BASELINE = (
    "make one with: airflow dags trigger baseline_training, or on the command line with: ./lowtide train"
    " include/configs/baseline.yaml --output DIR (of this run's model, data, zone and effective batch), and compare with"
    " --baseline DIR"
)
"""Both ways: a run of either may be compared on the command line, and a report is read far from where it was made."""

_Rule = Callable[[TrainingRecord, str], list[str]]
_UNSOUND: tuple[_Rule, ...] = (forecast_reasons, foreign_signal_reasons, incomplete_energy_reasons)


def headline(comparison: Comparison, *, repeatability_percent: float) -> Headline:
    """Apply the rules: no baseline, simulated, unsettled, not comparable, estimated energy, and only then a claim."""
    if not comparison.baselines:
        return _no_baseline(comparison, repeatability_percent)
    estimated = _of_both(comparison, estimated_energy_reasons)
    if estimated:
        estimated.append("estimated energy supports no claim about efficiency or the total")
    if simulated := _of_both(comparison, simulated_reasons):
        return _simulated(comparison, [*simulated, *barring(comparison.fairness, "comparison"), *estimated])
    if barred := _barred(comparison):
        return _withheld(comparison, barred, repeatability_percent)
    if no_efficiency := [*estimated, *barring(comparison.fairness, "efficiency")]:
        return _waiting_only(comparison, no_efficiency, repeatability_percent)
    return _claimed(comparison, repeatability_percent)


def direction_of(change_percent: float, repeatability_percent: float, interval: Interval | None = None) -> Direction:
    """Return the direction of a change; one that cannot be told from noise has none.

    :param interval: how sure the change is by the spread of repeated runs; it then counts in place of the repeatability
        that is assumed.
    """
    unsure = interval.low <= 0 <= interval.high if interval else abs(change_percent) <= repeatability_percent
    if unsure:
        return "no_measurable_change"
    return "lower" if change_percent < 0 else "higher"


def _of_both(comparison: Comparison, *rules: _Rule) -> list[str]:
    both = [*named(comparison.baselines, "baseline"), *named(comparison.runs, "run")]
    return [reason for rule in rules for record, who in both for reason in rule(record, who)]


def _barred(comparison: Comparison) -> list[str]:
    reasons = [*_of_both(comparison, *_UNSOUND), *barring(comparison.fairness, "comparison")]
    if not reasons and comparison.changes.emissions_percent is None:
        reasons.append("the baseline's emissions are zero, so no percentage exists")
    return reasons


def _no_baseline(comparison: Comparison, repeatability_percent: float) -> Headline:
    text = f"Nothing to compare with: no baseline was given, or none has the same comparison key; {HOW_TO_MAKE_A_BASELINE}."
    return Headline(
        status="no_baseline",
        direction=None,
        text=text + _waiting_alone(comparison, repeatability_percent),
        reasons=("no baseline was given, or none has the same comparison key", *_unsound_run(comparison)),
    )


def _simulated(comparison: Comparison, reasons: list[str]) -> Headline:
    text = f"Simulated, nothing is claimed. In the simulation: {figures_text(comparison)}."
    return Headline(status="simulated", direction=None, text=text, reasons=tuple(reasons))


def _withheld(comparison: Comparison, reasons: list[str], repeatability_percent: float) -> Headline:
    text = f"No claim: {'; '.join(reasons)}.{_waiting_alone(comparison, repeatability_percent)}"
    return Headline(status="withheld", direction=None, text=text, reasons=tuple(reasons))


def _waiting_only(comparison: Comparison, no_efficiency: list[str], repeatability_percent: float) -> Headline:
    """Claim the one quotient out of which a meter's error cancels for sure: this run now against itself at submission."""
    if barred := comparison.waiting_barred:
        return _withheld(comparison, [*no_efficiency, *barred], repeatability_percent)
    direction = _waiting_direction(comparison, repeatability_percent)
    text = f"{waiting_sentence(comparison, direction)} Nothing else is claimed: {no_efficiency[0]}."
    if direction != "higher" and _total_direction(comparison, repeatability_percent) == "higher":
        text += f" By the figures as they are, {higher_total(comparison)}."
    return Headline(status="claimed", direction=direction, text=text, reasons=tuple(no_efficiency))


def _claimed(comparison: Comparison, repeatability_percent: float) -> Headline:
    """Claim what waiting and efficiency did, and never better than the total or than that: the weather is nobody's merit."""
    repeats = comparison.repeats
    ours_percent = comparison.ours.change_percent if comparison.ours else 0.0
    ours = direction_of(ours_percent, repeatability_percent, repeats.ours_percent if repeats else None)
    total = _total_direction(comparison, repeatability_percent)
    direction = max(ours, total, key=_FROM_BEST_TO_WORST.index)
    reasons = list(comparison.waiting_barred)
    if ours == "no_measurable_change":
        reasons.append(_inside(repeatability_percent, repeats.ours_percent if repeats else None))
    text = claim_text(comparison, ours, worse=None if direction == ours else direction)
    return Headline(status="claimed", direction=direction, text=text, reasons=tuple(reasons))


def _total_direction(comparison: Comparison, repeatability_percent: float) -> Direction:
    interval = comparison.repeats.changes.get("emissions_percent") if comparison.repeats else None
    return direction_of(comparison.changes.emissions_percent or 0.0, repeatability_percent, interval)


def _inside(repeatability_percent: float, interval: Interval | None) -> str:
    if interval is None:
        return f"the change is inside the repeatability of {percent_text(repeatability_percent)}"
    return "the change is inside its 95 % interval over the repeated runs, which holds zero"


def _waiting_direction(comparison: Comparison, repeatability_percent: float) -> Direction:
    change, repeats = -(comparison.waiting.avoided_percent or 0.0), comparison.repeats
    avoided = repeats.waiting_avoided_percent if repeats else None
    interval = Interval(low=-avoided.high, high=-avoided.low) if avoided else None
    return direction_of(change, repeatability_percent, interval)


def _waiting_alone(comparison: Comparison, repeatability_percent: float) -> str:
    """Return the waiting part, which needs no baseline; empty where something about the run itself bars it."""
    if _unsound_run(comparison) or comparison.waiting_barred:
        return ""
    return " " + waiting_sentence(comparison, _waiting_direction(comparison, repeatability_percent))


def _unsound_run(comparison: Comparison) -> list[str]:
    rules = (simulated_reasons, *_UNSOUND)
    return [reason for rule in rules for run, who in named(comparison.runs, "run") for reason in rule(run, who)]
