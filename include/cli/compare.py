"""``lowtide compare``: set one run against another and write the report."""

import argparse
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from include.cli.printing import print_json
from include.config import ReportConfig
from include.moments import utc_now
from include.report import Report, compare_runs, load_record, render_table, write_report

NAME = "compare"
HELP = "compare a run with a baseline run and write report.json and report.md"
EXAMPLES = """examples:
  lowtide compare --baseline artifacts/runs/base --run artifacts/runs/mine --output artifacts/reports/mine
  lowtide compare --run artifacts/runs/mine --output artifacts/reports/mine   (no baseline: the waiting part only)
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--baseline", metavar="DIR", type=Path, help="folder of the baseline run")
    parser.add_argument("--run", metavar="DIR", type=Path, required=True, dest="run_folder", help="folder of the run")
    parser.add_argument("--output", metavar="DIR", type=Path, required=True, help="where the report goes")


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    baseline = load_record(options.baseline) if options.baseline else None
    report = compare_runs(baseline, load_record(options.run_folder), settings=ReportConfig(), now=utc_now())
    paths = write_report(report, options.output)
    if options.json:
        print_json(report.model_dump(mode="json"))
        return 0
    print_report(report)
    print(f"report: {paths['report.json']}")
    return 0


def print_report(report: Report) -> None:
    """Print the headline and the table of a report."""
    console = Console(file=sys.stdout)
    console.print(Text(report.headline.text, style="bold"))
    for reason in report.headline.reasons:
        console.print(Text(f"  - {reason}"))
    table = Table("figure", "baseline", "this run", "change", box=None, pad_edge=False)
    for row in render_table(report):
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)
