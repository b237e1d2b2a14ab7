"""What a set of values says, whatever their order: the newest value of each interval, the actual one before a forecast."""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice, pairwise

from include.scheduler.history.values import ACTUAL, FORECAST, Value

Interval = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """What came to be known of one interval; None where nothing did."""

    forecast: Value | None = None
    """The last forecast from before the interval began, else the first one after."""
    first_actual: Value | None = None
    actual: Value | None = None
    """The newest actual value: another one than ``first_actual`` where it was revised."""


def newest(values: Iterable[Value], *, known_by_us: int | None = None) -> dict[Interval, Value]:
    """Return the newest value of each interval, as of a moment or of all that is known."""
    found: dict[Interval, Value] = {}
    for value in values:
        if known_by_us is not None and value[5] > known_by_us:
            continue
        interval = value[:2]  # by index: properties would make a year of half-hours take twice as long
        rival = found.get(interval)
        if rival is None or value[5] > rival[5] or (value[5] == rival[5] and value.recency > rival.recency):
            found[interval] = value
    return found


def best(actual: Iterable[Value], forecast: Iterable[Value], *, known_by_us: int | None = None) -> list[Value]:
    """Return one value an instant at most, in time order: an actual one where there is one, else the newest forecast."""
    found = newest(forecast, known_by_us=known_by_us) | newest(actual, known_by_us=known_by_us)
    chosen = sorted(found.values())
    if any(later.start_us < earlier.end_us for earlier, later in pairwise(chosen)):
        return _without_overlap(chosen)
    return chosen


def stages(values: Iterable[Value]) -> Iterator[tuple[Interval, Stages]]:
    """Yield every interval with what came to be known of it, in time order."""
    by_interval: dict[Interval, list[Value]] = {}
    for value in values:
        by_interval.setdefault(value.interval, []).append(value)
    for interval, known in sorted(by_interval.items()):
        known.sort(key=lambda value: value.recency)
        actual = [value for value in known if value.stage == ACTUAL]
        yield (
            interval,
            Stages(
                forecast=_telling_forecast([value for value in known if value.stage == FORECAST]),
                first_actual=actual[0] if actual else None,
                actual=actual[-1] if actual else None,
            ),
        )


def news(values: Iterable[Value], known: Iterable[Value]) -> list[Value]:
    """Return the values that change what is known at their moment; a repeated answer is no news."""
    history: dict[tuple[Interval, str], list[Value]] = {}
    for value in known:
        history.setdefault((value.interval, value.stage), []).append(value)
    fresh = []
    for value in sorted(set(values), key=lambda value: value.recency):
        line = history.setdefault((value.interval, value.stage), [])
        before = max((v for v in line if v.known_at_us <= value.known_at_us), key=lambda v: v.recency, default=None)
        if value not in line and (before is None or before[:5] != value[:5]):
            fresh.append(value)
            line.append(value)
    return fresh


def _telling_forecast(forecasts: list[Value]) -> Value | None:
    """Return the forecast that a decision could rest on; ``forecasts`` come in the order in which they became known."""
    before = [value for value in forecasts if value.known_at_us < value.start_us]
    return before[-1] if before else forecasts[0] if forecasts else None


def _without_overlap(values: list[Value]) -> list[Value]:
    """Cut what overlaps: an actual value before a forecast, a finer one before a coarser, a newer one before an older."""
    rank = {ACTUAL: 0, FORECAST: 1}
    taken: list[Value] = []
    for value in sorted(values, key=lambda v: (rank[v.stage], v.end_us - v.start_us, -v.known_at_us, v)):
        for start, end in _free(taken, value.interval):
            insort(taken, value._replace(start_us=start, end_us=end))
    return taken


def _free(taken: list[Value], interval: Interval) -> list[Interval]:
    """Return what values without overlap, in time order, leave free of an interval."""
    start, end = interval
    free: list[Interval] = []
    for value in islice(taken, max(0, bisect_left(taken, (start,)) - 1), None):
        if value.start_us >= end:
            break
        if value.start_us > start:
            free.append((start, value.start_us))
        start = max(start, value.end_us)
    return [*free, (start, end)] if start < end else free
