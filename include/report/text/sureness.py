"""How fair and how sure a comparison is, in sentences and rows; plain text, escaped where it is rendered."""

from collections.abc import Iterator

from include.report.model import Difference, Interval, Report
from include.report.text import figures
from include.report.text.accuracy import accuracy_sentences

_BARS = {"comparison": "any claim about the change", "efficiency": "a claim about efficiency", "nothing": "nothing"}
_CHANGES = {
    "emissions_percent": "emissions",
    "energy_percent": "energy",
    "mean_intensity_percent": "mean carbon intensity",
    "peak_memory_percent": "peak memory",
    "accuracy_points": "test accuracy",
    "duration_percent": "duration",
}

FAIRNESS_HEADER = ("What differs", "Baseline", "Run", "Bars", "What it means")
INTERVAL_HEADER = ("Figure", "Change", "From", "To")


def fairness_sentence(report: Report) -> str:
    """Say how much was held against one another, and how much of it differs."""
    checked, found = len(report.fairness.checked), len(report.fairness.differences)
    if not checked:
        return "There was nothing to hold the run against."
    differs = {0: "none differs", 1: "one differs"}.get(found, f"{found} differ")
    return f"{checked} things that should agree were held against one another: {differs}."


def fairness_rows(report: Report) -> list[tuple[str, ...]]:
    """Return a row for each difference, those that bar most first."""
    ranked = sorted(report.fairness.differences, key=lambda d: list(_BARS).index(d.bars))
    return [_row(difference) for difference in ranked]


def sureness_sentences(report: Report) -> Iterator[str]:
    """Say how large a change would have to be, by repeated runs and by the methods' known errors."""
    repeats = report.repeats
    if repeats is None and report.baseline is not None:
        yield (
            "One run a side: how far such runs spread is not measured, but assumed; a change within"
            f" {_assumed(report)} counts as none."
        )
    if repeats is not None and repeats.without_interval is not None:
        yield f"The changes have no interval: {repeats.without_interval}."
    if repeats is not None and repeats.without_interval is None:
        yield (
            f"{len(repeats.baselines)} baselines and {len(repeats.runs)} runs; intervals of"
            f" {repeats.confidence_percent:g} % by {repeats.method}."
        )
    yield from _known_errors(report)
    yield from accuracy_sentences(report)


def interval_rows(report: Report) -> list[tuple[str, ...]]:
    """Return a row for each change that has an interval."""
    if report.repeats is None:
        return []
    changes, intervals = report.changes.model_dump(), report.repeats.changes
    rows = [(label, *_texts(key, changes[key], intervals[key])) for key, label in _CHANGES.items() if key in intervals]
    parts = report.attribution_gco2eq.model_dump()
    return rows + [
        (key.replace("_", " "), *(figures.signed_grams_text(value) for value in (parts[key], found.low, found.high)))
        for key, found in report.repeats.attribution_gco2eq.items()
    ]


def _assumed(report: Report) -> str:
    name, percent = "report.repeatability_percent", report.repeatability_percent
    return name if percent is None else f"{percent:g} % ({name})"


def _texts(key: str, value: float, interval: Interval) -> tuple[str, ...]:
    text = figures.points_text if key == "accuracy_points" else figures.change_text
    return tuple(text(figure) for figure in (value, interval.low, interval.high))


def _known_errors(report: Report) -> Iterator[str]:
    errors = report.known_errors
    if errors is None or errors.emissions_percent is None:
        return
    low, high = (figures.change_text(end) for end in (errors.emissions_percent.low, errors.emissions_percent.high))
    yield (
        "If every method erred as far as its known error goes, and differently in the two runs, the change of emissions would"
        f" lie between {low} and {high}."
    )
    yield (
        "The methods and the device are the same on both sides, so that a meter's error is in both and cancels in the percentages."
        if errors.same_meters
        else "The methods or the devices are not the same, so that a meter's error does not cancel."
    )


def _row(difference: Difference) -> tuple[str, ...]:
    return (difference.label, difference.baseline, difference.run, _BARS[difference.bars], difference.why)
