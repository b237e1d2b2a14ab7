"""What changed against the baseline, why, and how far to trust it."""

from include.report.attribution import Attribution, RunFactors, attribute, logarithmic_mean
from include.report.compare import compare_repeats, compare_runs
from include.report.files import load_record, write_report
from include.report.model import REPORT_SCHEMA_VERSION, Changes, Headline, Report, RunFigures, Waiting
from include.report.text.render import render_markdown, render_table
from include.report.waits.oracle import WaitEvidence

__all__ = [
    "REPORT_SCHEMA_VERSION",
    "Attribution",
    "Changes",
    "Headline",
    "Report",
    "RunFactors",
    "RunFigures",
    "WaitEvidence",
    "Waiting",
    "attribute",
    "compare_repeats",
    "compare_runs",
    "load_record",
    "logarithmic_mean",
    "render_markdown",
    "render_table",
    "write_report",
]
