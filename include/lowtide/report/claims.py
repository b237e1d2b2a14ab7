"""What may be said about a comparison: the rules for claims, in the order in which they bar one."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from lowtide import units
from lowtide.config.schema import ReportConfig
from lowtide.records import TrainingRecord
from lowtide.report.attribution import (
    changes_of,
    credited,
    mean_emissions,
    ours_of,
    parts_of,
    queued_reasons,
    waited,
    waiting_barred,
    waiting_part,
)
from lowtide.report.comparability import METERS, agree_on, barring, fairness_of
from lowtide.report.data_quality import (
    estimated_energy_reasons,
    forecast_reasons,
    foreign_signal_reasons,
    incomplete_energy_reasons,
    simulated_reasons,
    unvalued_energy_reasons,
)
from lowtide.report.model import (
    AccuracySampling,
    AttributionParts,
    Changes,
    Direction,
    Fairness,
    Headline,
    Interval,
    KnownErrors,
    Ours,
    Repeats,
    Report,
    Waiting,
)
from lowtide.report.replicates import repeats_of
from lowtide.report.statistics import accuracy_sampling, known_errors
from lowtide.report.waiting import WaitEvidence, mean_waiting, waiting_of
from lowtide.timeutil import format_duration
from lowtide.units import change_text, duration_text, grams_text, percent_text, points_text, signed_grams_text

# The figures of a comparison: changes in percent, parts in grams, what waiting avoided, and how sure all that is.


Records = Sequence[TrainingRecord]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Records and what follows from them; the input of the headline's rules. Without a baseline, ``baselines`` is empty."""

    baselines: tuple[TrainingRecord, ...]
    runs: tuple[TrainingRecord, ...]
    fairness: Fairness
    changes: Changes
    parts: AttributionParts
    ours: Ours | None
    waiting: Waiting
    queued: bool
    waiting_barred: tuple[str, ...]
    known_errors: KnownErrors | None
    repeats: Repeats | None
    accuracy: AccuracySampling | None
    notes: tuple[str, ...]


def compared(baselines: Records, runs: Records, evidence: Sequence[WaitEvidence | None]) -> Comparison:
    """Return all figures of a comparison; None wherever two figures do not mean the same thing.

    :param evidence: of the runs' waits, in their order.
    :raises ArtifactError: a record contradicts itself.
    """
    queued = queued_reasons(runs, evidence)
    fairness = fairness_of(baselines, runs)
    names = credited(baselines, runs, fairness, queued=bool(queued))
    waits = [waiting_of(run, found) for run, found in zip(runs, evidence, strict=True)]
    parts, notes = _attribution(baselines, runs, fairness)
    return Comparison(
        baselines=tuple(baselines),
        runs=tuple(runs),
        fairness=fairness,
        changes=changes_of(baselines, runs, fairness) if baselines else Changes(),
        parts=parts,
        ours=ours_of(parts, baselines, runs, names),
        waiting=waits[0] if len(waits) == 1 else mean_waiting(runs, waits),
        queued=bool(queued),
        waiting_barred=tuple(queued or waiting_barred(runs)),
        known_errors=known_errors(
            baselines, runs, same_meters=agree_on(fairness, METERS), comparable=parts.total is not None
        ),
        repeats=repeats_of(baselines, runs, waits, fairness, names),
        accuracy=_accuracy(baselines, runs, fairness),
        notes=tuple(notes),
    )


def _accuracy(baselines: Records, runs: Records, fairness: Fairness) -> AccuracySampling | None:
    """Return how sure single runs are; of several, their spread tells more."""
    if len(runs) > 1 or len(baselines) > 1:
        return None
    same_data = agree_on(fairness, ("data",))
    return accuracy_sampling(baselines[0] if baselines else None, runs[0], same_data=same_data)


def _attribution(baselines: Records, runs: Records, fairness: Fairness) -> tuple[AttributionParts, list[str]]:
    whole = parts_of(baselines or runs, runs)  # also without a baseline: a record must agree with itself
    unknown = _not_separated(runs)
    if not baselines:
        return waiting_part(runs), unknown
    if barring(fairness, "comparison"):
        return waiting_part(runs), ["the change in emissions is not attributed, because the two are not comparable"]
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


# How sure the accuracies of single runs are, in sentences.


