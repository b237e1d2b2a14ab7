"""An intensity over time as a step function: its mean over any block, and the block that is cheapest.

Pure Python on UNIX seconds: a decision compares some hundreds of blocks, and neither ``Reading`` nor numpy is quick there.
"""

import heapq
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import accumulate, pairwise
from math import exp, isfinite, isnan, nan
from operator import lt, mul, sub
from typing import NamedTuple, Protocol, Self, TypeVar

from lowtide.records import Forecast, IntensityKind, KnownIntensity, Meaning, Reading
from lowtide.timeutil import as_utc

_HOUR = timedelta(hours=1)
_TIE = 1e-9
"""Means closer than this share are equal: sums of floats differ by their order, and a tie must go to the earliest."""


class Block(NamedTuple):
    """A block that begins at ``start_s`` (UNIX seconds) and its mean intensity in g/kWh."""

    start_s: float
    mean_gco2eq_per_kwh: float


Blocks = tuple[tuple[float, ...], tuple[float, ...]]
"""The starts at which a block of one duration begins or ends at an edge, in time order, and the blocks' integrals in g/kWh x s:
what is only compared need not be divided.
"""


def nearly(mean: float) -> float:
    """Return the greatest mean in g/kWh that counts as equal."""
    return mean + _TIE * (1.0 + mean)


_MOST_DURATIONS = 8


