"""From a view to a page: Jinja with everything escaped, control and bidirectional characters taken out of every text."""

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from include.report.html.evidence import Evidence
from include.report.html.typography import typeset
from include.report.html.view import view_of
from include.report.model import Report
from include.report.text.escape import plain

_PAGE = Path(__file__).with_name("page")


def rendered(report: Report, *, baseline: Evidence, run: Evidence, policy: str) -> str:
    """Return the page."""
    style = Markup((_PAGE / "style.css").read_text(encoding="utf-8").strip())  # noqa: S704 - our own file
    view = view_of(report, baseline=baseline, run=run)
    return _environment().get_template("report.html.j2").render(v=view, style=style, policy=policy)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_PAGE),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_harmless,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["fig"] = _figures
    return environment


def _figures(text: str) -> Markup:
    """Escape a text that may hold figures, and set them well; here and not after, since ``plain`` makes all spaces equal."""
    return escape(typeset(plain(text)))


def _harmless(value: Any) -> Any:
    """Take out what could hide or turn text around; what is drawn, and the style sheet, is ours and stays."""
    return plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value
