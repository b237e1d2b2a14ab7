"""``lowtide compare``: set one run or several against a baseline and write the report."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lowtide.cli.options import DEFAULT_PERCENT, add_repeatability, artifacts_root, print_json
from lowtide.config.schema import ReportConfig
from lowtide.records import load_record
from lowtide.report.compare import compare_runs, write_report
from lowtide.report.model import Report
from lowtide.report.text import plain, render_table, waiting_sentences
from lowtide.runs.evidence import report_settings, wait_evidence
from lowtide.runs.folder import RunFolder
from lowtide.timeutil import utc_now

EXAMPLES = """examples:
  lowtide compare --baseline artifacts/runs/base --run artifacts/runs/mine --output artifacts/reports/mine
  lowtide compare --run artifacts/runs/mine --output artifacts/reports/mine   (no baseline: the waiting part only)
  lowtide compare --baseline artifacts/runs/base-* --run artifacts/runs/mine-* --output artifacts/reports/seeds
                  (several runs a side, of different seeds: means, and 95 % intervals from two runs a side on)

environment: LOWTIDE_ARTIFACTS_ROOT (where the grid's history is, for what perfect foresight would have saved;
             default: the project's artifacts folder)
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    several: dict[str, Any] = {"metavar": "DIR", "type": Path, "nargs": "+", "action": "extend", "default": []}
    parser.add_argument("--baseline", **several, help="folder of the baseline run, or of several")
    parser.add_argument("--run", dest="runs", **several, required=True, help="folder of the run, or of several")
    parser.add_argument("--output", metavar="DIR", type=Path, required=True, help="where the report goes")
    add_repeatability(parser, "the run's configuration")
    parser.add_argument("--artifacts", metavar="DIR", type=Path, help="artifact root with the grid's history")


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    now = utc_now()
    baselines, runs = ([load_record(path) for path in side] for side in (options.baseline, options.runs))
    baseline_folders, folders = (
        [RunFolder(path if path.is_dir() else path.parent) for path in side]  # a record may be given as the file, too
        for side in (options.baseline, options.runs)
    )
    root = artifacts_root(options.artifacts)
    evidence = [wait_evidence(*pair, root, now=now) for pair in zip(runs, folders, strict=True)]
    settings, whose = _settings(folders, options.repeatability_percent)
    report = compare_runs(baselines, runs, settings=settings, now=now, evidence=evidence)
    baseline_folder = baseline_folders[0].path if baseline_folders else None
    paths = write_report(report, options.output, baseline_folder=baseline_folder, run_folder=folders[0].path)
    if options.json:
        print_json(report.model_dump(mode="json"))
        return
    _print_report(report)
    percent = settings.repeatability_percent
    if percent != DEFAULT_PERCENT:
        print(f"A change within {percent:g} % counts as none, {whose} (default {DEFAULT_PERCENT:g} %).")
    print(f"report: {paths['report.json']}")
    print(f"page: {paths['report.html']}")


def _settings(folders: Sequence[RunFolder], repeatability_percent: float | None) -> tuple[ReportConfig, str]:
    """Return by which settings the runs are compared, and in words whose they are."""
    found = [report_settings(folder) or ReportConfig() for folder in folders]
    if repeatability_percent is not None:
        return found[0].model_copy(update={"repeatability_percent": repeatability_percent}), "as asked for"
    whose = "as the run's configuration has it" if len(found) == 1 else "the largest of the runs' configurations"
    # of several the least that is claimed: what one run's configuration calls noise is noise
    return max(found, key=lambda one: one.repeatability_percent), whose


def _print_report(report: Report) -> None:
    """Print the headline, the table of a report, and what the wait was worth."""
    console = Console(file=sys.stdout)
    console.print(Text(report.headline.text, style="bold"))
    for reason in report.headline.reasons:
        console.print(Text(f"  - {reason}"))
    table = Table("figure", "baseline", "this run", "change", box=None, pad_edge=False)
    for row in render_table(report):
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)
    for sentence in waiting_sentences(report):
        console.print(Text(plain(sentence)))
