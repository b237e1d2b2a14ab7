"""The wait in sentences: what it avoided, what it cost in time, and what was possible."""

from collections.abc import Iterator

from include.records import IntensityKind
from include.report.model import Oracle, Report, Waiting
from include.report.text import figures


def waiting_sentences(report: Report) -> Iterator[str]:
    """Yield plain sentences, in the order in which a reader asks."""
    waiting = report.waiting
    several = report.repeats is not None and len(report.repeats.runs) > 1
    waited = figures.duration_text(waiting.wait_s)
    if waiting.no_wait is not None:
        yield f"The time from submission to start, {waited}, was no wait for the grid: {waiting.no_wait}."
    else:
        yield f"The runs waited {waited} on average." if several else f"The run waited {waited}."
        if waiting.queued_s:
            whose = "Of that and the pauses" if waiting.paused_s else "Of that"
            yield (
                f"{whose}, {figures.duration_text(waiting.queued_s)}{' on average' if several else ''} came after the decision to"
                " start: a queue, which is no wait for the grid. What follows holds both, so that none of it is claimed."
            )
    yield _avoided(waiting, "They" if several else "It")
    if report.attribution_gco2eq.total is not None and waiting.avoided_gco2eq is not None:
        yield "The table under Why weighs waiting by the emissions of both runs, this section by the run's alone."
    yield from _cost(waiting, replayed=IntensityKind.REPLAYED in report.run.intensity_kinds)
    if waiting.oracle is not None:
        yield from _oracle(waiting.oracle)
    elif waiting.oracle_unknown is not None:
        yield f"What perfect knowledge would have saved is not known: {waiting.oracle_unknown}."


def _avoided(waiting: Waiting, who: str) -> str:
    if waiting.avoided_gco2eq is None:
        return "What that avoided is not known."
    avoided = figures.grams_text(abs(waiting.avoided_gco2eq))
    share = "" if waiting.avoided_percent is None else f" ({figures.percent_text(abs(waiting.avoided_percent))})"
    verb = "less" if waiting.avoided_gco2eq >= 0 else "more"
    return f"{who} emitted {avoided}{share} {verb} than the same energy would have at submission{_bounds(waiting)}."


def _bounds(waiting: Waiting) -> str:
    if waiting.avoided_low_gco2eq is None or waiting.avoided_high_gco2eq is None or not waiting.avoided_gco2eq:
        return ""
    ends = sorted(map(abs, (waiting.avoided_low_gco2eq, waiting.avoided_high_gco2eq)))
    low, high = map(figures.grams_text, ends)
    return f": between {low} and {high} if the meter errs as far as is known; the percentage does not depend on that"


def _cost(waiting: Waiting, *, replayed: bool) -> Iterator[str]:
    if waiting.later_s > 0:
        pauses = f", {figures.duration_text(waiting.paused_s)} of it in pauses" if waiting.paused_s else ""
        clock = " in replayed time" if replayed else ""
        gained = "" if waiting.no_wait else _per_hour(waiting.avoided_gco2eq_per_hour)
        yield f"It cost {figures.duration_text(waiting.later_s)}{clock} until the result was there{pauses}{gained}."
    if waiting.deadline is not None:
        met = "was met" if waiting.deadline_met else "was missed"
        yield f"The deadline {figures.moment_text(waiting.deadline)} {met}."


def _per_hour(grams: float | None) -> str:
    if not grams:
        return ""
    verb = "avoided" if grams >= 0 else "added"
    return f": {figures.grams_text(abs(grams))} {verb} for each hour of it"


def _oracle(oracle: Oracle) -> Iterator[str]:
    first, last = oracle.segments[0], oracle.segments[-1]
    pieces = "" if len(oracle.segments) == 1 else f" in {len(oracle.segments)} pieces"
    percent = "" if oracle.avoided_percent is None else f" ({figures.percent_text(oracle.avoided_percent)})"
    free = ", with pauses that cost nothing" if oracle.may_pause else ""
    yield (
        f"Perfect knowledge of the grid until {figures.moment_text(oracle.window.end)} would have run this energy from"
        f" {figures.moment_text(first.start)} to {figures.moment_text(last.end)}{pieces} and avoided"
        f" {figures.grams_text(oracle.avoided_gco2eq)}{percent}{free}."
    )
    if oracle.captured_percent is not None:
        yield f"The wait got {figures.percent_text(oracle.captured_percent)} of that."