def accuracy_sentences(report: Report) -> Iterator[str]:
    """Yield each run's interval, and whether the change is more than the choice of the test samples may have made."""
    found = report.accuracy
    if found is None:
        return
    sides = (
        ("the baseline's", found.baseline_percent, found.baseline_test_samples),
        ("the run's", found.run_percent, found.run_test_samples),
    )
    told = [f"{who} {bounds_text(interval)} ({samples:,} test samples)" for who, interval, samples in sides if interval]
    yield f"Test accuracy, {found.confidence_percent:g} % Wilson score interval: {', '.join(told)}."
    if found.change_points is not None and report.changes.accuracy_points is not None:
        yield _judged(found, found.change_points, units.points_text(report.changes.accuracy_points))


def bounds_text(interval: Interval) -> str:
    """Write the bounds of an accuracy."""
    return f"{interval.low:.2f} to {interval.high:.2f} %"


def open_text(interval: Interval) -> str:
    """Write between which bounds a change in accuracy lies."""
    return f"{units.points_text(interval.low).removesuffix(' points')} to {units.points_text(interval.high)}"


def samples_text(found: AccuracySampling) -> str:
    """Write how many test samples there were."""
    counts = dict.fromkeys(f"{count:,}" for count in (found.baseline_test_samples, found.run_test_samples) if count)
    return f"{' and '.join(counts)} test samples"


def _judged(found: AccuracySampling, change: Interval, points: str) -> str:
    more = "more than" if found.beyond_sampling else "no more than"
    verdict = f"The change of {points} is {more} the choice of the test samples alone may make: {open_text(change)}"
    if found.baseline_test_samples != found.run_test_samples:
        return (
            f"{verdict} (Newcombe 1998); the two test sets are not the same size. What another seed does is not in it."
        )
    return (
        f"{verdict}, if each run had drawn its own (Newcombe 1998). Both saw the same test set and mostly err on the same"
        " samples, so these bounds are wider than need be: a change within them may be real all the same, but which samples each"
        " got right is not kept. What another seed does is not in them."
    )


# The sentences of a headline: plain, with a worse result said as a better one would be.


_PARTS = ("waiting", "efficiency", "grid_conditions", "work")


def named(records: Sequence[TrainingRecord], side: str) -> Iterator[tuple[TrainingRecord, str]]:
    """Yield each record with what it is called: ``run``, or ``2nd run`` of several."""
    for number, record in enumerate(records, 1):
        yield record, side if len(records) == 1 else f"{_ordinal(number)} {side}"


def claim_text(comparison: Comparison, ours_direction: Direction, *, worse: Direction | None) -> str:
    """Say what our parts did, then all the figures.

    :param worse: the direction of the total where it is worse than that of our parts; then that comes first.
    """
    lead = ours_sentence(comparison, ours_direction)
    if worse == "higher":
        lead = f"{higher_total(comparison)}, though {lead}"
    elif worse is not None:
        change = change_text(comparison.changes.emissions_percent)
        lead = f"emissions had no measurable change against the baseline's ({change}), though {lead}"
    return f"{lead[0].upper()}{lead[1:]}: {figures_text(comparison)}. {_wording_accuracy(comparison)}"


def _wording_accuracy(comparison: Comparison) -> str:
    """Say the change in accuracy, and with several runs a side how sure it is: seeds differ by more than many a change."""
    points = points_text(comparison.changes.accuracy_points)
    interval = comparison.repeats.changes.get("accuracy_points") if comparison.repeats else None
    if interval is None:
        return _single_accuracy(comparison.accuracy, points)
    sure = f"95 % interval {points_text(interval.low)} to {points_text(interval.high)}"
    if (
        interval.low <= 0 <= interval.high
    ):  # not "no measurable change": with few seeds the bounds are wide, and a loss may be real
        return f"Test accuracy {points}, which may be none ({sure})."
    return f"Test accuracy {points} ({sure})."


def _single_accuracy(sampling: AccuracySampling | None, points: str) -> str:
    """Say it of one run a side, where it is known how many test samples there were."""
    if sampling is None or sampling.change_points is None:
        return f"Test accuracy {points}."
    may_be = f"{samples_text(sampling)} leave {open_text(sampling.change_points)} open"
    if not sampling.beyond_sampling:
        return f"Test accuracy {points}, which may be none ({may_be})."
    return f"Test accuracy {points} ({may_be})."


def higher_total(comparison: Comparison) -> str:
    """Say that the total is higher, by how much."""
    return f"emissions were {percent_text(comparison.changes.emissions_percent or 0.0)} higher than the baseline's"


def ours_sentence(comparison: Comparison, direction: Direction) -> str:
    """Say what our parts did to emissions, with the interval over several runs."""
    ours, repeats = comparison.ours, comparison.repeats
    if ours is None:
        raise ValueError("nothing is attributed, so nothing is ours")
    who, sure = " and ".join(ours.parts), interval_text(repeats.ours_percent if repeats else None)
    if direction == "no_measurable_change":
        return f"{who} made no measurable change to emissions ({change_text(ours.change_percent)}{sure})"
    told = f"{who} made emissions {percent_text(abs(ours.change_percent))} {direction} than they would have been"
    return told + (f" ({sure.removeprefix(', ')})" if sure else "")


