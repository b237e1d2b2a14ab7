"""The report as one HTML file. matplotlib, numpy and Jinja are imported by writing a page, not by a DAG's file."""

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from lowtide.report.html.page import view_of
from lowtide.report.html.run_data import Evidence, gather
from lowtide.report.model import Report
from lowtide.report.text import plain
from lowtide.units import signed_grams_text, timestamp_text, typeset

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
)
"""All that the page needs: it has no script, loads nothing and sends nothing."""
_PAGE = Path(__file__).with_name("page")


def render_html(report: Report, *, baseline_folder: Path | None = None, run_folder: Path | None = None) -> str:
    """Return the report as one self-contained page, with everything escaped.

    :param baseline_folder: where the baseline's ledger, record and decisions are; None = where its figures say.
    :param run_folder: the same of the run.
    """
    baseline = Evidence() if report.baseline is None else gather(report.baseline, baseline_folder)
    view = view_of(report, baseline=baseline, run=gather(report.run, run_folder))
    style = Markup((_PAGE / "style.css").read_text(encoding="utf-8").strip())  # noqa: S704 - our own file
    template = _environment().get_template("report.html.j2")
    return template.render(**view, style=style, policy=CONTENT_SECURITY_POLICY)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_PAGE),
        autoescape=True,
        undefined=StrictUndefined,
        # control and bidirectional characters could hide or turn text around
        finalize=lambda value: plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    # figures are set here and not after, since ``plain`` makes all spaces equal
    figures: dict[str, Any] = {"fig": lambda text: escape(typeset(plain(text)))}
    environment.filters |= figures | {"utc": timestamp_text, "change": signed_grams_text}
    return environment
