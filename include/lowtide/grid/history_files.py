"""The files of a store: read them while others write and compact, publish new ones, never change one."""

import gzip
import hashlib
import json
import logging
import re
import time
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import quote, unquote

from lowtide.errors import ArtifactError
from lowtide.io import write_bytes_atomically
from lowtide.records import EmissionFactorType, IntensityKind, Reading, SignalType

# Which signal a store holds: values of two keys are never mixed, so each key has a folder of its own.


_PUBLIC = "public"


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryKey:
    """Zone, source, connection (None: the source's public address), signal type and emission factor type."""

    zone: str
    source: str
    connection: str | None = None
    signal_type: SignalType
    emission_factor_type: EmissionFactorType

    def folder(self, artifacts_root: Path) -> Path:
        """Return the store's folder: history/<zone>/<source>/<connection or public>/<signal>-<factor>."""
        connection = _PUBLIC if self.connection is None else _component(self.connection)
        meaning = f"{self.signal_type.value}-{self.emission_factor_type.value}"
        return history_root(artifacts_root) / _component(self.zone) / _component(self.source) / connection / meaning

    def admits(self, reading: Reading) -> bool:
        """Whether a reading is of this zone and means the same by its grams."""
        mine = (self.zone, self.signal_type, self.emission_factor_type)
        return (reading.zone, reading.signal_type, reading.emission_factor_type) == mine

    def as_json(self) -> dict[str, Any]:
        """Return a JSON-able mapping, which every part of the store carries."""
        return asdict(self)

    @classmethod
    def from_folder(cls, folder: Path) -> Self | None:
        """Return the key of a store's folder; None where the folder is no store's."""
        zone, source, connection, meaning = folder.parts[-4:]
        signal_type, _, factor_type = meaning.partition("-")
        try:
            return cls(
                zone=unquote(zone),
                source=unquote(source),
                connection=None if connection == _PUBLIC else unquote(connection),
                signal_type=SignalType(signal_type),
                emission_factor_type=EmissionFactorType(factor_type),
            )
        except ValueError:
            return None


def history_root(artifacts_root: Path) -> Path:
    """Return the folder of all stores."""
    return artifacts_root / "history"


def _component(text: str) -> str:
    """Return a text as one path component; two texts never share one, and none is hidden, ``public`` or a parent."""
    quoted = quote(text, safe="")
    if quoted.startswith(".") or quoted == _PUBLIC:
        return f"%{ord(text[0]):02X}{quoted[1:]}"
    return quoted


# One value of the history: an interval's intensity, how anyone knows, and since when.


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
ACTUAL, FORECAST = "actual", "forecast"
STAGE_OF_KIND = {
    IntensityKind.MEASURED: ACTUAL,
    IntensityKind.ESTIMATED: ACTUAL,
    IntensityKind.FORECAST: FORECAST,
}
"""Kinds that are knowledge of the grid; cached, modelled and replayed readings stand in for it and are not kept."""
_KIND = {kind.value: kind for kind in STAGE_OF_KIND}


class Value(NamedTuple):
    """Moments in microseconds since 1970 (UTC): a year of values is compared and sorted without a datetime."""

    start_us: int
    end_us: int
    gco2eq_per_kwh: float
    kind: str
    source: str
    known_at_us: int

    @property
    def interval(self) -> tuple[int, int]:
        """Start and end; revisions of one interval are found by it."""
        return self.start_us, self.end_us

    @property
    def stage(self) -> str:
        """``actual`` or ``forecast``."""
        return STAGE_OF_KIND[_KIND[self.kind]]

    @property
    def recency(self) -> tuple[int, bool, float, str]:
        """What is known later stands; the rest only makes ties independent of the order of parts."""
        return self.known_at_us, self.kind == IntensityKind.MEASURED, self.gco2eq_per_kwh, self.source

    @property
    def month(self) -> str:
        """The UTC month in which the interval begins, by which parts are kept apart."""
        return month_of(from_us(self.start_us))


def to_us(moment: datetime) -> int:
    """Return microseconds since 1970."""
    return (moment - _EPOCH) // _MICROSECOND


