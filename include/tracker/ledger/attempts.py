"""One attempt in a ledger, from the line that opens it to the line that closes it."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from include.moments import format_moment, utc_now
from include.records import LedgerEvent, LedgerEventKind, LedgerRow

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_TOLERANCE = 1e-9

INCOMPLETE = "the energy of this run is incomplete: "
"""Begins a sentence of a closing line that says that energy is missing for good; the run's later attempts heed it."""


class Attempt:
    """Counts the rows of an attempt while they are written."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._rows = 0
        self._energies_kwh: list[float] = []

    def opened(self, details: Mapping[str, Any]) -> LedgerEvent:
        """Return the line that opens the attempt."""
        return self._event(LedgerEventKind.OPENED, details)

    def count(self, rows: Sequence[LedgerRow]) -> None:
        """Take rows into account that are on the disk."""
        self._rows += len(rows)
        self._energies_kwh.append(math.fsum(row.energy_kwh for row in rows))

    def closed(self, outcome: str, problems: Sequence[str]) -> LedgerEvent:
        """Return the line that closes the attempt."""
        energy_kwh = math.fsum(self._energies_kwh)
        details = {"outcome": outcome, "rows": self._rows, "energy_kwh": energy_kwh, "problems": list(problems)}
        return self._event(LedgerEventKind.CLOSED, details)

    def _event(self, kind: LedgerEventKind, details: Mapping[str, Any]) -> LedgerEvent:
        return LedgerEvent(
            event=kind,
            attempt=self.number,
            at=utc_now(),
            monotonic_s=time.monotonic(),
            boot_id=_boot_id(),
            details=details,
        )


def attempt_problems(rows: Sequence[LedgerRow], events: Sequence[LedgerEvent]) -> Iterator[str]:
    """Say what is missing of each attempt: its end, or rows that it had when it was closed."""
    opened = {event.attempt: event for event in events if event.event is LedgerEventKind.OPENED}
    closed = {event.attempt: event for event in events if event.event is LedgerEventKind.CLOSED}
    for number, opening in opened.items():
        own = [row for row in rows if row.attempt == number]
        if number in closed:
            yield from _missing_rows(own, closed[number])
        else:
            yield _without_end(own, opening)


def lost_energy(rows: Sequence[LedgerRow], events: Sequence[LedgerEvent]) -> Iterator[str]:
    """Say which energy is known to be missing: rows that an attempt had when it was closed, and what its closing line tells."""
    for event in events:
        if event.event is LedgerEventKind.CLOSED:
            yield from _missing_rows([row for row in rows if row.attempt == event.attempt], event)
        yield from (said for said in map(str, event.details.get("problems", ())) if said.startswith(INCOMPLETE))


def next_attempt(rows: Sequence[LedgerRow], events: Sequence[LedgerEvent]) -> int:
    """Return the number of the attempt that follows; one that was killed before its first row counts too."""
    return 1 + max((*(row.attempt for row in rows), *(event.attempt for event in events)), default=0)


def _without_end(rows: Sequence[LedgerRow], opened: LedgerEvent) -> str:
    known = f"what it used after {format_moment(rows[-1].end)}" if rows else "all that it used"
    interval_s = opened.details.get("interval_s")
    window = f" (normally less than {interval_s:g} s of it)" if isinstance(interval_s, (int, float)) and rows else ""
    return f"attempt {opened.attempt} was not closed, so it was killed or still runs; {known} is missing{window}"


def _missing_rows(rows: Sequence[LedgerRow], closed: LedgerEvent) -> Iterator[str]:
    said, found = closed.details.get("energy_kwh"), math.fsum(row.energy_kwh for row in rows)
    if isinstance(said, (int, float)) and not math.isclose(said, found, rel_tol=_TOLERANCE, abs_tol=1e-15):
        yield (
            f"attempt {closed.attempt} had {said:.6g} kWh in {closed.details.get('rows')} rows when it was closed, but"
            f" {found:.6g} kWh in {len(rows)} rows are left; restore the file"
        )


def _boot_id() -> str | None:
    # monotonic seconds of two attempts are comparable only within one boot
    with suppress(OSError):
        return _BOOT_ID.read_text(encoding="ascii").strip()
    return None
