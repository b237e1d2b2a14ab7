"""What may be said about a comparison: the rules for claims, in the order in which they bar one, and their sentences."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from lowtide.config.schema import ReportConfig
from lowtide.records import TrainingRecord
from lowtide.report.attribution import (
    changes_of,
    controllable_of,
    credited,
    mean_emissions,
    parts_of,
    queued_reasons,
    waited,
    waiting_barred,
    waiting_part,
)
from lowtide.report.comparability import METERS, agree_on, barring, comparability_of
from lowtide.report.data_quality import UNSOUND, Rule, estimated_energy_reasons, simulated_reasons
from lowtide.report.figures import PARTS
from lowtide.report.model import (
    AttributionParts,
    Changes,
    Comparability,
    Controllable,
    Direction,
    Headline,
    Interval,
    KnownErrors,
    Replicates,
    Waiting,
)
from lowtide.report.replicates import replicates_of
from lowtide.report.statistics import known_errors
from lowtide.report.waiting import WaitEvidence, mean_waiting, waiting_of
from lowtide.timeutil import format_duration
from lowtide.units import change_text, duration_text, grams_text, percent_text, points_text, signed_grams_text

Records = Sequence[TrainingRecord]

HOW_TO_MAKE_A_BASELINE = (
    "make one with: airflow dags trigger baseline_training, or on the command line with: lowtide train"
    " include/configs/baseline.yaml --output DIR (of this run's model, data, zone and effective batch), and compare with"
    " --baseline DIR"
)
"""Both ways: a run of either may be compared on the command line, and a report is read far from where it was made."""

_FROM_BEST_TO_WORST: tuple[Direction, ...] = ("lower", "no_measurable_change", "higher")


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Records and what follows from them; the input of the headline's rules. Without a baseline, ``baselines`` is empty."""

    baselines: tuple[TrainingRecord, ...]
    runs: tuple[TrainingRecord, ...]
    comparability: Comparability
    changes: Changes
    parts: AttributionParts
    controllable: Controllable | None
    waiting: Waiting
    queued: bool
    waiting_barred: tuple[str, ...]
    known_errors: KnownErrors | None
    replicates: Replicates | None
    notes: tuple[str, ...]


def compared(baselines: Records, runs: Records, evidence: Sequence[WaitEvidence | None]) -> Comparison:
    """Return all figures of a comparison; None wherever two figures do not mean the same thing.

    :param evidence: of the runs' waits, in their order.
    :raises ArtifactError: a record contradicts itself.
    """
    queued = queued_reasons(runs, evidence)
    comparability = comparability_of(baselines, runs)
    names = credited(baselines, runs, comparability, queued=bool(queued))
    waits = [waiting_of(run, found) for run, found in zip(runs, evidence, strict=True)]
    parts, notes = _attribution(baselines, runs, comparability)
    return Comparison(
        baselines=tuple(baselines),
        runs=tuple(runs),
        comparability=comparability,
        changes=changes_of(baselines, runs, comparability) if baselines else Changes(),
        parts=parts,
        controllable=controllable_of(parts, baselines, runs, names),
        waiting=waits[0] if len(waits) == 1 else mean_waiting(runs, waits),
        queued=bool(queued),
        waiting_barred=tuple(queued or waiting_barred(runs)),
        known_errors=known_errors(
            baselines, runs, same_meters=agree_on(comparability, METERS), comparable=parts.total is not None
        ),
        replicates=replicates_of(baselines, runs, waits, comparability, names),
        notes=tuple(notes),
    )


def _attribution(baselines: Records, runs: Records, comparability: Comparability) -> tuple[AttributionParts, list[str]]:
    whole = parts_of(baselines or runs, runs)  # also without a baseline: a record must agree with itself
    unknown = _not_separated(runs)
    if not baselines:
        return waiting_part(runs), unknown
    if barring(comparability, "comparison"):
        return waiting_part(runs), ["the change in emissions is not attributed, because the runs are not comparable"]
    return whole, unknown