def from_us(microseconds: int) -> datetime:
    """Return the moment in UTC."""
    return _EPOCH + timedelta(microseconds=microseconds)


def month_of(moment: datetime) -> str:
    """Return ``YYYY-MM``."""
    return f"{moment.year:04d}-{moment.month:02d}"


def value_of(reading: Reading, known_at: datetime) -> Value:
    """Return a reading as it was learnt at a moment."""
    return Value(
        to_us(reading.start),
        to_us(reading.end),
        reading.carbon_intensity_gco2eq_per_kwh,
        reading.kind.value,
        reading.source,
        to_us(known_at),
    )


def readings_of(values: Iterable[Value], key: HistoryKey) -> tuple[Reading, ...]:
    """Return values as readings of the key's zone; the moment at which two intervals meet is made once."""
    zone, signal_type, factor_type = key.zone, key.signal_type, key.emission_factor_type
    moments: dict[int, datetime] = {}
    readings = []
    for start_us, end_us, gco2eq_per_kwh, kind, source, _ in values:
        start = moments.get(start_us) or from_us(start_us)
        end = moments[end_us] = from_us(end_us)
        readings.append(
            Reading(
                zone=zone,
                start=start,
                end=end,
                carbon_intensity_gco2eq_per_kwh=gco2eq_per_kwh,
                source=source,
                kind=_KIND[kind],
                signal_type=signal_type,
                emission_factor_type=factor_type,
            )
        )
    return tuple(readings)


# A part: a few values of one month in one immutable file, gzip of JSON in columns (``zcat PART | jq`` reads it).
#
# The name says month, stage, whether compaction wrote it, and the digest of the file's bytes: ``2026-03.actual.new-<24 hex>``.
# So a part is never written twice with different content, and a damaged one is noticed.


_FORMAT = 1
_NAME = re.compile(r"(\d{4}-\d{2})\.(actual|forecast)\.(new|all)-([0-9a-f]{24})\.json\.gz")


class UnreadablePart(ValueError):
    """A part that is damaged or not of this store; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class PartName:
    """What a part's name says."""

    text: str
    month: str
    stage: str
    compacted: bool
    digest: str

    @classmethod
    def parse(cls, text: str) -> "PartName | None":
        """Read a file's name; None for a file that is no part (a temporary one, say)."""
        match = _NAME.fullmatch(text)
        return cls(text, match[1], match[2], match[3] == "all", match[4]) if match else None


@dataclass(frozen=True, slots=True)
class Part:
    """A part's values, and the names of the parts whose values it holds too."""

    values: tuple[Value, ...]
    replaces: frozenset[str] = frozenset()


def encode_part(key: HistoryKey, part: Part) -> tuple[str, bytes]:
    """Return name and bytes; the same values give the same name. All values are of one month and stage."""
    rows = sorted(set(part.values))
    kinds, sources = sorted({row.kind for row in rows}), sorted({row.source for row in rows})
    document = {
        "format": _FORMAT,
        "key": key.as_json(),
        "replaces": sorted(part.replaces),
        "kinds": kinds,
        "sources": sources,
        "start_us": [row.start_us for row in rows],
        "length_us": [row.end_us - row.start_us for row in rows],
        "carbon_intensity_gco2eq_per_kwh": [row.gco2eq_per_kwh for row in rows],
        "kind": [kinds.index(row.kind) for row in rows],
        "source": [sources.index(row.source) for row in rows],
        "known_at_us": [row.known_at_us for row in rows],
    }
    text = json.dumps(document, allow_nan=False, separators=(",", ":"))
    data = gzip.compress(text.encode(), compresslevel=6, mtime=0)
    written_by = "all" if part.replaces else "new"
    return f"{rows[0].month}.{rows[0].stage}.{written_by}-{_digest(data)}.json.gz", data


def decode_part(name: PartName, data: bytes, key: HistoryKey) -> Part:
    """Return a part's content.

    :raises UnreadablePart: bytes that are not those that the name stands for, another format, another key.
    """
    if _digest(data) != name.digest:
        raise UnreadablePart("its bytes are not those that were written")
    try:
        document = json.loads(gzip.decompress(data))
        return _content(document, key)
    except (OSError, EOFError, zlib.error, ValueError, KeyError, IndexError, TypeError) as error:
        raise UnreadablePart(f"it is not a part of this store ({error})") from None


