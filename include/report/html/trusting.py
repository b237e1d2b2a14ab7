"""What speaks for and against a report's figures, in one column beside them."""

from collections.abc import Callable, Iterator

from include.report.html.parts import Facts
from include.report.html.words import KIND_MEANING
from include.report.model import Report, RunFigures
from include.report.text import figures
from include.report.text.accuracy import bounds_text


def trust_of(report: Report) -> Facts:
    """Return the facts, each with a name."""
    return tuple((name, tuple(lines)) for name, lines in _facts(report) if lines)


def shares_text(run: RunFigures) -> str:
    """Write which share of the energy was booked at which kind of intensity."""
    kinds = sorted(run.intensity_kinds.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{KIND_MEANING[kind]} {figures.percent_text(100 * share)}" for kind, share in kinds)


def methods_text(run: RunFigures) -> str:
    """Write how the energy of each component was obtained, and its share."""
    energy = run.energy_kwh
    parts = (("CPU", "cpu", energy.cpu), ("GPU", "gpu", energy.gpu), ("RAM", "ram", energy.ram))
    methods = {str(part): str(method) for part, method in energy.methods.items()}
    return ", ".join(
        f"{name} {methods.get(part, 'none')} {figures.percent_text(100 * kwh / energy.total if energy.total else 0.0)}"
        for name, part, kwh in parts
        if kwh
    )


def _facts(report: Report) -> Iterator[tuple[str, list[str]]]:
    yield "Intensity", list(_of_both(report, shares_text))
    yield "Energy", list(_energy(report))
    yield "Known errors", list(_known_errors(report))
    yield "Repetition", [_repetition(report)]
    yield "Test accuracy", list(_accuracy(report))
    yield "Fairness", [_fairness(report)]
    yield "The wait", list(_wait(report))


def _of_both(report: Report, write: Callable[[RunFigures], str]) -> Iterator[str]:
    now = write(report.run)
    if report.baseline is None:
        yield now
    elif (before := write(report.baseline)) == now:
        yield f"{now}, in both"
    else:
        yield from (f"this run: {now}", f"baseline: {before}")


def _energy(report: Report) -> Iterator[str]:
    if report.baseline is None or report.baseline.energy_kwh.methods != report.run.energy_kwh.methods:
        yield from _of_both(report, methods_text)
    else:
        yield f"{methods_text(report.run)}; the same meters in both"


def _known_errors(report: Report) -> Iterator[str]:
    errors = report.known_errors
    if errors is None or errors.emissions_percent is None:
        return
    low, high = (figures.change_text(bound) for bound in (errors.emissions_percent.low, errors.emissions_percent.high))
    yield f"the change lies between {low} and {high} if the two meters err independently"
    if errors.same_meters:
        yield "both runs have the same meters: most of that error is in both, and cancels"


def _repetition(report: Report) -> str:
    repeats = report.repeats
    if repeats is None:
        return "one run a side: how much runs differ by chance is not measured here"
    told = f"{len(repeats.baselines)} baselines and {len(repeats.runs)} runs"
    if repeats.without_interval is not None:
        return f"{told}; no interval: {repeats.without_interval}"
    return f"{told}; {repeats.confidence_percent:g} % intervals"


def _accuracy(report: Report) -> Iterator[str]:
    found = report.accuracy
    if found is None:
        return
    if found.run_percent is not None:
        yield f"{bounds_text(found.run_percent)} by the {found.run_test_samples:,} samples of the test set"
    if found.beyond_sampling is not None:
        more = "more" if found.beyond_sampling else "no more"
        same = found.baseline_test_samples == found.run_test_samples
        bound = (
            "both runs saw the same, so that is an upper bound" if same else "the two test sets are not the same size"
        )
        yield f"the change is {more} than other test samples may make; {bound}"


def _fairness(report: Report) -> str:
    if report.baseline is None:
        return "nothing to hold it against"
    checked, found = len(report.fairness.checked), report.fairness.differences
    told = "no difference" if not found else "1 difference" if len(found) == 1 else f"{len(found)} differences"
    barring = sum(difference.bars != "nothing" for difference in found)
    barred = f", {barring} of which bar a claim" if barring else ""
    return f"{told} in {checked} things that should agree{barred}" if checked else f"{told} found{barred}"


def _wait(report: Report) -> Iterator[str]:
    waiting = report.waiting
    if waiting.deadline is not None:
        met = {True: "met", False: "missed", None: "not known whether met"}[waiting.deadline_met]
        yield f"deadline {met}"
    if waiting.oracle is not None:
        possible, captured = figures.grams_text(waiting.oracle.avoided_gco2eq), waiting.oracle.captured_percent
        share = "" if captured is None else f"; the run got {figures.percent_text(captured)} of it"
        yield f"perfect knowledge would have avoided {possible}{share}"
    elif waiting.oracle_unknown is not None:
        yield "what was possible is not known"
