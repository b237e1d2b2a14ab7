"""Reads a run's record and writes a report; a user's mistake with a path is one sentence."""

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lowtide.errors import ArtifactError
from lowtide.io import sha256_of, write_atomically, write_json_atomically
from lowtide.records import READABLE_SCHEMA_VERSIONS, TrainingRecord, tells_of_an_unfinished_run
from lowtide.report.markdown import render_markdown
from lowtide.report.model import Report


def _check_ledger(record: TrainingRecord, folder: Path) -> None:
    ledger = folder / "ledger.jsonl"
    if ledger.exists() and sha256_of(ledger) != record.ledger_sha256:
        raise ArtifactError(f"{ledger} has changed since its record was written; restore it, or measure the run again")


def load_record(path: Path) -> TrainingRecord:
    """Read ``record.json``, given as the file or as the run's folder.

    :raises ArtifactError: missing, unreadable, not JSON, of another schema version, not a record, or beside another ledger.
    """
    file = path / "record.json" if path.is_dir() else path
    data = _read_object(file)
    if tells_of_an_unfinished_run(data):
        raise ArtifactError(
            f"{file}: is the account of a run that did not finish, which cannot be compared; train it to its end in the"
            " same folder, or export it"
        )
    version = data.get("schema_version")
    if version not in READABLE_SCHEMA_VERSIONS:
        raise ArtifactError(
            f"{file}: schema_version is {version!r}, but this version of Lowtide reads"
            f" {' and '.join(map(repr, READABLE_SCHEMA_VERSIONS))};"
            " repeat the run, or read it with the version that wrote it"
        )
    try:
        record = TrainingRecord.model_validate_json(json.dumps(data))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ArtifactError(f"{file}: is not a training record: {key}: {first['msg']}; repeat the run") from None
    _check_ledger(record, file.parent)
    return record


def write_report(
    report: Report, folder: Path, *, baseline_folder: Path | None = None, run_folder: Path | None = None
) -> dict[str, Path]:
    """Write ``report.html``, ``report.md`` and ``report.json``, each whole or not at all; return their paths by file name.

    :param baseline_folder: where the baseline's ledger lies, whose curves the page shows; None = where its figures say.
    :param run_folder: the same of the run. What cannot be read there is said on the page.
    :raises ArtifactError: the folder cannot be written.
    """
    from lowtide.report.html import render_html  # matplotlib, numpy, Jinja: only where a page is written

    page = render_html(report, baseline_folder=baseline_folder, run_folder=run_folder)
    return {
        "report.html": write_atomically(folder / "report.html", page),
        "report.md": write_atomically(folder / "report.md", render_markdown(report)),
        "report.json": write_json_atomically(folder / "report.json", report.model_dump_json(indent=2)),
    }


def _read_object(file: Path) -> dict[str, Any]:
    try:
        data = json.loads(file.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise ArtifactError(f"{file}: there is no such record; give the folder of a finished run") from None
    except OSError as error:
        raise ArtifactError(f"{file}: cannot be read ({error.strerror}); check the path and its permissions") from None
    except (ValueError, RecursionError) as error:  # bad JSON, or bytes that are no text
        raise ArtifactError(f"{file}: is not JSON ({error}); the file is damaged, repeat the run") from None
    if not isinstance(data, dict):
        raise ArtifactError(f"{file}: is not a training record but a JSON {type(data).__name__}; give a run's folder")
    return data