def _content(document: dict[str, Any], key: HistoryKey) -> Part:
    if document["format"] != _FORMAT:
        raise UnreadablePart(f"its format is {document['format']}, this version reads {_FORMAT}")
    if document["key"] != key.as_json():
        raise UnreadablePart("it belongs to another zone, source or meaning")
    kinds, sources = document["kinds"], document["sources"]
    starts = document["start_us"]
    columns: tuple[Iterable[Any], ...] = (
        starts,
        [start + length for start, length in zip(starts, document["length_us"], strict=True)],
        document["carbon_intensity_gco2eq_per_kwh"],
        [kinds[index] for index in document["kind"]],
        [sources[index] for index in document["source"]],
        document["known_at_us"],
    )
    values = tuple(map(Value._make, zip(*columns, strict=True)))
    return Part(values, frozenset(document["replaces"]))


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:24]


_log = logging.getLogger(__name__)
_ATTEMPTS = 100
_LEFTOVER_AGE = timedelta(hours=1)
"""A temporary file of this age belongs to a writer that is dead."""


class PartFolder:
    """Immutable parts under one folder. Parts once read are kept in memory: they cannot change."""

    def __init__(self, path: Path, key: HistoryKey) -> None:
        self.path = path
        self.key = key
        self._read: dict[str, Part] = {}
        self._unreadable: dict[str, str] = {}

    @property
    def unreadable(self) -> dict[str, str]:
        """Parts that were skipped, with the reason, as far as they have been looked at."""
        return dict(self._unreadable)

    def names(self) -> list[PartName]:
        """Return the parts that are there now.

        :raises ArtifactError: the folder is there but cannot be listed.
        """
        try:
            found = [PartName.parse(entry.name) for entry in self.path.iterdir()]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise ArtifactError(
                f"cannot list {self.path} ({error.strerror}); the artifact root must be a folder that can be read"
            ) from None
        return sorted((name for name in found if name is not None), key=lambda name: name.text)

    def parts(self, wanted: Callable[[PartName], bool]) -> dict[str, Part]:
        """Return the wanted parts by name, without those whose values another one holds too.

        A part that vanishes between the listing and the reading has been compacted: then all is listed again.

        :raises ArtifactError: a part that is there but may not be read, or a folder that never holds still.
        """
        for _ in range(_ATTEMPTS):
            names = self.names()
            self._forget_all_but({name.text for name in names})
            try:
                return self._present([name for name in names if wanted(name)])
            except FileNotFoundError:
                continue
        raise ArtifactError(f"{self.path} changed {_ATTEMPTS} times while it was read; compact it less often")

    def publish(self, part: Part) -> str:
        """Write a part durably under its final name, in one step, and return the name.

        :raises ArtifactError: full disk, no permission; nothing that a reader would see is left behind.
        """
        name, data = encode_part(self.key, part)
        write_bytes_atomically(self.path / name, data)
        return name

    def reread(self, name: PartName) -> Part | None:
        """Return a part as it is on the disk now; None where it is gone or unreadable."""
        self._read.pop(name.text, None)
        try:
            return self._part(name)
        except FileNotFoundError:
            return None

    def delete(self, names: Collection[str]) -> int:
        """Delete parts and return how many were still there; another compaction may be at it too."""
        deleted = 0
        for name in names:
            with suppress(FileNotFoundError):
                (self.path / name).unlink()
                deleted += 1
        return deleted

    def age(self, name: str) -> timedelta | None:
        """Return how long ago a part was published; None where it is gone."""
        try:
            return timedelta(seconds=time.time() - (self.path / name).stat().st_mtime)
        except FileNotFoundError:
            return None

    def delete_leftovers(self) -> int:
        """Delete the temporary files of writers that died, and return how many."""
        old = [path.name for path in self._temporary() if (self.age(path.name) or timedelta(0)) > _LEFTOVER_AGE]
        return self.delete(old)

    def _temporary(self) -> Iterator[Path]:
        return self.path.glob(".*.tmp")

    def _present(self, names: list[PartName]) -> dict[str, Part]:
        compacted = {name.text: self._part(name) for name in names if name.compacted}
        replaced = {text for part in compacted.values() if part for text in part.replaces}
        found = compacted | {
            name.text: self._part(name) for name in names if not name.compacted and name.text not in replaced
        }
        return {text: part for text, part in found.items() if part is not None and text not in replaced}

    def _part(self, name: PartName) -> Part | None:
        if name.text in self._read:
            return self._read[name.text]
        path = self.path / name.text
        try:
            self._read[name.text] = part = decode_part(name, path.read_bytes(), self.key)
        except FileNotFoundError:
            raise
        except UnreadablePart as error:
            self._name_unreadable(name.text, str(error))
            return None
        except OSError as error:
            raise ArtifactError(f"cannot read {path} ({error.strerror}); mend its permissions") from None
        return part

    def _name_unreadable(self, name: str, reason: str) -> None:
        if name not in self._unreadable:
            _log.warning("history part %s is skipped: %s", self.path / name, reason)
        self._unreadable[name] = reason

    def _forget_all_but(self, names: set[str]) -> None:
        self._read = {name: part for name, part in self._read.items() if name in names}
        self._unreadable = {name: reason for name, reason in self._unreadable.items() if name in names}