def figures_text(comparison: Comparison) -> str:
    """Say before and after in grams, and the parts, ours first."""
    after = mean_emissions(comparison.runs)
    if comparison.ours is None:
        return f"the run emitted {grams_text(after)}"
    before, names = mean_emissions(comparison.baselines), comparison.ours.parts
    waited_for_the_grid = waited(comparison.runs) and not comparison.queued
    doubted = ("waiting",) if "waiting" not in names and waited_for_the_grid else ()
    not_ours = tuple(part for part in _PARTS if part not in (*names, *doubted))
    change = change_text(comparison.changes.emissions_percent)
    mean = _means(comparison)
    return (
        f"{grams_text(before)} before, {grams_text(after)} now{mean} ({change}); ours: {_parts(comparison, names)};"
        f"{f' not claimed: {_parts(comparison, doubted)};' if doubted else ''} not ours: {_parts(comparison, not_ours)}"
    )


def waiting_sentence(comparison: Comparison, direction: Direction) -> str:
    """Say what the wait did to the run's own energy."""
    change = -(comparison.waiting.avoided_percent or 0.0)
    several = " on average" if len(comparison.runs) > 1 else ""
    waited = f"Waiting {duration_text(comparison.waiting.wait_s)}{several}"
    whose = "these runs'" if several else "this run's"
    if direction == "no_measurable_change":
        return f"{waited} made no measurable change to {whose} emissions ({change_text(change)})."
    return (
        f"{waited} made {whose} emissions {percent_text(abs(change))} {direction} than the same energy at"
        " submission would have."
    )


def interval_text(interval: Interval | None) -> str:
    """Write an interval after a comma; nothing where there is none."""
    return f", 95 % interval {change_text(interval.low)} to {change_text(interval.high)}" if interval else ""


def _means(comparison: Comparison) -> str:
    n, m = len(comparison.baselines), len(comparison.runs)
    return f", means of {n} and {m} runs" if max(n, m) > 1 else ""


def _parts(comparison: Comparison, names: Sequence[str]) -> str:
    parts = comparison.parts.model_dump()
    return ", ".join(f"{name.replace('_', ' ')} {signed_grams_text(parts[name])}" for name in names)


def _ordinal(number: int) -> str:
    teens = 10 < number % 100 < 20
    return f"{number}{'th' if teens else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"


_FROM_BEST_TO_WORST: tuple[Direction, ...] = ("lower", "no_measurable_change", "higher")
HOW_TO_MAKE_A_BASELINE = (
    "make one with: airflow dags trigger baseline_training, or on the command line with: lowtide train"
    " include/configs/baseline.yaml --output DIR (of this run's model, data, zone and effective batch), and compare with"
    " --baseline DIR"
)
"""Both ways: a run of either may be compared on the command line, and a report is read far from where it was made."""

_Rule = Callable[[TrainingRecord, str], list[str]]
_UNSOUND: tuple[_Rule, ...] = (
    forecast_reasons,
    foreign_signal_reasons,
    unvalued_energy_reasons,
    incomplete_energy_reasons,
)


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


# What a reader should know of a single run before comparing; what two do not have in common is in ``fairness``.


def age_notes(baseline: TrainingRecord, who: str, settings: ReportConfig, now: datetime) -> list[str]:
    """Say that a baseline is older than it should be; a replayed run's age is that of the real run."""
    ended_at = baseline.ended_at if baseline.replay is None else baseline.replay.real(baseline.ended_at)
    age = now - ended_at
    if age <= settings.baseline_max_age:
        return []
    limit = format_duration(settings.baseline_max_age)
    return [f"the {who} is {age.days} days old, more than {limit}; run baseline_training again"]


def run_notes(record: TrainingRecord, who: str) -> list[str]:
    """Say what is unusual about a single run."""
    found = [f"the {who}'s measuring: {problem}" for problem in record.problems]
    found += [f"the {who}'s training warned: {warning}" for warning in record.warnings]
    if record.attempts > 1:
        found.append(f"the {who} took {record.attempts} attempts; energy and time include all of them")
    if who.endswith("baseline") and record.wait_s > 0 and record.policy != "immediate":
        found.append(
            f"the {who} waited {duration_text(record.wait_s)} itself (policy {record.policy}); grid conditions"
            " include that"
        )
    return found
