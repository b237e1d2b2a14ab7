"""The report as one Markdown page; every string from outside is escaped."""

from collections.abc import Iterable, Iterator

from include.report import figures
from include.report.escape import markdown
from include.report.model import Report
from include.report.table import render_table
from include.report.trust import trust_section

__all__ = ["render_markdown", "render_table"]

_MEANING = {
    "work": "samples processed",
    "efficiency": "energy per sample, PUE included: ours",
    "grid_conditions": "the grid at submission against the baseline's: nobody's merit",
    "waiting": "the grid when run against the grid at submission: ours",
    "total": "run minus baseline",
}


def render_markdown(report: Report) -> str:
    """Return the whole report as Markdown."""
    return "\n".join(_lines(report)).rstrip("\n") + "\n"


def _lines(report: Report) -> Iterator[str]:
    yield from ("# Training run against its baseline", "", f"**{markdown(report.headline.text)}**", "")
    yield f"Status: {report.headline.status.replace('_', ' ')}. Run: {markdown(report.run_id)}."
    yield f"Baseline: {markdown(report.baseline_run_id or 'none')}. Written {figures.moment_text(report.generated_at)}."
    yield ""
    yield from _bullets("Reasons", report.headline.reasons)
    yield from ("## What changed", "")
    yield from _table(("Figure", "Baseline", "Run", "Change"), render_table(report))
    yield from ("", "## Why", "")
    yield from _attribution(report)
    yield from ("", _waiting(report), "")
    yield from _bullets("Notes", report.notes)
    yield from trust_section(report)


def _attribution(report: Report) -> Iterator[str]:
    parts = report.attribution_gco2eq.model_dump()
    rows = [(name.replace("_", " "), _part(parts[name]), meaning) for name, meaning in _MEANING.items()]
    yield from _table(("Factor", "Change", "What it is"), rows)


def _waiting(report: Report) -> str:
    waiting = report.waiting
    waited = f"The run waited {figures.duration_text(waiting.wait_s)}."
    if waiting.avoided_gco2eq is None:
        return f"{waited} What that avoided is not known."
    avoided = figures.grams_text(abs(waiting.avoided_gco2eq))
    share = "" if waiting.avoided_percent is None else f" ({figures.percent_text(abs(waiting.avoided_percent))})"
    verb = "less" if waiting.avoided_gco2eq >= 0 else "more"
    sentence = f"{waited} Against its own energy at submission it emitted {avoided}{share} {verb}."
    if report.attribution_gco2eq.total is None:
        return sentence
    return f"{sentence} (The table weighs waiting by the emissions of both runs, this sentence by the run's alone.)"


def _part(value_gco2eq: float | None) -> str:
    return figures.NONE_TEXT if value_gco2eq is None else figures.signed_grams_text(value_gco2eq)


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(header)} |"
    yield f"|{' --- |' * len(header)}"
    for row in rows:
        yield f"| {' | '.join(markdown(cell) for cell in row)} |"


def _bullets(title: str, sentences: Iterable[str]) -> Iterator[str]:
    lines = [f"- {markdown(sentence)}" for sentence in sentences]
    if lines:
        yield from (f"## {title}", "", *lines, "")
