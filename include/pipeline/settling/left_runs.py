"""Reads back what killed, failed and stopped runs used, where nobody else will: their process is gone, and no record was left.

Nothing is taken from an attempt that may still follow: checkpoints, identity and pauses stay, ``beginning.begin`` forgets the
account and puts the first booking back, and the ledger goes on.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from include.errors import ArtifactError, LedgerInUse, LowtideError, MeasurementError
from include.pipeline.accounts.reading_back import read_back_where
from include.pipeline.run_folder import RunFolder
from include.records import LedgerEventKind
from include.report.savings.folders import TrainingFolder, training_folders
from include.tracker import LedgerContents

_log = logging.getLogger(__name__)

QUIET = timedelta(hours=1)
"""A ledger that nobody touched for so long is of a run that is gone: one that goes on touches it every few seconds."""
PAUSED_QUIET = timedelta(days=7)
"""A pause ends when the grid is clean again, within days; after so long, its run was given up."""


@dataclass(slots=True, kw_only=True)
class LeftRuns:
    """The runs that were read back, and in sentences those that could not be."""

    read_back: list[RunFolder] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def read_back_left_runs(artifacts_root: Path, *, now: datetime) -> LeftRuns:
    """Read back every run without a record whose ledger nobody touched in the last hour, however old it is.

    Of any grid, replayed too. One that used nothing is no run; one that another process holds is left alone.
    """
    done = LeftRuns()
    for folder in _without_record(artifacts_root):
        try:
            if _last_sign(folder) <= now - QUIET and _is_read_back(folder, now):
                done.read_back.append(folder)
        except (LedgerInUse, MeasurementError) as error:
            _log.info("%s is not read back: %s", folder.path, error)
        except (LowtideError, OSError) as error:
            done.failures.append(f"not read back: {error}")
    return done


def _without_record(artifacts_root: Path) -> Iterator[RunFolder]:
    for found in training_folders(artifacts_root):
        folder = RunFolder(found.path)
        if folder.ledger.exists() and not folder.record.exists() and not _is_half_moved(found):
            yield folder


def _is_half_moved(found: TrainingFolder) -> bool:
    # of a finished training whose record has not followed yet: begin moves it last
    return found.superseded and found.path.name.startswith("finished-")


def _is_read_back(folder: RunFolder, now: datetime) -> bool:
    def left(contents: LedgerContents) -> bool:
        quiet = PAUSED_QUIET if _is_paused(contents) else QUIET
        return _last_sign(folder) <= now - quiet  # looked at again: an attempt may have begun meanwhile

    return read_back_where(folder, left) is not None


def _is_paused(contents: LedgerContents) -> bool:
    last = contents.events[-1] if contents.events else None
    return last is not None and last.event is LedgerEventKind.CLOSED and last.details.get("outcome") == "paused"


def _last_sign(folder: RunFolder) -> datetime:
    """Return when a run last gave a sign of life: a row, a touch while the disk was full, or the beginning of an attempt."""
    try:
        touched_s = folder.ledger.stat().st_mtime
        begun_s = folder.identity.stat().st_mtime if folder.identity.exists() else 0.0
    except OSError as error:
        raise ArtifactError(f"{folder.path}: cannot be read ({error.strerror})") from error
    return datetime.fromtimestamp(max(touched_s, begun_s), UTC)
