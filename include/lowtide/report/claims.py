"""What may be said about a comparison: the rules for claims, in the order in which they bar one, and their sentences."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from lowtide.config.schema import ReportConfig
from lowtide.records import TrainingRecord
from lowtide.report.attribution import mean_emissions
from lowtide.report.comparability import barring
from lowtide.report.data_quality import UNSOUND, Rule, estimated_energy_reasons, simulated_reasons
from lowtide.report.figures import PARTS, Side, runs_of
from lowtide.report.model import Comparison, Direction, Headline, Interval
from lowtide.timeutil import format_duration
from lowtide.units import change_text, duration_text, grams_text, percent_text, points_text, signed_grams_text

HOW_TO_MAKE_A_BASELINE = (
    "make one with: airflow dags trigger baseline_training, or on the command line with: lowtide train"
    " include/configs/baseline.yaml --output DIR (of this run's model, data, zone and effective batch), and compare with"
    " --baseline DIR"
)
"""Both ways: a run of either may be compared on the command line, and a report is read far from where it was made."""

_FROM_BEST_TO_WORST: tuple[Direction, ...] = ("lower", "no_measurable_change", "higher")


def headline(comparison: Comparison) -> Headline:
    """Apply the rules: no baseline, simulated, unsettled, not comparable, estimated energy, and only then a claim."""
    if comparison.baseline is None:
        return _no_baseline(comparison)
    estimated = _reasons(comparison, estimated_energy_reasons)
    if estimated:
        estimated.append("estimated energy supports no claim about efficiency or the total")
    if simulated := _reasons(comparison, simulated_reasons):
        reasons = (*simulated, *barring(comparison.fairness, "comparison"), *estimated)
        text = f"Simulated, nothing is claimed. In the simulation: {_figures(comparison)}."
        return Headline(status="simulated", direction=None, text=text, reasons=reasons)
    if barred := _barred(comparison):
        return _withheld(comparison, barred)
    if no_efficiency := [*estimated, *barring(comparison.fairness, "efficiency")]:
        return _waiting_only(comparison, no_efficiency)
    return _claimed(comparison)


def _reasons(comparison: Comparison, *rules: Rule, sides: Sequence[Side] = ("baseline", "run")) -> list[str]:
    records = [one for side in sides for one in named(runs_of(comparison, side), side)]
    return [reason for rule in rules for record, who in records for reason in rule(record, who)]


def _barred(comparison: Comparison) -> list[str]:
    reasons = [*_reasons(comparison, *UNSOUND), *barring(comparison.fairness, "comparison")]
    if not reasons and comparison.changes.emissions_percent is None:
        reasons.append("the baseline's emissions are zero, so no percentage exists")
    return reasons


def _no_baseline(comparison: Comparison) -> Headline:
    why = "no baseline was given, or none has the same comparison key"
    text = f"Nothing to compare with: {why}; {HOW_TO_MAKE_A_BASELINE}."
    return Headline(
        status="no_baseline",
        direction=None,
        text=text + _waiting_alone(comparison),
        reasons=(why, *_unsound_run(comparison)),
    )


def _withheld(comparison: Comparison, reasons: list[str]) -> Headline:
    text = f"No claim: {'; '.join(reasons)}.{_waiting_alone(comparison)}"
    return Headline(status="withheld", direction=None, text=text, reasons=tuple(reasons))


def _waiting_only(comparison: Comparison, no_efficiency: list[str]) -> Headline:
    """Claim the one quotient in which a meter's error always cancels: this run as it ran against itself at submission."""
    if barred := comparison.waiting.not_claimed:
        return _withheld(comparison, [*no_efficiency, *barred])
    direction = _waiting_direction(comparison)
    text = f"{_waiting_sentence(comparison, direction)} Nothing else is claimed: {no_efficiency[0]}."
    if direction != "higher" and _total_direction(comparison) == "higher":
        text += f" By the figures as they are, {_higher_total(comparison)}."
    return Headline(status="claimed", direction=direction, text=text, reasons=tuple(no_efficiency))


