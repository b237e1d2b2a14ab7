"""What a run used and what was known of the grid: two files that are only ever appended to, and their readers."""

import contextlib
import json
import math
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

from lowtide.errors import ArtifactError, MeasurementError
from lowtide.io import append_durably, open_held, sync_folder, write_atomically
from lowtide.records import (
    INTENSITY_NAME,
    KnownIntensity,
    LedgerEvent,
    LedgerEventKind,
    LedgerRow,
    Reading,
    read_intensity,
)
from lowtide.timeutil import format_time, utc_now

# What is missing of the attempts in a ledger, each from the line that opens it to the line that closes it.


_TOLERANCE = 1e-9

INCOMPLETE = "the energy of this run is incomplete: "
"""The start of a closing line's problem that says that energy is missing for good; it holds for the later attempts too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerContents:
    """The rows that are whole, and one sentence for each thing that is missing or out of place."""

    rows: tuple[LedgerRow, ...]
    problems: tuple[str, ...]
    events: tuple[LedgerEvent, ...] = ()

    def attempts(self, kind: LedgerEventKind) -> dict[int, LedgerEvent]:
        """Return the lines that opened the attempts, or those that closed them, by the attempts' numbers."""
        return {event.attempt: event for event in self.events if event.event is kind}

    def rows_of(self, attempt: int) -> list[LedgerRow]:
        """Return the rows of one attempt."""
        return [row for row in self.rows if row.attempt == attempt]

    @property
    def next_attempt(self) -> int:
        """The number of the attempt that follows; one that was killed before its first row counts too."""
        return 1 + max((*(row.attempt for row in self.rows), *(event.attempt for event in self.events)), default=0)

    def lost_energy(self) -> Iterator[str]:
        """Report which energy is missing: rows that an attempt had when it was closed, and the problems in its closing line."""
        for number, event in self.attempts(LedgerEventKind.CLOSED).items():
            yield from _missing_rows(self.rows_of(number), event)
            problems = map(str, event.details.get("problems", ()))
            yield from (problem for problem in problems if problem.startswith(INCOMPLETE))


def _attempt_problems(contents: LedgerContents) -> Iterator[str]:
    """Report what is missing of each attempt: its end, or rows that it had when it was closed."""
    closed = contents.attempts(LedgerEventKind.CLOSED)
    for number, opening in contents.attempts(LedgerEventKind.OPENED).items():
        own = contents.rows_of(number)
        if number in closed:
            yield from _missing_rows(own, closed[number])
        else:
            yield _without_end(own, opening)


def _without_end(rows: Sequence[LedgerRow], opened: LedgerEvent) -> str:
    known = f"what it used after {format_time(rows[-1].end)}" if rows else "all that it used"
    interval_s = opened.details.get("interval_s")
    window = f" (normally less than {interval_s:g} s of it)" if isinstance(interval_s, (int, float)) and rows else ""
    return f"attempt {opened.attempt} was not closed, so it was killed or still runs; {known} is missing{window}"


def _missing_rows(rows: Sequence[LedgerRow], closed: LedgerEvent) -> Iterator[str]:
    recorded, found = closed.details.get("energy_kwh"), math.fsum(row.energy_kwh for row in rows)
    if isinstance(recorded, (int, float)) and not math.isclose(recorded, found, rel_tol=_TOLERANCE, abs_tol=1e-15):
        yield (
            f"attempt {closed.attempt} had {recorded:.6g} kWh in {closed.details.get('rows')} rows when it was closed, but"
            f" {found:.6g} kWh in {len(rows)} rows are left; restore the file"
        )


TORN_SUFFIX = ".torn"


