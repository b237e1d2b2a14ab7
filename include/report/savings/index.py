"""Keeps what was read of each training, so that the next look reads only what has changed since.

The index is a convenience and never a source: one that is missing, damaged, or written by other code or settings is built
anew from the records.
"""

import hashlib
import logging
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from pydantic import ValidationError

from include.errors import ArtifactError
from include.files import write_atomically
from include.records.accounts import Frozen
from include.report.savings.entry import entry_of
from include.report.savings.folders import Fingerprint, TrainingFolder, training_folders
from include.report.savings.model import LeftOut, Repeatability, SavingsRun

_log = logging.getLogger(__name__)
_PACKAGE = Path(__file__).resolve().parents[2]

Entry = SavingsRun | LeftOut


class _Known(Frozen):
    fingerprint: Fingerprint
    run: SavingsRun | None = None
    left_out: LeftOut | None = None

    def entry(self) -> Entry | None:
        return self.run or self.left_out


class _Index(Frozen):
    code: str
    repeatability: Repeatability
    entries: dict[str, _Known]


def current_entries(root: Path, index: Path, *, repeatability: Repeatability, trusted: bool = True) -> list[Entry]:
    """Return a line for every training below the artifact root, and renew the index where anything has changed.

    :param trusted: false: read every record again, whatever the index says of it, for whoever may not take its word.

    An index that cannot be written (a root that one may only read) costs time at the next look, nothing else.
    """
    before = _read(index, repeatability) if trusted else {}
    after = {folder.name: _known(folder, before, repeatability) for folder in training_folders(root)}
    if after != before:
        text = _Index(code=_code(), repeatability=repeatability, entries=after).model_dump_json()
        try:
            write_atomically(index, text)
        except ArtifactError as error:
            _log.info("the index of the savings is not kept: %s", error)
    return [entry for known in after.values() if (entry := known.entry()) is not None]


def _known(folder: TrainingFolder, before: Mapping[str, _Known], repeatability: Repeatability) -> _Known:
    fingerprint = folder.fingerprint()  # before the files are read: what changes meanwhile is read again next time
    known = before.get(folder.name)
    if known is not None and known.fingerprint == fingerprint and known.entry() is not None:
        return known
    entry = entry_of(folder, repeatability=repeatability)
    if isinstance(entry, SavingsRun):
        return _Known(fingerprint=fingerprint, run=entry)
    return _Known(fingerprint=fingerprint, left_out=entry)


def _read(index: Path, repeatability: Repeatability) -> dict[str, _Known]:
    try:
        found = _Index.model_validate_json(index.read_bytes())
    except (OSError, ValidationError):
        return {}
    same = (found.code, found.repeatability) == (_code(), repeatability)
    return found.entries if same else {}


@cache
def _code() -> str:
    """Return a checksum of the code that entries follow from: a changed rule must not meet an old entry."""
    digest = hashlib.sha256()
    for folder in ("records", "report"):
        for file in sorted((_PACKAGE / folder).rglob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()
