"""Reading a ledger back: whole rows are kept, and what is missing is said."""

import json
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from include.errors import ArtifactError
from include.moments import format_moment
from include.records import LedgerEvent, LedgerRow
from include.tracker.ledger.attempts import attempt_problems

TORN_SUFFIX = ".torn"


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerContents:
    """The rows that are whole, and one sentence for each thing that is missing or out of place."""

    rows: tuple[LedgerRow, ...]
    problems: tuple[str, ...]
    events: tuple[LedgerEvent, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    number: int
    raw: bytes
    row: LedgerRow | None = None
    event: LedgerEvent | None = None
    problem: str | None = None


def read_ledger(path: Path) -> LedgerContents:
    """Read every whole row; torn and corrupt lines, overlaps, uncovered time and attempts without an end are named.

    :raises ArtifactError: the file is missing or cannot be read.
    """
    problems: list[str] = []
    rows: list[LedgerRow] = []
    numbers: list[int] = []
    events: list[LedgerEvent] = []
    for line in _lines(path):  # one at a time: the ledger of a month is 300 MB of text
        if line.problem:
            problems.append(f"{path}, line {line.number}: {line.problem}; this row is missing")
        elif line.row is not None:
            rows.append(line.row)
            numbers.append(line.number)
        elif line.event is not None:
            events.append(line.event)
    problems += [f"{path}, line {number}: {what}" for number, what in _out_of_place(numbers, rows)]
    problems += [f"{path}: {what}" for what in attempt_problems(rows, events)]
    return LedgerContents(rows=tuple(rows), problems=tuple(problems), events=tuple(events))


def repair_ledger(path: Path) -> list[str]:
    """Make every line of a ledger a whole row: broken lines are moved to ``<name>.torn``, whole rows stay byte for byte.

    Call it when nothing writes to the ledger. Does nothing to a ledger in order. Returns what was moved or mended.

    :raises ArtifactError: the file is missing, or cannot be read or written.
    """
    broken = [line for line in _lines(path) if line.problem]
    if not broken and _is_ended(path):
        return []
    try:
        if broken:
            _append_synced(path.with_name(path.name + TORN_SUFFIX), b"".join(line.raw + b"\n" for line in broken))
        _replace_synced(path, (line.raw + b"\n" for line in _lines(path) if not line.problem))
    except OSError as error:
        raise ArtifactError(
            f"{path}: cannot be repaired ({error.strerror}); free space or mend its permissions"
        ) from error
    moved = [f"{path}, line {line.number}: {line.problem}; moved to {path.name}{TORN_SUFFIX}" for line in broken]
    return moved or [f"{path}: ended the last line, whose row was whole"]


def _lines(path: Path) -> Iterator[_Line]:
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(file, start=1):
                if raw.strip():
                    yield _parse(number, raw.removesuffix(b"\n"))
    except FileNotFoundError:
        raise ArtifactError(f"{path}: there is no such ledger; give the folder of a run") from None
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read ({error.strerror}); check the path and its permissions") from error


def _is_ended(path: Path) -> bool:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        return file.read() in (b"", b"\n")


def _parse(number: int, raw: bytes) -> _Line:
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError):  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        return _Line(number=number, raw=raw, problem="is torn or not JSON")
    try:
        if "event" in data:
            return _Line(number=number, raw=raw, event=LedgerEvent.from_json(data))
        row = LedgerRow.from_json(data)
        figures = _figures(row)
        sound = row.start < row.end and all(math.isfinite(figure) and figure >= 0 for figure in figures)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        return _Line(number=number, raw=raw, problem=f"is not a ledger row ({type(error).__name__}: {error})")
    if not sound:
        what = "holds an impossible figure or an interval that does not run forwards"
        return _Line(number=number, raw=raw, problem=what)
    return _Line(number=number, raw=raw, row=row)


def _figures(row: LedgerRow) -> Iterator[float]:
    yield from (row.cpu_energy_kwh, row.gpu_energy_kwh, row.ram_energy_kwh)
    yield from (row.carbon_intensity_gco2eq_per_kwh, row.emissions_gco2eq)
    more = (row.machine_cpu_energy_kwh, row.machine_gpu_energy_kwh, row.machine_ram_energy_kwh)
    yield from (kwh for kwh in more if kwh is not None)
    first = (row.booked_carbon_intensity_gco2eq_per_kwh, row.booked_emissions_gco2eq)
    yield from (figure for figure in first if figure is not None)


def _out_of_place(numbers: Sequence[int], rows: Sequence[LedgerRow]) -> Iterator[tuple[int, str]]:
    for number, (earlier, later) in zip(numbers[1:], pairwise(rows), strict=True):
        if later.start < earlier.end:
            yield number, f"begins at {format_moment(later.start)}, before the row above ends"
        elif later.start > earlier.end and later.attempt == earlier.attempt:
            yield number, f"no row covers {format_moment(earlier.end)} to {format_moment(later.start)}"


def _append_synced(path: Path, content: bytes) -> None:
    with path.open("ab") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _replace_synced(path: Path, lines: Iterable[bytes]) -> None:
    temporary = path.with_name(path.name + ".tmp")
    kept = path.stat()
    with temporary.open("wb") as file:
        file.writelines(lines)
        file.flush()
        os.utime(file.fileno(), ns=(kept.st_atime_ns, kept.st_mtime_ns))  # a sign of when its run was last alive
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_folder(path)


def sync_folder(path: Path) -> None:
    """Make a file's name survive a power failure, not only its content."""
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
