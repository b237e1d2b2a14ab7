"""Covering a span of time with readings: the best source first, the next one for what is left."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from include.records import Reading

Source = Callable[[datetime, datetime], Iterable[Reading]]
Span = tuple[datetime, datetime]


def cover(start: datetime, end: datetime, sources: Sequence[Source]) -> tuple[Reading, ...]:
    """Return readings over ``[start, end)`` in time order, clipped to it, split at every source's boundaries.

    Each source is asked only for the gaps that the sources before it have left. Kinds and sources are kept.

    :raises ValueError: the span runs backwards.
    """
    if end < start:
        raise ValueError(f"the span from {start.isoformat()} to {end.isoformat()} runs backwards")
    pieces: list[Reading] = []
    gaps: list[Span] = [(start, end)] if end > start else []
    for source in sources:
        found = {gap: _clip(source(*gap), *gap) for gap in gaps}
        gaps = [rest for gap, inside in found.items() for rest in _gaps(inside, *gap)]
        pieces += [piece for inside in found.values() for piece in inside]
    return tuple(sorted(pieces, key=lambda piece: piece.start))


def _clip(readings: Iterable[Reading], start: datetime, end: datetime) -> list[Reading]:
    """Return the parts within the span, in time order; of two that overlap the earlier one holds."""
    clipped: list[Reading] = []
    filled_until = start
    for reading in sorted(readings, key=lambda r: r.start):
        begin, stop = max(filled_until, reading.start), min(end, reading.end)
        if begin < stop:
            clipped.append(replace(reading, start=begin, end=stop))
            filled_until = stop
    return clipped


def _gaps(pieces: Sequence[Reading], start: datetime, end: datetime) -> list[Span]:
    edges = [start, *(edge for piece in pieces for edge in (piece.start, piece.end)), end]
    return [(begin, stop) for begin, stop in zip(edges[::2], edges[1::2], strict=True) if begin < stop]