def _claimed(comparison: Comparison) -> Headline:
    """Claim what waiting and efficiency did, and never more than the total shows: grid conditions are external."""
    interval = comparison.replicates.controllable_percent if comparison.replicates else None
    change_percent = comparison.controllable.change_percent if comparison.controllable else 0.0
    controllable = _direction(comparison, change_percent, interval)
    total = _total_direction(comparison)
    direction = max(controllable, total, key=_FROM_BEST_TO_WORST.index)
    reasons = list(comparison.waiting.not_claimed)
    if controllable == "no_measurable_change":
        reasons.append(
            "the change is inside its 95 % interval over the repeated runs, which contains zero"
            if interval
            else f"the change is inside the repeatability of {percent_text(comparison.repeatability_percent)}"
        )
    text = _claim_text(comparison, controllable, worse=None if direction == controllable else direction)
    return Headline(status="claimed", direction=direction, text=text, reasons=tuple(reasons))


def _total_direction(comparison: Comparison) -> Direction:
    interval = comparison.replicates.changes.get("emissions_percent") if comparison.replicates else None
    return _direction(comparison, comparison.changes.emissions_percent or 0.0, interval)


def _waiting_direction(comparison: Comparison) -> Direction:
    avoided = comparison.replicates.waiting_avoided_percent if comparison.replicates else None
    interval = Interval(low=-avoided.high, high=-avoided.low) if avoided else None
    return _direction(comparison, -(comparison.waiting.avoided_percent or 0.0), interval)


def _direction(comparison: Comparison, change_percent: float, interval: Interval | None) -> Direction:
    """Return the direction of a change; one within the noise has none.

    :param interval: of the change over several runs; it then replaces the repeatability that is assumed.
    """
    repeatability_percent = comparison.repeatability_percent
    if interval.low <= 0 <= interval.high if interval else abs(change_percent) <= repeatability_percent:
        return "no_measurable_change"
    return "lower" if change_percent < 0 else "higher"


def _waiting_alone(comparison: Comparison) -> str:
    """Return the waiting part, which needs no baseline; empty where something about the run itself bars it."""
    if _unsound_run(comparison) or comparison.waiting.not_claimed:
        return ""
    return " " + _waiting_sentence(comparison, _waiting_direction(comparison))


def _unsound_run(comparison: Comparison) -> list[str]:
    return _reasons(comparison, simulated_reasons, *UNSOUND, sides=("run",))


# The headline's sentences: a worse result is reported in the same way as a better one.


def named(records: Sequence[TrainingRecord], side: Side) -> Iterator[tuple[TrainingRecord, str]]:
    """Yield each record with its name in a sentence: ``run``, or ``2nd run`` of several."""
    for number, record in enumerate(records, 1):
        yield record, side if len(records) == 1 else f"{_ordinal(number)} {side}"


def _claim_text(comparison: Comparison, controllable: Direction, *, worse: Direction | None) -> str:
    """Return what the controllable parts did, then all the figures.

    :param worse: the direction of the total where it is worse than that of the controllable parts; it then comes first.
    """
    lead = _controllable_sentence(comparison, controllable)
    if worse == "higher":
        lead = f"{_higher_total(comparison)}, though {lead}"
    elif worse is not None:
        change = change_text(comparison.changes.emissions_percent)
        lead = f"emissions had no measurable change against the baseline's ({change}), though {lead}"
    return f"{lead[0].upper()}{lead[1:]}: {_figures(comparison)}. {_accuracy(comparison)}"


def _accuracy(comparison: Comparison) -> str:
    """Return the change in accuracy, with its interval over several runs a side: seeds differ by more than many changes."""
    points = points_text(comparison.changes.accuracy_points)
    interval = comparison.replicates.changes.get("accuracy_points") if comparison.replicates else None
    if interval is None:
        return f"Test accuracy {points}."
    bounds = f"95 % interval {points_text(interval.low)} to {points_text(interval.high)}"
    # not "no measurable change": with few seeds the bounds are wide, and a loss may be real
    zero = ", which may be zero" if interval.low <= 0 <= interval.high else ""
    return f"Test accuracy {points}{zero} ({bounds})."


def _higher_total(comparison: Comparison) -> str:
    return f"emissions were {percent_text(comparison.changes.emissions_percent or 0.0)} higher than the baseline's"


