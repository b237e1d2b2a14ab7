"""The comparison at the end of the demo, as a table on the terminal."""

from pathlib import Path

from lowtide.report.model import Report
from lowtide.report.text import render_table
from lowtide.units import signed_grams_text
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from local.problems import RunFailed


def print_comparison(console: Console, report_json: Path) -> None:
    """Print headline, table, attribution and the report's paths.

    :raises RunFailed: the file is missing or is no report.
    """
    report = read_report(report_json)
    console.print()
    console.print(report.headline.text, markup=False, style="bold", soft_wrap=True)
    console.print(_table(report))
    _print_line(console, attribution_line(report))
    _print_line(console, f"Status: {report.headline.status.replace('_', ' ')}")
    for reason in report.headline.reasons:
        _print_line(console, f"  - {reason}")
    _print_line(console, f"Report: {report_json}")
    page = report_json.with_name("report.html")
    if page.exists():  # a report of an earlier version has none
        _print_line(console, f"Open in a browser: {page}")


def read_report(report_json: Path) -> Report:
    """Read a report.

    :raises RunFailed: the file is missing or is no report.
    """
    try:
        return Report.model_validate_json(report_json.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunFailed(f"The compare task named {report_json} as its report, but that file is not there.") from None
    except ValidationError as error:
        raise RunFailed(f"{report_json} is not a report of this version: {error.errors()[0]['msg']}.") from error


def attribution_line(report: Report) -> str:
    """Return the exact decomposition of the change as one line."""
    parts = report.attribution_gco2eq.model_dump()
    known = [
        f"{name.replace('_', ' ')} {signed_grams_text(value)}" for name, value in parts.items() if value is not None
    ]
    return f"Change in emissions: {', '.join(known)}" if known else "Change in emissions: not known without a baseline"


def _table(report: Report) -> Table:
    table = Table("", "Baseline", "Run", "Change")
    for column in table.columns[1:]:
        column.justify = "right"
    for row in render_table(report):
        table.add_row(*row)
    return table


def _print_line(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
