"""The report as one HTML file. matplotlib, numpy and Jinja are imported by writing a page, not by importing this."""

from pathlib import Path

from include.report.model import Report

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
)
"""All that the page needs: it has no script, loads nothing and sends nothing."""

__all__ = ["CONTENT_SECURITY_POLICY", "render_html"]


def render_html(report: Report, *, baseline_folder: Path | None = None, run_folder: Path | None = None) -> str:
    """Return the report as one self-contained page.

    :param baseline_folder: where the baseline's ledger, record and decisions lie; None = where its figures say.
    :param run_folder: the same of the run.
    """
    from include.report.html.evidence import Evidence, gather  # noqa: PLC0415
    from include.report.html.rendering import rendered  # noqa: PLC0415

    baseline = Evidence() if report.baseline is None else gather(report.baseline, baseline_folder)
    return rendered(report, baseline=baseline, run=gather(report.run, run_folder), policy=CONTENT_SECURITY_POLICY)