def _not_separated(runs: Records) -> list[str]:
    found = []
    for run in runs:
        at_submission = run.counterfactual
        if at_submission is None:
            found.append("is not known")
        elif at_submission.emissions_gco2eq == 0 and run.emissions_gco2eq > 0:
            found.append("was zero")
    return [
        f"waiting cannot be separated from grid conditions: the grid's intensity at submission {why}"
        for why in dict.fromkeys(found)
    ]


def headline(comparison: Comparison, *, repeatability_percent: float) -> Headline:
    """Apply the rules: no baseline, simulated, unsettled, not comparable, estimated energy, and only then a claim."""
    if not comparison.baselines:
        return _no_baseline(comparison, repeatability_percent)
    estimated = _of_both(comparison, estimated_energy_reasons)
    if estimated:
        estimated.append("estimated energy supports no claim about efficiency or the total")
    if simulated := _of_both(comparison, simulated_reasons):
        return _simulated(comparison, [*simulated, *barring(comparison.comparability, "comparison"), *estimated])
    if barred := _barred(comparison):
        return _withheld(comparison, barred, repeatability_percent)
    if no_efficiency := [*estimated, *barring(comparison.comparability, "efficiency")]:
        return _waiting_only(comparison, no_efficiency, repeatability_percent)
    return _claimed(comparison, repeatability_percent)


def direction_of(change_percent: float, repeatability_percent: float, interval: Interval | None = None) -> Direction:
    """Return the direction of a change; one within the noise has none.

    :param interval: of the change over several runs; it then replaces the repeatability that is assumed.
    """
    within = interval.low <= 0 <= interval.high if interval else abs(change_percent) <= repeatability_percent
    if within:
        return "no_measurable_change"
    return "lower" if change_percent < 0 else "higher"


def _of_both(comparison: Comparison, *rules: Rule) -> list[str]:
    both = [*named(comparison.baselines, "baseline"), *named(comparison.runs, "run")]
    return [reason for rule in rules for record, who in both for reason in rule(record, who)]


def _barred(comparison: Comparison) -> list[str]:
    reasons = [*_of_both(comparison, *UNSOUND), *barring(comparison.comparability, "comparison")]
    if not reasons and comparison.changes.emissions_percent is None:
        reasons.append("the baseline's emissions are zero, so no percentage exists")
    return reasons


def _no_baseline(comparison: Comparison, repeatability_percent: float) -> Headline:
    why = "no baseline was given, or none has the same comparison key"
    text = f"Nothing to compare with: {why}; {HOW_TO_MAKE_A_BASELINE}."
    return Headline(
        status="no_baseline",
        direction=None,
        text=text + _waiting_alone(comparison, repeatability_percent),
        reasons=(why, *_unsound_run(comparison)),
    )


def _simulated(comparison: Comparison, reasons: list[str]) -> Headline:
    text = f"Simulated, nothing is claimed. In the simulation: {_figures(comparison)}."
    return Headline(status="simulated", direction=None, text=text, reasons=tuple(reasons))


def _withheld(comparison: Comparison, reasons: list[str], repeatability_percent: float) -> Headline:
    text = f"No claim: {'; '.join(reasons)}.{_waiting_alone(comparison, repeatability_percent)}"
    return Headline(status="withheld", direction=None, text=text, reasons=tuple(reasons))


def _waiting_only(comparison: Comparison, no_efficiency: list[str], repeatability_percent: float) -> Headline:
    """Claim the one quotient in which a meter's error always cancels: this run as it ran against itself at submission."""
    if barred := comparison.waiting_barred:
        return _withheld(comparison, [*no_efficiency, *barred], repeatability_percent)
    direction = _waiting_direction(comparison, repeatability_percent)
    text = f"{_waiting_sentence(comparison, direction)} Nothing else is claimed: {no_efficiency[0]}."
    if direction != "higher" and _total_direction(comparison, repeatability_percent) == "higher":
        text += f" By the figures as they are, {_higher_total(comparison)}."
    return Headline(status="claimed", direction=direction, text=text, reasons=tuple(no_efficiency))