class IntensityCurve:
    """Intensity in g/kWh over time, constant over each step; a NaN value is a gap. Immutable; times are UNIX seconds, UTC.

    :param edges_s: where the steps begin and the last one ends, strictly increasing; one more than there are values.
    :raises ValueError: no value, edges that do not increase or do not fit, a value that is infinite or negative.
    """

    __slots__ = ("_blocks", "_gap_sums", "edges_s", "end_s", "has_gaps", "integrals", "start_s", "step_s", "values")

    edges_s: tuple[float, ...]
    values: tuple[float, ...]
    step_s: float | None
    """The length of every step, None where they differ."""
    integrals: tuple[float, ...]
    """The integral in g/kWh x s from the start up to each edge; a gap adds nothing."""

    def __init__(self, edges_s: Sequence[float], values: Sequence[float]) -> None:
        self.edges_s, self.values = tuple(edges_s), tuple(values)
        if not self.values or len(self.edges_s) != len(self.values) + 1:
            raise ValueError(f"a curve of {len(self.values)} values cannot have {len(self.edges_s)} edges")
        if not all(map(lt, self.edges_s, self.edges_s[1:])):
            raise ValueError("the edges of a curve must increase")
        self.start_s, self.end_s = self.edges_s[0], self.edges_s[-1]
        steps = tuple(map(sub, self.edges_s[1:], self.edges_s))
        self.step_s = steps[0] if min(steps) == max(steps) else None
        self._gap_sums: tuple[float, ...] | None = None
        known = self.values
        self.has_gaps = isnan(sum(known))
        if self.has_gaps:
            known = tuple(0.0 if isnan(value) else value for value in known)
            missing = (s if isnan(v) else 0.0 for s, v in zip(steps, self.values, strict=True))
            self._gap_sums = tuple(accumulate(missing, initial=0.0))
        if min(known) < 0 or not isfinite(max(known)):
            raise ValueError("an intensity is finite and >= 0, or NaN for a gap")
        self.integrals = tuple(accumulate(map(mul, steps, known), initial=0.0))
        self._blocks: dict[float, Blocks] = {}

    @classmethod
    def from_readings(cls, readings: Iterable[Reading]) -> Self:
        """Return the curve of readings in time order; what lies between two that do not touch is a gap.

        :raises ValueError: no reading, or readings that overlap.
        """
        edges: list[float] = []
        values: list[float] = []
        for reading in readings:
            start = reading.start.timestamp()
            if edges and start > edges[-1]:
                values.append(nan)
                edges.append(start)
            if not edges:
                edges.append(start)
            elif start < edges[-1]:
                raise ValueError(f"readings overlap at {reading.start}")
            values.append(reading.carbon_intensity_gco2eq_per_kwh)
            edges.append(reading.end.timestamp())
        return cls(edges, values)

    def value_at(self, time_s: float) -> float | None:
        """Return the intensity that holds at a time; None outside the curve and in a gap."""
        i = bisect_right(self.edges_s, time_s) - 1
        if not 0 <= i < len(self.values) or isnan(self.values[i]):
            return None
        return self.values[i]

    def mean_over(self, start_s: float, end_s: float) -> float | None:
        """Return the mean over ``[start_s, end_s)`` in g/kWh; None where the curve does not cover all of it."""
        edges = self.edges_s
        if not edges[0] <= start_s < end_s <= edges[-1]:
            return None
        i = bisect_right(edges, start_s) - 1
        j = bisect_left(edges, end_s, lo=i + 1) - 1
        gaps = self._gap_sums
        # steps i to j are touched, and none of them may be missing
        if gaps is not None and gaps[j + 1] > gaps[i]:
            return None
        values, sums = self.values, self.integrals
        inside = sums[j] - sums[i] + (end_s - edges[j]) * values[j] - (start_s - edges[i]) * values[i]
        return inside / (end_s - start_s)

    def steps(self, start_s: float, end_s: float) -> Iterator[tuple[float, float, float]]:
        """Yield start, end and value of each known step, clipped to ``[start_s, end_s)``."""
        edges = self.edges_s
        first, last = max(0, bisect_right(edges, start_s) - 1), min(len(self.values), bisect_left(edges, end_s))
        for i in range(first, last):
            begin_s, stop_s = max(edges[i], start_s), min(edges[i + 1], end_s)
            if begin_s < stop_s and not isnan(self.values[i]):
                yield begin_s, stop_s, self.values[i]

    def best_start(self, earliest_s: float, latest_s: float, duration_s: float) -> Block | None:
        """Return the cheapest block that begins in ``[earliest_s, latest_s]``, of equal ones the earliest.

        None where the curve covers no such block.
        """
        starts_s, totals = self._blocks_of(duration_s)
        i, j = bisect_right(starts_s, earliest_s), bisect_left(starts_s, latest_s)
        ends = ((start_s, self.mean_over(start_s, start_s + duration_s)) for start_s in {earliest_s, latest_s})
        found = [Block(start_s, mean) for start_s, mean in ends if mean is not None and start_s >= earliest_s]
        if i < j:
            tried = totals[i:j]
            limit = nearly(min(tried) / duration_s) * duration_s
            k = next(k for k, total in enumerate(tried, i) if total <= limit)
            found.append(Block(starts_s[k], totals[k] / duration_s))
        if not found:
            return None
        limit = nearly(min(block.mean_gco2eq_per_kwh for block in found))
        return min(block for block in found if block.mean_gco2eq_per_kwh <= limit)

    def extended_by(self, other: "IntensityCurve") -> "IntensityCurve":
        """Return this curve, and ``other`` where this one has ended; what neither covers between them is a gap."""
        if other.end_s <= self.end_s:
            return self
        i = max(0, bisect_right(other.edges_s, self.end_s) - 1)
        values = other.values[i:]
        edges = other.edges_s[i + 1 :]
        if other.start_s > self.end_s:
            values, edges = (nan, *values), (other.start_s, *edges)
        return IntensityCurve((*self.edges_s, *edges), (*self.values, *values))

    def _blocks_of(self, duration_s: float) -> Blocks:
        """Return the starts at and before edges for a duration; many jobs of one duration share one curve."""
        if duration_s not in self._blocks:
            if len(self._blocks) >= _MOST_DURATIONS:
                self._blocks.clear()
            regular = self.step_s is not None and not self.has_gaps
            self._blocks[duration_s] = (self._regular_blocks if regular else self._general_blocks)(duration_s)
        return self._blocks[duration_s]

    def _regular_blocks(self, duration_s: float) -> Blocks:
        """Return the blocks of a curve without gaps whose steps are of one length, in one pass over its prefix sums."""
        edges_s, sums, n = self.edges_s, self.integrals, len(self.values)
        whole, rest_s = divmod(duration_s, edges_s[1] - edges_s[0])
        k = int(whole)
        if duration_s > self.end_s - self.start_s:
            return (), ()
        if rest_s == 0:
            return edges_s[: n - k + 1], tuple(map(sub, sums[k:], sums))
        # a block that begins at an edge reaches rest_s into step i + k; one that ends at an edge begins rest_s before an edge
        rests = [rest_s * value for value in self.values]
        starts: list[float] = [0.0] * (2 * (n - k))
        totals = starts.copy()
        starts[0::2], starts[1::2] = edges_s[: n - k], [edge - duration_s for edge in edges_s[k + 1 :]]
        totals[0::2] = [b - a + rest for a, b, rest in zip(sums, sums[k:n], rests[k:], strict=False)]
        totals[1::2] = [b - a + rest for a, b, rest in zip(sums[1:], sums[k + 1 :], rests, strict=False)]
        return tuple(starts), tuple(totals)

    def _general_blocks(self, duration_s: float) -> Blocks:
        """Return the blocks of any curve; those that it does not cover are left out."""
        starts = sorted({*self.edges_s, *(edge - duration_s for edge in self.edges_s)})
        found = [(start, mean) for start in starts if (mean := self.mean_over(start, start + duration_s)) is not None]
        return tuple(start for start, _ in found), tuple(mean * duration_s for _, mean in found)


