"""Measured energy on its way into the ledger: what is booked, and what happens when it cannot be booked yet."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from include.moments import format_moment
from include.records import LedgerRow, Phase, Reading
from include.tracker.ledger.writing import LedgerWriter
from include.tracker.recording.booking import Energy, book_interval, spread_machine_energy, spread_monotonic

_TRIES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredInterval:
    """Energy of one phase between two moments of policy time, and the meter's seconds at both.

    ``machine_energy`` is the whole machine's in the same interval; None where it is not known.
    """

    start: datetime
    end: datetime
    phase: Phase
    energy: Energy
    monotonic_start_s: float
    monotonic_end_s: float
    machine_energy: Energy | None = None


class BookingQueue:
    """Books intervals in their order; keeps them through a full disk or a grid that has no answer.

    An interval without a reading is tried at three ticks and then given up, so that one hole in the grid's history does not
    keep every later row in memory, where a SIGKILL would lose them all. A ledger that cannot be written is tried for ever.
    """

    def __init__(
        self,
        ledger: LedgerWriter,
        readings_for: Callable[[datetime, datetime], Sequence[Reading]],
        *,
        pue: float,
        attempt: int,
    ) -> None:
        self._ledger, self._readings_for = ledger, readings_for
        self._pue, self._attempt = pue, attempt
        self._waiting: deque[MeasuredInterval] = deque()
        self._tries, self._patience = 0, _TRIES
        self.trouble: Exception | None = None
        self.lost: Exception | None = None
        self.problems: list[str] = []

    def add(self, interval: MeasuredInterval) -> None:
        """Put an interval behind those that wait."""
        self._waiting.append(interval)

    def book(self) -> list[LedgerRow]:
        """Write what can be written and return the new rows; ``trouble`` says why something still waits."""
        written: list[LedgerRow] = []
        while self._waiting:
            rows = self._rows_in_time(self._waiting[0])
            if rows is None or not self._append(rows):
                break
            if rows:
                self._done()
            written += rows
        if not written:  # the meter fails, or the disk is full: killed now, more is lost than the row under way
            self._ledger.touch()
        return written

    def book_all(self) -> list[LedgerRow]:
        """Book for the last time: what has no reading now is left out, what follows it is written."""
        self._patience = 1
        return self.book()

    def _rows_in_time(self, interval: MeasuredInterval) -> list[LedgerRow] | None:
        """Return the interval's rows; None: try again at the next tick; empty: it was left out."""
        try:
            return self._rows(interval)
        except Exception as error:  # noqa: BLE001 training goes on; the recorder raises it at its stop
            self.trouble = error
            self._tries += 1
            if self._tries < self._patience:
                return None
            self._give_up(interval)
            return []

    def _append(self, rows: list[LedgerRow]) -> bool:
        try:
            self._ledger.append(rows)
        except Exception as error:  # noqa: BLE001 as above
            self.trouble = error
            return False
        return True

    def _give_up(self, interval: MeasuredInterval) -> None:
        self._waiting.popleft()
        self.lost = self.lost or self.trouble
        self.problems.append(
            f"{sum(interval.energy):.3g} kWh from {format_moment(interval.start)} to {format_moment(interval.end)}"
            f" are not in the ledger: {self.trouble}"
        )
        self.trouble, self._tries = None, 0

    def _rows(self, interval: MeasuredInterval) -> list[LedgerRow]:
        rows = book_interval(
            interval.start,
            interval.end,
            interval.energy,
            self._readings_for(interval.start, interval.end),
            phase=interval.phase,
            attempt=self._attempt,
            monotonic_s=interval.monotonic_end_s,
            pue=self._pue,
        )
        rows = spread_monotonic(rows, interval.monotonic_start_s)
        return rows if interval.machine_energy is None else spread_machine_energy(rows, interval.machine_energy)

    def _done(self) -> None:
        interval = self._waiting.popleft()
        if self.trouble is not None:
            self.problems.append(f"rows from {format_moment(interval.start)} were written late: {self.trouble}")
        self.trouble, self._tries = None, 0