def read_ledger(path: Path) -> LedgerContents:
    """Read every whole row; torn and corrupt lines, overlaps, uncovered time and attempts without an end are named.

    :raises ArtifactError: the file is missing or cannot be read.
    """
    problems: list[str] = []
    rows: list[LedgerRow] = []
    numbers: list[int] = []
    events: list[LedgerEvent] = []
    for number, _, found in _lines(path):  # one at a time: the ledger of a month is 300 MB of text
        if isinstance(found, LedgerRow):
            rows.append(found)
            numbers.append(number)
        elif isinstance(found, LedgerEvent):
            events.append(found)
        else:
            problems.append(f"{path}, line {number}: {found}; this row is missing")
    problems += [f"{path}, line {number}: {what}" for number, what in _out_of_place(numbers, rows)]
    contents = LedgerContents(rows=tuple(rows), problems=tuple(problems), events=tuple(events))
    missing = (f"{path}: {what}" for what in _attempt_problems(contents))
    return replace(contents, problems=(*contents.problems, *missing))


def repair_ledger(path: Path) -> list[str]:
    """Make every line of a ledger a whole row: broken lines are moved to ``<name>.torn``, whole rows stay byte for byte.

    Call it when nothing writes to the ledger. Does nothing to a ledger in order. Returns what was moved or completed.

    :raises ArtifactError: the file is missing, or cannot be read or written.
    """
    broken = [(number, raw, found) for number, raw, found in _lines(path) if isinstance(found, str)]
    if not broken and _is_ended(path):
        return []
    try:
        if broken:
            append_durably(path.with_name(path.name + TORN_SUFFIX), b"".join(raw + b"\n" for _, raw, _ in broken))
        whole = b"".join(raw + b"\n" for _, raw, found in _lines(path) if not isinstance(found, str))
        write_atomically(path, whole, keep_times=True)  # its time of change is a sign of when its run was last alive
    except OSError as error:
        raise ArtifactError(
            f"{path}: cannot be repaired ({error.strerror}); free space or fix its permissions"
        ) from error
    moved = [f"{path}, line {number}: {problem}; moved to {path.name}{TORN_SUFFIX}" for number, _, problem in broken]
    return moved or [f"{path}: ended the last line, whose row was whole"]


def _lines(path: Path) -> Iterator[tuple[int, bytes, LedgerRow | LedgerEvent | str]]:
    """Yield each line's number, its bytes, and its row or event, or what is wrong with it."""
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(file, start=1):
                if raw.strip():
                    yield number, raw.removesuffix(b"\n"), _parse(raw)
    except FileNotFoundError:
        raise ArtifactError(f"{path}: there is no such ledger; give the folder of a run") from None
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read ({error.strerror}); check the path and its permissions") from error


def _is_ended(path: Path) -> bool:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        return file.read() in (b"", b"\n")


def _parse(raw: bytes) -> LedgerRow | LedgerEvent | str:
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError):  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        return "is torn or not JSON"
    try:
        if "event" in data:
            return LedgerEvent.from_json(data)
        row = LedgerRow.from_json(data)
    except (TypeError, ValueError) as error:
        return f"is not a ledger row ({type(error).__name__}: {error})"
    return row if row.start < row.end else "holds an interval that does not run forwards"


def _out_of_place(numbers: Sequence[int], rows: Sequence[LedgerRow]) -> Iterator[tuple[int, str]]:
    for number, (earlier, later) in zip(numbers[1:], pairwise(rows), strict=True):
        if later.start < earlier.end:
            yield number, f"begins at {format_time(later.start)}, before the row above ends"
        elif later.start > earlier.end and later.attempt == earlier.attempt:
            yield number, f"no row covers {format_time(earlier.end)} to {format_time(later.start)}"


# For how long, at most, a ledger has no energy of its run.


HELD_UP = "held_up_s"
"""In an opening line: how long the attempt before it, which was killed, had been running without a row on the disk."""


