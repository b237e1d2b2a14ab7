"""A trace file: CSV, plain or gzip, with ``timestamp`` (start of interval) and ``carbon_intensity_gco2eq_per_kwh``."""

import csv
import gzip
import io
import math
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

from include.errors import ArtifactError

TIMESTAMP = "timestamp"
INTENSITY = "carbon_intensity_gco2eq_per_kwh"
_GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """Intensities in g/kWh at the starts of intervals of one length, in time order; there may be gaps."""

    name: str
    starts: Sequence[datetime]
    values: Sequence[float]
    resolution: timedelta

    @property
    def end(self) -> datetime:
        """The end of the last interval."""
        return self.starts[-1] + self.resolution


def read_trace(path: Path, *, told_by: str = "grid.replay.trace") -> Trace:
    """Read a trace; its resolution is the shortest step between two rows.

    :param told_by: where the user named the file; an error says to look there.
    :raises ArtifactError: missing, unreadable, no such columns, fewer than two rows, or a line that is no reading.
    """
    rows = _rows(csv.DictReader(io.StringIO(_text(path, told_by), newline="")), path)
    starts = [start for start, _ in rows]
    if len(starts) < 2:
        raise ArtifactError(f"{path}: a trace needs at least two rows, this one has {len(starts)}; check the file")
    steps = [later - earlier for earlier, later in pairwise(starts)]
    if min(steps) == timedelta(0):
        twice = starts[steps.index(timedelta(0))]
        raise ArtifactError(f"{path}: {twice.isoformat()} stands there twice; remove one of the two rows")
    return Trace(name=path.name, starts=starts, values=[value for _, value in rows], resolution=min(steps))


def _text(path: Path, told_by: str) -> str:
    try:
        content = path.read_bytes()
        return (gzip.decompress(content) if content.startswith(_GZIP_MAGIC) else content).decode("utf-8-sig")
    except FileNotFoundError:
        raise ArtifactError(f"{path}: there is no such trace file; check {told_by}") from None
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise ArtifactError(f"{path}: the trace cannot be read ({error}); give a CSV file, plain or gzip") from None


def _rows(reader: "csv.DictReader[str]", path: Path) -> list[tuple[datetime, float]]:
    try:
        missing = {TIMESTAMP, INTENSITY} - set(reader.fieldnames or ())
        if missing:
            raise ArtifactError(
                f"{path}: the column {sorted(missing)[0]!r} is missing; name the columns in the first line"
            )
        return sorted(_parsed(reader, path))
    except csv.Error as error:
        raise ArtifactError(f"{path}, line {reader.line_num}: is not CSV ({error}); check the file") from None


def _parsed(reader: "csv.DictReader[str]", path: Path) -> Iterable[tuple[datetime, float]]:
    for row in reader:
        try:
            start, value = _moment(row[TIMESTAMP]), float(row[INTENSITY])
        except (TypeError, ValueError):
            start, value = None, math.nan
        if start is None or not math.isfinite(value) or value < 0:
            raise ArtifactError(
                f"{path}, line {reader.line_num}: {row[TIMESTAMP]!r}, {row[INTENSITY]!r} is not a moment in ISO-8601"
                " and an intensity of at least 0 g/kWh; mend or remove the line"
            )
        yield start, value


def _moment(text: str) -> datetime:
    """Read a timestamp; the column is UTC by its definition, so one without an offset is UTC."""
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