def _controllable_sentence(comparison: Comparison, direction: Direction) -> str:
    """Return what the controllable parts did to emissions, with the interval over several runs."""
    found, replicates = comparison.controllable, comparison.replicates
    if found is None:
        raise ValueError("nothing is attributed, so nothing is controllable")
    parts, interval = " and ".join(found.parts), replicates.controllable_percent if replicates else None
    bounds = f"95 % interval {change_text(interval.low)} to {change_text(interval.high)}" if interval else ""
    if direction == "no_measurable_change":
        change = change_text(found.change_percent)
        return f"{parts} made no measurable change to emissions ({change}{', ' * bool(bounds)}{bounds})"
    change = percent_text(abs(found.change_percent))
    sentence = f"{parts} made emissions {change} {direction} than they would have been"
    return f"{sentence} ({bounds})" if bounds else sentence


def _figures(comparison: Comparison) -> str:
    """Return before and after in grams, and the parts, the controllable ones first."""
    baselines, runs = runs_of(comparison, "baseline"), runs_of(comparison, "run")
    after = grams_text(mean_emissions(runs))
    if comparison.controllable is None:
        return f"the run emitted {after}"
    names, wait = comparison.controllable.parts, comparison.waiting
    external = wait.no_wait is not None or wait.queue_bars_claim or wait.avoided_percent is None
    not_claimed = () if "waiting" in names or external else ("waiting",)
    others = tuple(part.key for part in reversed(PARTS) if part.key not in (*names, *not_claimed))
    n, m = len(baselines), len(runs)
    means = f", means of {n} and {m} runs" if max(n, m) > 1 else ""
    return (
        f"{grams_text(mean_emissions(baselines))} before, {after} now{means}"
        f" ({change_text(comparison.changes.emissions_percent)}); controllable: {_grams_of(comparison, names)};"
        f"{f' not claimed: {_grams_of(comparison, not_claimed)};' if not_claimed else ''}"
        f" external: {_grams_of(comparison, others)}"
    )


def _waiting_sentence(comparison: Comparison, direction: Direction) -> str:
    """Return what the wait did to the run's own emissions."""
    change = -(comparison.waiting.avoided_percent or 0.0)
    several = len(runs_of(comparison, "run")) > 1
    wait = f"Waiting {duration_text(comparison.waiting.wait_s)}{' on average' if several else ''}"
    whose = "these runs'" if several else "this run's"
    if direction == "no_measurable_change":
        return f"{wait} made no measurable change to {whose} emissions ({change_text(change)})."
    return (
        f"{wait} made {whose} emissions {percent_text(abs(change))} {direction} than the same energy at submission"
        " would have."
    )


def _grams_of(comparison: Comparison, names: Sequence[str]) -> str:
    parts = comparison.attribution_gco2eq.model_dump()
    return ", ".join(f"{name.replace('_', ' ')} {signed_grams_text(parts[name])}" for name in names)


def _ordinal(number: int) -> str:
    teens = 10 < number % 100 < 20
    return f"{number}{'th' if teens else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"


# What a reader should know of a single run; what two runs do not have in common is in ``comparability``.


def age_notes(baseline: TrainingRecord, who: str, settings: ReportConfig, now: datetime) -> list[str]:
    """Return a note on a baseline that is older than it should be; a replayed run's age is that of the real run."""
    age = now - baseline.real(baseline.ended_at)
    if age <= settings.baseline_max_age:
        return []
    limit = format_duration(settings.baseline_max_age)
    return [f"the {who} is {age.days} days old, more than {limit}; run baseline_training again"]


def run_notes(record: TrainingRecord, who: str) -> list[str]:
    """Return what is unusual about a single run."""
    found = [f"the {who}'s measuring: {problem}" for problem in record.problems]
    found += [f"the {who}'s training warned: {warning}" for warning in record.warnings]
    if record.attempts > 1:
        found.append(f"the {who} took {record.attempts} attempts; energy and time include all of them")
    if who.endswith("baseline") and record.wait_s > 0 and record.policy != "immediate":
        found.append(
            f"the {who} waited {duration_text(record.wait_s)} itself (policy {record.policy}); grid conditions include that"
        )
    return found