def uncovered_s(
    contents: LedgerContents, *, interval_s: float, speed: float = 1.0, held_up_s: float = 0.0
) -> float | None:
    """Return the real seconds, at most, that no row covers: gaps within attempts, and the ends of those that were killed.

    :param interval_s: of a row, for attempts whose opening line does not have it.
    :param speed: of policy time, above 1 under replay.
    :param held_up_s: of the last attempt, if it is open; ``held_up_s`` measures it.
    :returns: None where energy is missing for an unknown time.
    """
    if any(contents.lost_energy()):
        return None
    rows, opened = contents.rows, contents.attempts(LedgerEventKind.OPENED)
    gaps = [b.start - a.end for a, b in pairwise(rows) if a.attempt == b.attempt and b.start > a.end]
    killed = {*opened, *(row.attempt for row in rows)} - {*contents.attempts(LedgerEventKind.CLOSED)}

    def end_s(number: int) -> float:
        of_a_row_s = opened[number].details.get("interval_s") if number in opened else None
        later = [opened[attempt] for attempt in sorted(opened) if attempt > number]
        return float(of_a_row_s or interval_s) + float(later[0].details.get(HELD_UP, 0.0) if later else held_up_s)

    return math.fsum(gap.total_seconds() for gap in gaps) / speed + math.fsum(end_s(number) for number in killed)


def held_up_s(contents: LedgerContents, touched_s: float) -> float:
    """Return for how long the last attempt ran without writing a row; 0 where it was closed.

    A recorder that cannot write touches the file instead, which needs no room: rows that waited when it was killed are
    lost, and may be many more than the one under way.

    :param touched_s: when the ledger's file was last modified, in seconds of the system clock.
    """
    last = contents.events[-1] if contents.events else None
    if last is None or last.event is LedgerEventKind.CLOSED:
        return 0.0
    own = contents.rows_of(last.attempt)
    went_s = own[-1].monotonic_s - last.monotonic_s if own else 0.0
    return max(0.0, touched_s - (last.at.timestamp() + went_s))


# The ledger: append-only JSON lines, one row a line, on the disk before ``append`` returns.


class LedgerWriter:
    """Appends rows to a ledger, new or of an earlier attempt; a torn line of a killed attempt is first moved aside.

    A SIGKILL at any time loses at most the rows of the append under way. ``held_up_s`` is how long an attempt that
    was killed had been running without a row that could be written.

    :param timeout_s: how long to wait for another process that holds the file, such as a settlement.
    :raises ArtifactError: the file cannot be opened, or another process writes to it (LedgerInUse).
    """

    def __init__(self, path: Path, *, timeout_s: float = 0.0) -> None:
        self.path = path
        self._timeout_s = timeout_s
        self.problems: tuple[str, ...] = ()
        self.last_end: datetime | None = None
        self.next_attempt = 1
        self.held_up_s = 0.0
        self._file = -1
        self._attempt: int | None = None
        self._rows = 0
        self._energies_kwh: list[float] = []
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
        end = self.last_end
        for row in rows:
            if row.end <= row.start or (end is not None and row.start < end):
                raise MeasurementError(
                    f"{self.path}: a row from {format_time(row.start)} is out of order and was refused"
                )
            end = row.end
        self._append("".join(row.as_json_line() for row in rows))
        self.last_end = end
        self._rows += len(rows)
        self._energies_kwh.append(math.fsum(row.energy_kwh for row in rows))

    def open_attempt(self, attempt: int, details: Mapping[str, Any]) -> None:
        """Begin an attempt with a line that says what the run is about; until it is closed, readers report it as open.

        :raises ArtifactError: as ``append``.
        """
        self._attempt, self._rows, self._energies_kwh = attempt, 0, []
        held_up = {HELD_UP: self.held_up_s} if self.held_up_s > 0 else {}
        self._append_event(attempt, LedgerEventKind.OPENED, {**details, **held_up})

    def close_attempt(
        self, outcome: str, problems: Sequence[str] = (), *, result: Mapping[str, Any] | None = None
    ) -> None:
        """End the attempt with a line that says how it went, how many rows it has and what they sum to.

        :param result: of a training that finished, so that its record can be derived from the folder alone.
        :raises ArtifactError: as ``append``; readers then report the attempt as killed.
        """
        if self._attempt is None:
            return
        energy_kwh = math.fsum(self._energies_kwh)
        details = {"outcome": outcome, "rows": self._rows, "energy_kwh": energy_kwh, "problems": list(problems)}
        finished = {} if result is None else {"result": dict(result)}
        self._append_event(self._attempt, LedgerEventKind.CLOSED, details | finished)
        self._attempt = None

    def touch(self) -> None:
        """Show that the run is alive although no row can be written; it needs no room on the disk."""
        with contextlib.suppress(OSError):
            os.utime(self._file)

    def _append_event(self, attempt: int, kind: LedgerEventKind, details: Mapping[str, Any]) -> None:
        event = LedgerEvent(event=kind, attempt=attempt, at=utc_now(), monotonic_s=time.monotonic(), details=details)
        self._append(event.as_json_line())

    def _append(self, lines: str) -> None:
        content = lines.encode()
        try:
            self._take_back()
            left = content
            while left:
                left = left[os.write(self._file, left) :]
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
        # the lock of a writer that was not closed must not outlive it: the next attempt may run in this process
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
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
            sync_folder(self.path.parent)
            self._size = os.fstat(self._file).st_size
        except OSError as error:
            raise self._refused("cannot be opened", error) from error
        found = read_ledger(self.path)
        self.last_end = found.rows[-1].end if found.rows else None
        self.next_attempt = found.next_attempt
        self.held_up_s = held_up_s(found, touched_s)

    def _open(self) -> None:
        self._file = open_held(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, timeout_s=self._timeout_s)

    def _take_back(self) -> None:
        if os.fstat(self._file).st_size > self._size:
            os.ftruncate(self._file, self._size)

    def _refused(self, what: str, error: OSError) -> ArtifactError:
        return ArtifactError(
            f"{self.path}: the ledger {what} ({error.strerror}); free space there, fix the permissions, or choose another folder"
        )


