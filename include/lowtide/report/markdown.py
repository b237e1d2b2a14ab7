"""The report as one Markdown page; every string from outside is escaped."""

from collections.abc import Iterable, Iterator

from lowtide import units
from lowtide.report.figures import PARTS, credit_of, runs_of
from lowtide.report.model import Report, RunFigures
from lowtide.report.text import (
    DIFFERENCE_HEADER,
    INTERVAL_HEADER,
    difference_rows,
    interval_rows,
    markdown,
    quality_facts,
    render_table,
    run_facts,
    waiting_sentences,
)


def render_markdown(report: Report) -> str:
    """Return the whole report as Markdown."""
    return "\n".join(_lines(report)).rstrip("\n") + "\n"


def _lines(report: Report) -> Iterator[str]:
    yield from ("# Training run compared with its baseline", "", f"**{markdown(report.headline.text)}**", "")
    yield f"Status: {report.headline.status.replace('_', ' ')}. Run: {markdown(report.run_id)}."
    baseline = markdown(report.baseline_run_id or "none")
    yield f"Baseline: {baseline}. Written {units.timestamp_text(report.generated_at)}."
    yield ""
    yield from _bullets("Reasons", report.headline.reasons)
    yield from ("## What changed", "")
    yield from (*_table(("Figure", "Baseline", "Run", "Change"), render_table(report)), "")
    yield from ("## Why", "")
    yield from (*_table(("Factor", "Change", "Attribution", "Meaning"), _attribution(report)), "")
    yield from _bullets("Effect of waiting", waiting_sentences(report))
    yield from _bullets("Data quality", (f"{name}: {line}" for name, lines in quality_facts(report) for line in lines))
    if rows := difference_rows(report):
        yield from (*_table(DIFFERENCE_HEADER, rows), "")
    if rows := interval_rows(report):
        yield from (*_table(INTERVAL_HEADER, rows), "")
    yield from _bullets("Notes", report.notes)
    yield from _sources(report)


def _attribution(report: Report) -> Iterator[tuple[str, ...]]:
    parts = report.attribution_gco2eq.model_dump()
    for part in PARTS:
        yield (part.label, _grams(parts[part.key]), credit_of(report, part.key), part.meaning)
    yield ("Total", _grams(parts["total"]), "", "run minus baseline")


def _grams(value_gco2eq: float | None) -> str:
    return units.NONE_TEXT if value_gco2eq is None else units.signed_grams_text(value_gco2eq)


def _sources(report: Report) -> Iterator[str]:
    yield from ("## Sources", "")
    yield "Emissions are the sum over the ledger's rows of energy x PUE x the grid's intensity at that time."
    yield "The attribution is LMDI-I (Ang 2004): its parts sum to the change without a residual."
    yield ""
    for name, runs in (("Baseline", runs_of(report, "baseline")), ("Run", runs_of(report, "run"))):
        for number, run in enumerate(runs, 1):
            yield from (f"### {name}" if len(runs) == 1 else f"### {name} {number}", "", *_source(run), "")


def _source(run: RunFigures) -> Iterator[str]:
    yield from (f"- {name}: {markdown('; '.join(lines))}" for name, lines in run_facts(run))
    yield f"- Ledger: {markdown(run.ledger_path)}, sha256 {run.ledger_sha256}"


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(header)} |"
    yield f"|{' --- |' * len(header)}"
    for row in rows:
        yield f"| {' | '.join(markdown(cell) for cell in row)} |"


def _bullets(title: str, sentences: Iterable[str]) -> Iterator[str]:
    lines = [f"- {markdown(sentence)}" for sentence in sentences]
    if lines:
        yield from (f"## {title}", "", *lines, "")
