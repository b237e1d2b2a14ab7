"""Reads a run's record and writes a report; a user's mistake with a path is one sentence."""

from pathlib import Path

from lowtide.errors import ArtifactError
from lowtide.io import sha256_of, write_atomically
from lowtide.records import TrainingRecord, read_record
from lowtide.report.model import Report
from lowtide.report.text import render_markdown


def load_record(path: Path) -> TrainingRecord:
    """Read the ``record.json`` of a finished run, given as the file or as the run's folder.

    :raises ArtifactError: as ``read_record``, an unfinished run, or a record beside another ledger.
    """
    file = path / "record.json" if path.is_dir() else path
    record = read_record(file)
    if not isinstance(record, TrainingRecord):
        raise ArtifactError(
            f"{file}: is the account of a run that did not finish, which cannot be compared; train it to its end in the"
            " same folder, or export it"
        )
    ledger = file.parent / "ledger.jsonl"
    if ledger.exists() and sha256_of(ledger) != record.ledger_sha256:
        raise ArtifactError(f"{ledger} has changed since its record was written; restore it, or measure the run again")
    return record


def write_report(
    report: Report, folder: Path, *, baseline_folder: Path | None = None, run_folder: Path | None = None
) -> dict[str, Path]:
    """Write ``report.html``, ``report.md`` and ``report.json``, each whole or not at all; return their paths by file name.

    :param baseline_folder: where the baseline's ledger is, whose curves the page shows; None = where its figures say.
    :param run_folder: the same of the run. What cannot be read there is named on the page.
    :raises ArtifactError: the folder cannot be written.
    """
    from lowtide.report.html.page import render_html  # matplotlib, numpy, Jinja: only where a page is written

    page = render_html(report, baseline_folder=baseline_folder, run_folder=run_folder)
    return {
        "report.html": write_atomically(folder / "report.html", page),
        "report.md": write_atomically(folder / "report.md", render_markdown(report)),
        "report.json": write_atomically(folder / "report.json", report.model_dump_json(indent=2) + "\n"),
    }