# What was known of the grid, beside the ledger: one reading a line, with the time at which it was learnt.


class IntensityLog:
    """Appends what is learnt of the grid to ``intensity.jsonl`` in a run's folder; what the file has already is left out.

    :raises ArtifactError: the file cannot be read or written.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / INTENSITY_NAME
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            _drop_torn_end(self.path)
        except OSError as error:
            raise self._refused(error) from error
        self._newest = dict(_interval_and_figure(entry.reading) for entry in read_intensity(folder)[0])

    def append(self, readings: Iterable[Reading], learnt_at: datetime) -> int:
        """Write the readings that are new and wait until they are on the disk; return how many there were.

        :raises ArtifactError: full disk, no permission; what was written in part is taken back.
        """
        new = [reading for reading in readings if _interval_and_figure(reading) not in self._newest.items()]
        if not new:
            return 0
        lines = "".join(KnownIntensity(reading=reading, learnt_at=learnt_at).as_json_line() for reading in new)
        try:
            append_durably(self.path, lines.encode())
        except OSError as error:
            with contextlib.suppress(OSError):
                _drop_torn_end(self.path)
            raise self._refused(error) from error
        self._newest.update(map(_interval_and_figure, new))
        return len(new)

    def _refused(self, error: OSError) -> ArtifactError:
        return ArtifactError(f"cannot write {self.path} ({error.strerror}); free space or change its permissions")


def _interval_and_figure(reading: Reading) -> tuple[tuple[object, ...], tuple[float, str]]:
    interval = (reading.start, reading.end, reading.kind, *reading.meaning)
    return interval, (reading.carbon_intensity_gco2eq_per_kwh, reading.source)


def _drop_torn_end(path: Path) -> None:
    """Cut off a last line that a killed process left half-written: it never was an entry."""
    if not path.exists() or _is_ended(path):
        return
    content = path.read_bytes()
    os.truncate(path, content.rfind(b"\n") + 1)
