"""One thread that samples the meter, books the energy against the grid and appends it to the ledger."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from types import TracebackType
from typing import Self

from include.errors import MeasurementError
from include.records import LedgerRow, Phase, Reading
from include.tracker.ledger.writing import LedgerWriter
from include.tracker.meters.meter import EnergyMeter, MeterReading
from include.tracker.recording.intervals import BookingQueue
from include.tracker.recording.live import LiveFigures
from include.tracker.recording.phases import Edge, Mark, totals
from include.tracker.recording.policy_clock import PolicyClock
from include.tracker.recording.suspension import cut_awake
from include.units import JOULES_PER_KWH

_ZERO = {"cpu_energy_kwh": 0.0, "gpu_energy_kwh": 0.0, "ram_energy_kwh": 0.0}
_NO_ENERGY = (0.0, 0.0, 0.0)


class EnergyRecorder:
    """Records from ``start`` to ``stop``; training goes on whatever happens here, and nothing that happens is silent.

    An error of the meter, the grid or the ledger is kept in ``failure`` and raised at ``stop``. What can be made good is: the
    meter's totals are cumulative, so a failed sample is covered by the next, and rows that a full disk refused are written as
    soon as there is room. Made good or not, ``problems`` tells of it.

    :param readings_for: the grid's readings for a span of policy time; called on the recorder's thread.
    :param now: policy time, virtual under replay.
    :param interval_s: real seconds between two rows.
    """

    def __init__(
        self,
        meter: EnergyMeter,
        ledger: LedgerWriter,
        readings_for: Callable[[datetime, datetime], Sequence[Reading]],
        *,
        now: Callable[[], datetime],
        interval_s: float,
        pue: float,
        attempt: int,
    ) -> None:
        self._meter, self._ledger, self._now, self._interval_s = meter, ledger, now, interval_s
        self._queue = BookingQueue(ledger, readings_for, pue=pue, attempt=attempt)
        self._thread = threading.Thread(target=self._run, name="energy-recorder", daemon=True)
        self._wake, self._stopping, self._marks_lock = threading.Event(), threading.Event(), threading.Lock()
        self._marks: list[Mark] = []
        self._phase = Phase.STARTUP
        self._fatal: Exception | None = None
        self._meter_trouble: Exception | None = None
        self._live = ledger.so_far
        self._power_w = 0.0
        self._problems: list[str] = []
        self._started_s: float | None = None

    def start(self) -> None:
        """Open the measuring window, in phase STARTUP.

        :raises MeasurementError: the meter does not start, or the recorder was started before.
        """
        if self._started_s is not None:
            raise MeasurementError("the energy recorder was started twice; make a new one for each attempt")
        opened = self._meter.start()
        self._clock = PolicyClock(self._now, not_before=self._ledger.last_end)
        # totals count from the meter's start: what its start itself used belongs to the first row
        machine = None if opened.machine_energy_kwh is None else _NO_ENERGY
        self._edge = Edge(self._clock.start, replace(opened, **_ZERO, machine_energy_kwh=machine))
        self._started_s = time.monotonic()
        self._thread.start()

    def set_phase(self, phase: Phase) -> None:
        """Begin another phase now; returns at once and may be called from any thread."""
        if self._started_s is None:
            raise MeasurementError(f"phase {phase} was set before the energy recorder was started")
        with self._marks_lock:
            last = self._marks[-1].phase if self._marks else self._phase
            if phase is last:
                return
            self._marks.append(Mark(self._clock.moment(), phase))
        self._wake.set()

    def stop(self) -> None:
        """Write the final row, stop the meter and raise what is still wrong; a second call only raises.

        :raises LowtideError: rows are missing from the ledger; the message says why.
        """
        self._stopping.set()
        self._wake.set()
        if self._started_s is not None:
            self._thread.join()
        if self.failure is not None:
            raise self.failure

    @property
    def failure(self) -> Exception | None:
        """What keeps the ledger from being complete, now or for good; None when all is well."""
        return self._fatal or self._queue.lost or self._queue.trouble or self._meter_trouble or self._shortfall()

    @property
    def problems(self) -> tuple[str, ...]:
        """Everything that went wrong, mended or not, in sentences: clock steps, late rows, energy left out."""
        clock = self._clock.problems if self._started_s is not None else []
        return (*self._ledger.problems, *self._problems, *self._meter.problems, *clock, *self._queue.problems)

    def live(self) -> LiveFigures:
        """Return the figures of the rows so far; may be called from any thread."""
        elapsed_s = 0.0 if self._started_s is None else time.monotonic() - self._started_s
        return replace(self._live, elapsed_s=elapsed_s)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.stop()
        except Exception as failure:
            if error is None:
                raise
            error.add_note(f"the energy ledger is incomplete as well: {failure}")

    def _shortfall(self) -> MeasurementError | None:
        reason = self._meter.shortfall
        return None if reason is None else MeasurementError(reason)

    def _run(self) -> None:
        try:
            next_s = time.monotonic() + self._interval_s
            while not self._stopping.is_set():
                if self._wake.wait(max(0.0, next_s - time.monotonic())):
                    self._wake.clear()
                else:
                    next_s = max(next_s, time.monotonic()) + self._interval_s
                if not self._stopping.is_set():
                    self._measure(self._meter.sample)
                    self._show(self._queue.book())
        except Exception as error:  # noqa: BLE001 raised at stop(); a thread's traceback would reach nobody
            self._fatal = error
        self._finish()

    def _finish(self) -> None:
        try:
            self._measure(self._meter.stop)
            self._show(self._queue.book_all())
        except Exception as error:  # noqa: BLE001 as above
            self._fatal = self._fatal or error

    def _measure(self, read: Callable[[], MeterReading]) -> None:
        try:
            reading = read()
        except Exception as error:  # noqa: BLE001 the next sample covers this one's energy
            if self._meter_trouble is None:
                self._problems.append(f"the meter failed: {error}")
            self._meter_trouble = error
            return
        self._meter_trouble = None
        before, self._edge = self._edge, Edge(self._clock.moment(), reading)
        self._queue_energy(before, self._edge)

    def _queue_energy(self, before: Edge, after: Edge) -> None:
        phase, marks = self._pass_marks(after.moment)
        used = [late - early for early, late in zip(totals(before.reading), totals(after.reading), strict=True)]
        if min(used) < 0:
            self._fatal = self._fatal or MeasurementError(
                "the energy meter ran backwards; this run's energy is too low"
            )
            return
        lasted_s = after.reading.monotonic_s - before.reading.monotonic_s
        if lasted_s > 0:
            self._power_w = sum(used[:3]) * JOULES_PER_KWH / lasted_s
        for interval in cut_awake(before, after, self._clock.take_sleep(), phase, marks):
            self._queue.add(interval)

    def _pass_marks(self, until: datetime) -> tuple[Phase, list[Mark]]:
        with self._marks_lock:
            due = [mark for mark in self._marks if mark.moment <= until]
            self._marks = self._marks[len(due) :]
            phase = self._phase
            self._phase = due[-1].phase if due else phase
        return phase, due

    def _show(self, rows: Sequence[LedgerRow]) -> None:
        if rows:
            last, live = rows[-1], self._live
            self._live = replace(
                live,
                power_w=self._power_w,
                energy_kwh=live.energy_kwh + sum(row.energy_kwh for row in rows),
                emissions_gco2eq=live.emissions_gco2eq + sum(row.emissions_gco2eq for row in rows),
                carbon_intensity_gco2eq_per_kwh=last.carbon_intensity_gco2eq_per_kwh,
            )
