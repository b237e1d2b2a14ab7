"""How sure the accuracies of single runs are, in sentences."""

from collections.abc import Iterator

from include.report.accuracy import AccuracySampling
from include.report.model import Interval, Report
from include.report.text import figures


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
        yield _judged(found, found.change_points, figures.points_text(report.changes.accuracy_points))


def bounds_text(interval: Interval) -> str:
    """Write the bounds of an accuracy."""
    return f"{interval.low:.2f} to {interval.high:.2f} %"


def open_text(interval: Interval) -> str:
    """Write between which bounds a change in accuracy lies."""
    return f"{figures.points_text(interval.low).removesuffix(' points')} to {figures.points_text(interval.high)}"


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