def _claimed(comparison: Comparison, repeatability_percent: float) -> Headline:
    """Claim what waiting and efficiency did, and never more than the total shows: grid conditions are external."""
    interval = comparison.replicates.controllable_percent if comparison.replicates else None
    change_percent = comparison.controllable.change_percent if comparison.controllable else 0.0
    controllable = direction_of(change_percent, repeatability_percent, interval)
    total = _total_direction(comparison, repeatability_percent)
    direction = max(controllable, total, key=_FROM_BEST_TO_WORST.index)
    reasons = list(comparison.waiting_barred)
    if controllable == "no_measurable_change":
        reasons.append(
            "the change is inside its 95 % interval over the repeated runs, which contains zero"
            if interval
            else f"the change is inside the repeatability of {percent_text(repeatability_percent)}"
        )
    text = _claim_text(comparison, controllable, worse=None if direction == controllable else direction)
    return Headline(status="claimed", direction=direction, text=text, reasons=tuple(reasons))


def _total_direction(comparison: Comparison, repeatability_percent: float) -> Direction:
    interval = comparison.replicates.changes.get("emissions_percent") if comparison.replicates else None
    return direction_of(comparison.changes.emissions_percent or 0.0, repeatability_percent, interval)


def _waiting_direction(comparison: Comparison, repeatability_percent: float) -> Direction:
    change, replicates = -(comparison.waiting.avoided_percent or 0.0), comparison.replicates
    avoided = replicates.waiting_avoided_percent if replicates else None
    interval = Interval(low=-avoided.high, high=-avoided.low) if avoided else None
    return direction_of(change, repeatability_percent, interval)


def _waiting_alone(comparison: Comparison, repeatability_percent: float) -> str:
    """Return the waiting part, which needs no baseline; empty where something about the run itself bars it."""
    if _unsound_run(comparison) or comparison.waiting_barred:
        return ""
    return " " + _waiting_sentence(comparison, _waiting_direction(comparison, repeatability_percent))


def _unsound_run(comparison: Comparison) -> list[str]:
    rules = (simulated_reasons, *UNSOUND)
    return [reason for rule in rules for run, who in named(comparison.runs, "run") for reason in rule(run, who)]


# The headline's sentences: a worse result is reported in the same way as a better one.


def named(records: Records, side: str) -> Iterator[tuple[TrainingRecord, str]]:
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
    after = grams_text(mean_emissions(comparison.runs))
    if comparison.controllable is None:
        return f"the run emitted {after}"
    before, names = grams_text(mean_emissions(comparison.baselines)), comparison.controllable.parts
    doubtful = "waiting" not in names and waited(comparison.runs) and not comparison.queued
    not_claimed = ("waiting",) if doubtful else ()
    external = tuple(part.key for part in reversed(PARTS) if part.key not in (*names, *not_claimed))
    n, m = len(comparison.baselines), len(comparison.runs)
    means = f", means of {n} and {m} runs" if max(n, m) > 1 else ""
    return (
        f"{before} before, {after} now{means} ({change_text(comparison.changes.emissions_percent)});"
        f" controllable: {_grams_of(comparison, names)};"
        f"{f' not claimed: {_grams_of(comparison, not_claimed)};' if not_claimed else ''}"
        f" external: {_grams_of(comparison, external)}"
    )


def _waiting_sentence(comparison: Comparison, direction: Direction) -> str:
    """Return what the wait did to the run's own emissions."""
    change = -(comparison.waiting.avoided_percent or 0.0)
    several = len(comparison.runs) > 1
    wait = f"Waiting {duration_text(comparison.waiting.wait_s)}{' on average' if several else ''}"
    whose = "these runs'" if several else "this run's"
    if direction == "no_measurable_change":
        return f"{wait} made no measurable change to {whose} emissions ({change_text(change)})."
    return (
        f"{wait} made {whose} emissions {percent_text(abs(change))} {direction} than the same energy at submission"
        " would have."
    )


def _grams_of(comparison: Comparison, names: Sequence[str]) -> str:
    parts = comparison.parts.model_dump()
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
