"""``lowtide report``: what all runs used, emitted and avoided over time."""

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lowtide.cli.options import DEFAULT_PERCENT, add_repeatability, artifacts_root, print_json, reader
from lowtide.errors import ArtifactError, ConfigurationError
from lowtide.io import write_atomically
from lowtide.report.savings import savings_ledger
from lowtide.report.savings_model import Savings
from lowtide.report.savings_text import (
    HEADER,
    cells_csv,
    left_out,
    remarks,
    repeatability_remarks,
    rows,
    runs_csv,
    title,
)
from lowtide.timeutil import format_time, utc_now

EXAMPLES = """examples:
  lowtide report --since 2026-01-01
  lowtide report --since 2026-01-01 --until 2026-03-31 --dag carbon_aware_retraining
  lowtide report --since 2026-01-01 --csv savings.csv --runs-csv runs.csv
  lowtide report --json /mnt/artifacts

Measured, estimated and simulated runs are never added up. A run counts in the month (UTC) in which it ended.
environment: LOWTIDE_ARTIFACTS_ROOT (where artifacts are; default: the project's artifacts folder)
"""
_MOST_SHOWN = 20
_WIDTH_IN_A_FILE = 160


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("root", metavar="ROOT", nargs="?", type=Path, help="artifact root")
    first, last = (reader(partial(_start_of, days=days), "is not a date; write e.g. 2026-01-01") for days in (0, 1))
    parser.add_argument("--since", metavar="DATE", type=first, help="runs that ended on this day or later (UTC)")
    parser.add_argument("--until", metavar="DATE", type=last, help="runs that ended on this day or earlier (UTC)")
    parser.add_argument("--dag", metavar="ID", help="only the runs of this DAG")
    parser.add_argument("--csv", metavar="FILE", type=Path, help="write one line per basis, month and model")
    parser.add_argument("--runs-csv", metavar="FILE", type=Path, help="write one line per run, with those left out")
    add_repeatability(parser, "that of each run's report")
    verify = "compare each energy ledger with the checksum in its record; a run whose ledger differs is left out"
    parser.add_argument("--verify", action="store_true", help=verify)


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    root = artifacts_root(options.root)
    if not (root / "runs").is_dir():
        raise ArtifactError(f"{root}: there is no folder 'runs' in it; give the artifact root")
    if options.since and options.until and options.until <= options.since:
        raise ConfigurationError("--until is before --since; swap them")
    savings = savings_ledger(
        root,
        now=utc_now(),
        since=options.since,
        until=options.until,
        dag=options.dag,
        verify=options.verify,
        repeatability_percent=options.repeatability_percent,
    )
    files = ((options.csv, cells_csv), (options.runs_csv, runs_csv))
    written = [write_atomically(file.resolve(), text(savings)) for file, text in files if file]
    if options.json:
        print_json(savings.model_dump(mode="json"))
    else:
        _show(savings, written)


def _start_of(text: str, *, days: int) -> datetime:
    """Return the beginning of a date, which is UTC's, or of the date some days later."""
    try:
        return datetime.combine(date.fromisoformat(text), time(), UTC) + timedelta(days=days)
    except OverflowError:
        raise argparse.ArgumentTypeError(f"{text!r} is the last day that there is; leave --until out") from None


def _show(savings: Savings, written: Sequence[Path]) -> None:
    console = Console(file=sys.stdout, highlight=False, markup=False)
    if not console.is_terminal:
        console.width = _WIDTH_IN_A_FILE
    console.print(f"Runs {_span(savings)}", soft_wrap=True)
    for group in savings.groups:
        console.print(Text(f"\n{title(group)}", style="bold"), soft_wrap=True)
        table = Table(*HEADER, box=None, pad_edge=False)
        for name, *cells in rows(group):
            table.add_row(Text(name), *(Text(cell) for cell in cells))
        console.print(table)
        for remark in remarks(group):
            console.print(f"- {remark}", soft_wrap=True)
    for line in repeatability_remarks(savings, DEFAULT_PERCENT):
        console.print(f"- {line}", soft_wrap=True)
    _show_left_out(console, savings)
    for path in written:
        console.print(f"written: {path}", soft_wrap=True)


def _show_left_out(console: Console, savings: Savings) -> None:
    if not savings.groups:
        console.print("No run with an account ended in this time.")
    lines = left_out(savings)
    if lines:
        console.print(Text(f"\nLeft out: {len(lines)}", style="bold"))
    for line in lines[:_MOST_SHOWN]:
        console.print(f"- {line}", soft_wrap=True)
    if len(lines) > _MOST_SHOWN:
        console.print(f"- and {len(lines) - _MOST_SHOWN} more; --runs-csv and --json list all")


def _span(savings: Savings) -> str:
    since = f"from {format_time(savings.since)}" if savings.since else "from the first one"
    until = f"before {format_time(savings.until)}" if savings.until else "to now"
    return f"{f'of {savings.dag} ' if savings.dag else ''}that ended {since} {until}"