# Merges many small parts into one, while others read and write.
#
# 1. The parts of a month and stage are read, and one new part with all their values is published. It names the parts whose
#    values it holds. From then on readers leave those aside; reading both would only say the same twice.
# 2. A part that is held by another is deleted only when that other one has been there for a grace period, and is still
#    readable. A reader that lists the folder in between sees either the old parts or the new one, never neither, also where
#    listings are a little late (NFS). A reader whose listing is older finds a file gone, and lists again.
# 3. Parts that cannot be read are left where they are, and named.
#
# Two compactions at once write parts that hold the same values, or delete the same files: neither loses one.


@dataclass(frozen=True, slots=True, kw_only=True)
class Compaction:
    """What a compaction did."""

    merged: int = 0
    """Parts whose values another part now holds too."""
    written: int = 0
    deleted: int = 0
    """Files that were replaced by an earlier compaction, or left behind by a writer that died."""
    unreadable: tuple[str, ...] = ()


def compact(folder: PartFolder, *, minimum_parts: int, grace: timedelta) -> Compaction:
    """Merge each month and stage that has at least ``minimum_parts`` parts, then delete what older merges replaced.

    :raises ArtifactError: full disk or no permission; no value is lost.
    """
    merged = written = 0
    for month, stage in sorted({(name.month, name.stage) for name in folder.names()}):
        parts = folder.parts(lambda name, group=(month, stage): (name.month, name.stage) == group)  # type: ignore[misc]
        if len(parts) >= max(2, minimum_parts):
            folder.publish(_merged(parts, {name.text for name in folder.names()}))
            merged += len(parts)
            written += 1
    deleted = folder.delete(_replaced(folder, grace)) + folder.delete_leftovers()
    return Compaction(merged=merged, written=written, deleted=deleted, unreadable=tuple(sorted(folder.unreadable)))


def _merged(parts: dict[str, Part], present: set[str]) -> Part:
    """Return one part with the values of all; ``present`` keeps the list of held parts from growing for ever."""
    values = {value for part in parts.values() for value in part.values}
    held = {name for part in parts.values() for name in part.replaces}
    return Part(tuple(values), frozenset(parts) | (held & present))


def _replaced(folder: PartFolder, grace: timedelta) -> set[str]:
    """Return the parts that may go: held by another one that is old enough, and readable at this moment."""
    names = {name.text: name for name in folder.names()}
    replaced: set[str] = set()
    for text, name in names.items():
        if name.compacted and _is_old(folder, name, grace):
            holder = folder.reread(name)
            replaced |= (holder.replaces & names.keys()) - {text} if holder else set()
    return replaced


def _is_old(folder: PartFolder, name: PartName, grace: timedelta) -> bool:
    age = folder.age(name.text)
    return age is not None and age >= grace
