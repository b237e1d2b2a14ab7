"""For how long, at most, a ledger does not know what its run used."""

import math
from collections.abc import Sequence
from itertools import pairwise

from include.records import LedgerEvent, LedgerEventKind, LedgerRow
from include.tracker.ledger.attempts import lost_energy

HELD_UP = "held_up_s"
"""In an opening line: how long the attempt before it, which was killed, had gone on without a row on the disk."""


def uncovered_s(
    rows: Sequence[LedgerRow],
    events: Sequence[LedgerEvent],
    *,
    interval_s: float,
    speed: float = 1.0,
    held_up_s: float = 0.0,
) -> float | None:
    """Return the real seconds, at most, that no row covers: gaps within attempts, and the ends of those that were killed.

    :param interval_s: of a row, for attempts whose opening line does not tell.
    :param speed: of policy time, above 1 under replay.
    :param held_up_s: of the last attempt, if it is open; ``held_up_s`` measures it.
    :returns: None where energy is missing and nobody knows for how long.
    """
    if any(lost_energy(rows, events)):
        return None
    gaps = [b.start - a.end for a, b in pairwise(rows) if a.attempt == b.attempt and b.start > a.end]
    gaps_s = math.fsum(gap.total_seconds() for gap in gaps) / speed
    opened = {event.attempt: event for event in events if event.event is LedgerEventKind.OPENED}
    closed = {event.attempt for event in events if event.event is LedgerEventKind.CLOSED}
    killed = {*opened, *(row.attempt for row in rows)} - closed
    ends_s = [_interval_s(opened.get(number), interval_s) + _waited_s(number, opened, held_up_s) for number in killed]
    return gaps_s + math.fsum(ends_s)


def held_up_s(rows: Sequence[LedgerRow], events: Sequence[LedgerEvent], touched_s: float) -> float:
    """Return for how long the last attempt went on without writing a row; 0 where it was closed.

    A recorder that cannot write touches the file instead, which needs no room: rows that waited when it was killed are
    lost, and may be many more than the one under way.

    :param touched_s: when the ledger's file was last modified, in seconds of the clock on the wall.
    """
    if not events or events[-1].event is LedgerEventKind.CLOSED:
        return 0.0
    opened = events[-1]
    own = [row.monotonic_s for row in rows if row.attempt == opened.attempt]
    went_s = own[-1] - opened.monotonic_s if own else 0.0
    return max(0.0, touched_s - (opened.at.timestamp() + went_s))


def _waited_s(number: int, opened: dict[int, LedgerEvent], last_s: float) -> float:
    later = [event for attempt, event in sorted(opened.items()) if attempt > number]
    told = later[0].details.get(HELD_UP, 0.0) if later else last_s
    return float(told) if isinstance(told, (int, float)) else 0.0


def _interval_s(opened: LedgerEvent | None, unless_told_s: float) -> float:
    told = opened.details.get("interval_s") if opened else None
    return float(told) if isinstance(told, (int, float)) else unless_told_s
