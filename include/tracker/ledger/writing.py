"""The ledger: append-only JSON lines, one row a line, on the disk before ``append`` returns."""

import contextlib
import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from include.errors import ArtifactError, MeasurementError
from include.moments import format_moment
from include.records import LedgerEvent, LedgerRow
from include.tracker.ledger.attempts import Attempt
from include.tracker.ledger.locking import open_held
from include.tracker.ledger.reading import LedgerContents, read_ledger, repair_ledger, sync_folder
from include.tracker.ledger.uncovered import HELD_UP, held_up_s
from include.tracker.recording.live import LiveFigures, figures_of

__all__ = ["LedgerContents", "LedgerWriter", "read_ledger", "repair_ledger"]


class LedgerWriter:
    """Appends rows to a ledger, new or of an earlier attempt; a torn line of a killed attempt is first moved aside.

    A SIGKILL at any moment loses at most the rows of the append under way. ``held_up_s`` says for how long an attempt that
    was killed had gone on without a row that could be written, ``so_far`` what earlier attempts used.

    :param patience_s: how long to wait for another process that holds the file, as a settlement does for a moment.
    :raises ArtifactError: the file cannot be opened, or another process writes to it (LedgerInUse).
    """

    def __init__(self, path: Path, *, patience_s: float = 0.0) -> None:
        self.path = path
        self._patience_s = patience_s
        self.problems: tuple[str, ...] = ()
        self.last_end: datetime | None = None
        self.held_up_s = 0.0
        self.so_far = LiveFigures()
        self._file = -1
        self._attempt: Attempt | None = None
        try:
            self._resume()
        except BaseException:
            self.close()
            raise

    def append(self, rows: Sequence[LedgerRow]) -> None:
        """Write the rows in one piece and wait until they are on the disk; all of them are in the ledger, or none.

        :raises ArtifactError: the disk is full, the folder is gone ...; what was written in part is taken back.
        :raises MeasurementError: rows that overlap the ledger, or are out of order.
        """
        self._check_order(rows)
        self._append("".join(row.as_json_line() for row in rows))
        self.last_end = rows[-1].end if rows else self.last_end
        if self._attempt:
            self._attempt.count(rows)

    def open_attempt(self, attempt: int, details: Mapping[str, Any]) -> None:
        """Begin an attempt with a line that says what the run is about; until it is closed, a reader tells of it.

        :raises ArtifactError: as ``append``.
        """
        self._attempt = Attempt(attempt)
        held_up = {HELD_UP: self.held_up_s} if self.held_up_s > 0 else {}
        self._append_event(self._attempt.opened({**details, **held_up}))

    def close_attempt(self, outcome: str, problems: Sequence[str] = ()) -> None:
        """End the attempt with a line that says how it went, how many rows it has and what they sum to.

        :raises ArtifactError: as ``append``; a reader then takes the attempt for one that was killed.
        """
        if self._attempt:
            self._append_event(self._attempt.closed(outcome, problems))
            self._attempt = None

    def touch(self) -> None:
        """Leave a sign that the run goes on although no row can be written: it needs no room on the disk."""
        with contextlib.suppress(OSError):
            os.utime(self._file)

    def _append_event(self, event: LedgerEvent) -> None:
        self._append(event.as_json_line())

    def _append(self, lines: str) -> None:
        content = lines.encode()
        try:
            self._take_back()
            _write_all(self._file, content)
            os.fsync(self._file)
        except OSError as error:
            # a torn line would break every reader; where this fails too, the next append or repair takes it away
            with contextlib.suppress(OSError):
                self._take_back()
            raise self._refused("cannot be written", error) from error
        self._size += len(content)

    def close(self) -> None:
        """Close the file; appending is over."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __del__(self) -> None:
        # the lock of a writer that nobody closed must not outlive it: the next attempt may run in this process
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _resume(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._open()
            touched_s = os.fstat(self._file).st_mtime
            self.problems = tuple(repair_ledger(self.path))
            if self.problems:  # the repair put a new file in the place of the one that is open
                self.close()
                self._open()
            sync_folder(self.path)
            self._size = os.fstat(self._file).st_size
        except OSError as error:
            raise self._refused("cannot be opened", error) from error
        found = read_ledger(self.path)
        self.last_end = found.rows[-1].end if found.rows else None
        self.held_up_s = held_up_s(found.rows, found.events, touched_s)
        self.so_far = figures_of(found.rows)

    def _open(self) -> None:
        self._file = open_held(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, patience_s=self._patience_s)

    def _check_order(self, rows: Sequence[LedgerRow]) -> None:
        end = self.last_end
        for row in rows:
            if row.end <= row.start or (end is not None and row.start < end):
                raise MeasurementError(
                    f"{self.path}: a row from {format_moment(row.start)} is out of order and was refused"
                )
            end = row.end

    def _take_back(self) -> None:
        if os.fstat(self._file).st_size > self._size:
            os.ftruncate(self._file, self._size)

    def _refused(self, what: str, error: OSError) -> ArtifactError:
        return ArtifactError(
            f"{self.path}: the ledger {what} ({error.strerror}); free space there, mend the permissions, or give another folder"
        )


def _write_all(file: int, content: bytes) -> None:
    while content:
        content = content[os.write(file, content) :]
