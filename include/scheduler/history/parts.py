"""A part: a few values of one month in one immutable file, gzip of JSON in columns (``zcat PART | jq`` reads it).

The name says month, stage, whether compaction wrote it, and the digest of the file's bytes: ``2026-03.actual.new-<24 hex>``.
So a part is never written twice with different content, and a damaged one is noticed.
"""

import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from include.scheduler.history.key import HistoryKey
from include.scheduler.history.values import Value

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