class SavingErrors(Protocol):
    """How wrong earlier predictions were."""

    def saving_interval_percent(
        self, curve: IntensityCurve, now_s: float, start_s: float, duration_s: float
    ) -> tuple[float, float] | None:
        """Return the 10 % and 90 % quantile of a block's saving against one from now; None where they are not known."""


PastErrors = Callable[[datetime], SavingErrors | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """A forecast of the hours to come, from the provider, the history or both.

    ``source`` says who, e.g. "neso" or "the history (365 days, ridge)". The curve may begin before now; with jitter it should,
    by as much as the jitter is. ``past_errors`` returns how wrong such predictions were before a time; to find that takes a while.
    """

    curve: IntensityCurve
    source: str
    issued_at: datetime
    past_errors: PastErrors | None = None


SOON = timedelta(hours=3)
OVERLAP_S = 6 * 3600.0
"""The provider's last hours, over which the two levels are compared."""
DECAY_S = 12 * 3600.0
"""How fast a difference in level is forgotten: after half a day the history's own level holds again to 37 %."""


def provider_curve(reading: Reading, forecast: Forecast) -> IntensityCurve:
    """Return a provider's forecast as a curve; it begins with the reading that holds now where the forecast begins soon."""
    first = forecast.readings[0]
    before = timedelta(0) <= first.start - reading.end <= SOON and reading.meaning == first.meaning
    return IntensityCurve.from_readings((reading, *forecast.readings) if before else forecast.readings)


def prolonged(curve: IntensityCurve, later: IntensityCurve) -> IntensityCurve:
    """Return a curve with another one's hours after its end, moved to its level by a difference that decays.

    A history knows the usual order of the hours to come, not that this week is windier than the last; a jump at the seam
    would pass for a clean or a dirty hour.
    """
    offset = _level_difference(curve, later)
    steps = zip(later.edges_s, later.values, strict=False)
    moved = [value + offset * exp(-max(0.0, start_s - curve.end_s) / DECAY_S) for start_s, value in steps]
    # not max(0.0, value): that makes a gap, which is NaN, a perfectly clean hour
    return curve.extended_by(IntensityCurve(later.edges_s, [0.0 if value < 0.0 else value for value in moved]))


def _level_difference(curve: IntensityCurve, later: IntensityCurve) -> float:
    start_s = max(curve.start_s, later.start_s, curve.end_s - OVERLAP_S)
    if start_s >= curve.end_s:
        return 0.0
    mine, theirs = curve.mean_over(start_s, curve.end_s), later.mean_over(start_s, curve.end_s)
    return 0.0 if mine is None or theirs is None else mine - theirs


Source = Callable[[datetime, datetime], Iterable[Reading]]
Span = tuple[datetime, datetime]
Time = TypeVar("Time", datetime, float)
Item = TypeVar("Item")
Rank = tuple[float, ...]


def gaps(spans: Iterable[tuple[Time, Time]], start: Time, end: Time) -> list[tuple[Time, Time]]:
    """Return what spans, which may overlap, leave uncovered of ``[start, end)``; times are datetimes or seconds."""
    found: list[tuple[Time, Time]] = []
    for begin, stop in sorted(spans):
        if start >= end or begin >= end:
            break
        if begin > start:
            found.append((start, begin))
        start = max(start, stop)
    if start < end:
        found.append((start, end))
    return found


def whole_hours(start: datetime, end: datetime) -> list[datetime]:
    """Return the starts of the whole UTC hours that overlap ``[start, end)``; a local day has 23 or 25 when clocks change."""
    first = hour_of(as_utc(start))
    return [first + i * _HOUR for i in range(-((first - end) // _HOUR))]


def hour_of(time: datetime) -> datetime:
    """Return the start of the hour that holds a time."""
    return time.replace(minute=0, second=0, microsecond=0)


def cover(start: datetime, end: datetime, sources: Sequence[Source]) -> tuple[Reading, ...]:
    """Return readings over ``[start, end)`` in time order, clipped to it, split at every source's boundaries.

    Each source is asked only for the gaps that the sources before it have left. Kinds and sources are kept.

    :raises ValueError: the span runs backwards.
    """
    if end < start:
        raise ValueError(f"the span from {start.isoformat()} to {end.isoformat()} runs backwards")
    pieces: list[Reading] = []
    missing: list[Span] = [(start, end)] if end > start else []
    for source in sources:
        found = [piece for gap in missing for piece in _clip(source(*gap), *gap)]
        pieces = sorted([*pieces, *found], key=lambda piece: piece.start)
        missing = gaps(((piece.start, piece.end) for piece in pieces), start, end)
    return tuple(pieces)


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


# What counts of a record's intensities: at each instant, of what was learnt by then, the best kind, of these the newest.


_KIND_RANK = {kind: rank for rank, kind in enumerate(IntensityKind)}
"""Best first: measured, estimated, forecast, cached, modelled, replayed."""


def best_known(
    entries: Sequence[KnownIntensity], *, meaning: Meaning | None = None, as_of: datetime | None = None
) -> list[KnownIntensity]:
    """Return for each time the entry that counts, as entries in time order without overlap.

    :param meaning: signal type and emission factor type; others are left aside. None: all count.
    :param as_of: what was learnt later is left aside; None: nothing is.
    """
    known = [
        (entry.reading.start, entry.reading.end, (_KIND_RANK[entry.reading.kind], -entry.learnt_at.timestamp()), entry)
        for entry in entries
        if (as_of is None or entry.learnt_at <= as_of)
        and meaning in (None, (entry.reading.signal_type, entry.reading.emission_factor_type))
    ]
    return [
        replace(entry, reading=replace(entry.reading, start=start, end=end)) for start, end, entry in foremost(known)
    ]


def foremost(entries: Iterable[tuple[datetime, datetime, Rank, Item]]) -> list[tuple[datetime, datetime, Item]]:
    """Return for each time the item of the least rank, of equal ones the first: start, end and item, in time order.

    :param entries: start, end, rank and item.
    """
    known = [(rank, number, start, end, item) for number, (start, end, rank, item) in enumerate(entries)]
    known.sort(key=lambda entry: entry[2])
    cuts = sorted({cut for _, _, start, end, _ in known for cut in (start, end)})
    found: list[tuple[datetime, datetime, Item]] = []
    active: list[tuple[Rank, int, datetime, datetime, Item]] = []
    ahead = 0
    for start, end in pairwise(cuts):
        while ahead < len(known) and known[ahead][2] <= start:
            heapq.heappush(active, known[ahead])
            ahead += 1
        while active and active[0][3] <= start:
            heapq.heappop(active)
        if active:
            item = active[0][4]
            resumes = bool(found) and found[-1][1] == start and found[-1][2] is item
            found.append((found.pop()[0] if resumes else start, end, item))
    return found
