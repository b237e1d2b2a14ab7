"""Finds what trainings left below an artifact root, and tells whether it has changed since it was last read."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from include.report.waits.queue import decision_files

_MARKS = ("record.json", "ledger.jsonl", "decisions.jsonl")
_REPLACED = re.compile(r"(finished|other)-\d+")
_MAPPED = re.compile(r"(.+)~\d+")
"""The folder of an instance of a mapped training, beside the one of its run, where the wait's decisions are."""

Fingerprint = tuple[tuple[int, int, int] | None, ...]
"""Size, time of change and inode of each file that an entry rests on; None where it is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingFolder:
    """Where one training's files lie. ``superseded``: another training took its place in the run's folder since."""

    root: Path
    path: Path
    dag: str | None
    superseded: bool = False

    @property
    def name(self) -> str:
        """The folder below the artifact root."""
        return self.path.relative_to(self.root).as_posix()

    @property
    def report(self) -> Path:
        """Where this run's report lies, if it was written to the place that belongs to it."""
        return self.root / "reports" / self.path.relative_to(self.root / "runs") / "report.json"

    @property
    def decisions(self) -> tuple[Path, ...]:
        """The training's own decisions, and those of its run, since a mapped training's wait is not mapped."""
        return decision_files(self.path)

    def fingerprint(self) -> Fingerprint:
        """Return what changes when the account does."""
        record, ledger = self.path / "record.json", self.path / "ledger.jsonl"
        # an attempt appends to its ledger all the time, and nothing here is read from it: that it is there is enough
        return (_stat(record), (0, 0, 0) if ledger.exists() else None, *map(_stat, self.decisions), _stat(self.report))

    def last_change(self) -> datetime:
        """Return when the newest of its files was written."""
        changed = [found.st_mtime for mark in _MARKS if (found := _stat_result(self.path / mark)) is not None]
        return datetime.fromtimestamp(max(changed, default=0.0), UTC)


def training_folders(root: Path) -> Iterator[TrainingFolder]:
    """Yield all trainings below ``runs``, in a fixed order: of DAGs (runs/DAG/RUN), and of the command line (runs/NAME)."""
    for first in _folders(root / "runs"):
        if _holds_a_training(first):
            yield from _of_run(root, first, dag=None)
            continue
        runs = _folders(first)
        waited_for_mapped = {found.group(1) for run in runs if (found := _MAPPED.fullmatch(run.name))}
        for run in runs:
            if run.name not in waited_for_mapped or _has_an_account(run):
                yield from _of_run(root, run, dag=first.name)


def _of_run(root: Path, path: Path, *, dag: str | None) -> Iterator[TrainingFolder]:
    yield TrainingFolder(root=root, path=path, dag=dag)
    for replaced in _folders(path):
        if _REPLACED.fullmatch(replaced.name):
            yield TrainingFolder(root=root, path=replaced, dag=dag, superseded=True)


def _folders(path: Path) -> list[Path]:
    try:
        with os.scandir(path) as found:
            return sorted(Path(entry.path) for entry in found if entry.is_dir() and not entry.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _holds_a_training(path: Path) -> bool:
    return any((path / mark).exists() for mark in _MARKS)


def _has_an_account(path: Path) -> bool:
    return any((path / name).exists() for name in ("record.json", "ledger.jsonl"))


def _stat(path: Path) -> tuple[int, int, int] | None:
    found = _stat_result(path)
    return None if found is None else (found.st_size, found.st_mtime_ns, found.st_ino)


def _stat_result(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None
