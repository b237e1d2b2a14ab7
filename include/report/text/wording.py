"""The sentences of a headline: plain, with a worse result said as a better one would be."""

from collections.abc import Iterator, Sequence

from include.records import TrainingRecord
from include.report.accuracy import AccuracySampling
from include.report.changes import Comparison
from include.report.model import Direction, Interval
from include.report.ours import waited
from include.report.sides import mean_emissions
from include.report.text.accuracy import open_text, samples_text
from include.report.text.figures import (
    change_text,
    duration_text,
    grams_text,
    percent_text,
    points_text,
    signed_grams_text,
)

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
    return f"{lead[0].upper()}{lead[1:]}: {figures_text(comparison)}. {_accuracy(comparison)}"


def _accuracy(comparison: Comparison) -> str:
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
