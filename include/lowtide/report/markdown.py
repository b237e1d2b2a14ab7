"""The report as one Markdown page; every string from outside is escaped."""

from collections.abc import Iterable, Iterator

from lowtide import units
from lowtide.report.model import Report
from lowtide.report.text import (
    FAIRNESS_HEADER,
    INTERVAL_HEADER,
    comparability_rows,
    comparability_sentence,
    interval_rows,
    markdown,
    render_table,
    sureness_sentences,
    trust_section,
    waiting_sentences,
)

_MEANING = {
    "work": "samples processed",
    "efficiency": "energy per sample, PUE included",
    "grid_conditions": "the grid at submission against the baseline's: nobody's merit",
    "waiting": "the grid when run against the grid at submission",
    "total": "run minus baseline",
}


def render_markdown(report: Report) -> str:
    """Return the whole report as Markdown."""
    return "\n".join(_lines(report)).rstrip("\n") + "\n"


def _lines(report: Report) -> Iterator[str]:
    yield from ("# Training run against its baseline", "", f"**{markdown(report.headline.text)}**", "")
    yield f"Status: {report.headline.status.replace('_', ' ')}. Run: {markdown(report.run_id)}."
    yield f"Baseline: {markdown(report.baseline_run_id or 'none')}. Written {units.moment_text(report.generated_at)}."
    yield ""
    yield from _bullets("Reasons", report.headline.reasons)
    yield from ("## What changed", "")
    yield from _table(("Figure", "Baseline", "Run", "Change"), render_table(report))
    yield from ("", "## Why", "")
    yield from _attribution(report)
    yield ""
    yield from _bullets("What the wait was worth", waiting_sentences(report))
    yield from _fairness(report)
    yield from _sureness(report)
    yield from _bullets("Notes", report.notes)
    yield from trust_section(report)


def _attribution(report: Report) -> Iterator[str]:
    parts = report.attribution_gco2eq.model_dump()
    ours = report.controllable.parts if report.controllable else ()
    rows = [
        (name.replace("_", " "), _part(parts[name]), meaning + (": ours" if name in ours else ""))
        for name, meaning in _MEANING.items()
    ]
    yield from _table(("Factor", "Change", "What it is"), rows)


def _fairness(report: Report) -> Iterator[str]:
    if report.baseline is None:
        return
    yield from ("## Is the comparison fair", "", comparability_sentence(report), "")
    if rows := comparability_rows(report):
        yield from (*_table(FAIRNESS_HEADER, rows), "")


def _sureness(report: Report) -> Iterator[str]:
    yield from _bullets("How sure the changes are", sureness_sentences(report))
    if rows := interval_rows(report):
        yield from (*_table(INTERVAL_HEADER, rows), "")


def _part(value_gco2eq: float | None) -> str:
    return units.NONE_TEXT if value_gco2eq is None else units.signed_grams_text(value_gco2eq)


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(header)} |"
    yield f"|{' --- |' * len(header)}"
    for row in rows:
        yield f"| {' | '.join(markdown(cell) for cell in row)} |"


def _bullets(title: str, sentences: Iterable[str]) -> Iterator[str]:
    lines = [f"- {markdown(sentence)}" for sentence in sentences]
    if lines:
        yield from (f"## {title}", "", *lines, "")
