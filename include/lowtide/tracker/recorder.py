"""One thread that samples the meter, and appends energy to the ledger and the grid's intensity to its own file."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple, Self

from lowtide.errors import MeasurementError
from lowtide.records import KnownIntensity, LedgerRow, Meaning, Phase, Reading, read_intensity
from lowtide.timeutil import as_utc, format_time, utc_now
from lowtide.tracker.emissions import Valuation, split_row, value_rows
from lowtide.tracker.ledger import IntensityLog, LedgerWriter, read_ledger
from lowtide.tracker.meter import EnergyMeter, MeterReading
from lowtide.units import JOULES_PER_KWH

# The figures so far, for the task's log and the progress line.


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveFigures:
    """What was used so far, by earlier attempts too; intensity is None until this one's first row."""

    power_w: float = 0.0
    energy_kwh: float = 0.0
    emissions_gco2eq: float = 0.0
    carbon_intensity_gco2eq_per_kwh: float | None = None

    def plus(self, valued: Valuation, power_w: float) -> "LiveFigures":
        """Return the figures with further rows."""
        last = valued.rows[-1].carbon_intensity_gco2eq_per_kwh if valued.rows else None
        return replace(
            self,
            power_w=power_w,
            energy_kwh=self.energy_kwh + valued.energy_kwh,
            emissions_gco2eq=self.emissions_gco2eq + valued.emissions_gco2eq,
            carbon_intensity_gco2eq_per_kwh=self.carbon_intensity_gco2eq_per_kwh if last is None else last,
        )


# Measured energy as rows, cut at the times at which the phase changed.


class Mark(NamedTuple):
    """From this time on the phase is another one."""

    at: datetime
    phase: Phase


class Edge(NamedTuple):
    """The meter's totals at a policy time."""

    at: datetime
    reading: MeterReading


_CHARGED = ("cpu_energy_kwh", "gpu_energy_kwh", "ram_energy_kwh")
_MACHINE = ("machine_cpu_energy_kwh", "machine_gpu_energy_kwh", "machine_ram_energy_kwh")


def energy_between(before: MeterReading, after: MeterReading) -> dict[str, float]:
    """Return the energy between two readings under the ledger's names; the machine's only where both have it."""
    early, late = ((*reading.energy_kwh, *(reading.machine_energy_kwh or ())) for reading in (before, after))
    return {name: end - start for name, start, end in zip((*_CHARGED, *_MACHINE), early, late, strict=False)}


def cut_rows(
    before: Edge,
    after: Edge,
    phase: Phase,
    marks: Sequence[Mark],
    *,
    asleep: timedelta = timedelta(0),
    attempt: int = 1,
) -> list[LedgerRow]:
    """Return the energy between two edges as rows, split at the marks in proportion to time.

    The sample follows a mark at once, so that the part in which the power is taken as even is short.

    :param asleep: for how long the machine was suspended in between, which follows as a row with no energy. When it fell asleep
        is not known. The energy is recorded before that, not spread over a night's hours in which nothing was used; the error
        is at most the length of one row.
    """
    used = energy_between(before.reading, after.reading)
    awake_until = max(before.at + _SMALLEST, after.at - asleep)
    last_s = after.reading.monotonic_s
    whole = LedgerRow(start=before.at, end=awake_until, phase=phase, attempt=attempt, monotonic_s=last_s, **used)
    rows = []
    for part in split_row(whole, [mark.at for mark in marks if before.at < mark.at < awake_until]):
        due = [phase, *(mark.phase for mark in marks if mark.at <= part.start)]
        left = (awake_until - part.end) / (awake_until - before.at)
        rows.append(replace(part, phase=due[-1], monotonic_s=last_s - left * (last_s - before.reading.monotonic_s)))
    if awake_until < after.at:
        rows.append(replace(rows[-1], start=awake_until, end=after.at, **dict.fromkeys(used, 0.0)))  # type: ignore[arg-type]  # figures by name
    return rows


# Row boundaries in policy time (virtual under replay) that increase whatever the system clock does.


_SMALLEST = timedelta(microseconds=1)
_TOLERANCE_S = 0.1
"""Real seconds by which the clock may deviate between two readings before it counts as stepped."""
_SLEEP_S = 1.0
"""Real seconds that a machine must have been suspended between two readings to count."""


def steady_s() -> float:
    """Seconds that never step; where the system can, they continue while it is suspended, as the grid does."""
    boot_time = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot_time is None else time.clock_gettime(boot_time)


class _Reading(NamedTuple):
    steady_s: float
    now: datetime
    doubt_s: float
    awake_s: float


class PolicyClock:
    """``now()`` with its steps taken out: anchored at the first reading, every later time is strictly later.

    ``start`` is the anchor.

    :param speed: of policy time: above 1 under replay.
    :param not_before: the end of the ledger so far; a clock set back between two attempts must not make rows overlap.
    """

    def __init__(self, now: Callable[[], datetime], *, speed: float = 1.0, not_before: datetime | None = None) -> None:
        self._now, self._speed = now, speed
        self._lock = threading.Lock()
        self._asleep = timedelta(0)
        self.problems: list[str] = []
        self._last = self._read()
        self._offset = timedelta(0)
        if not_before is not None and self._last.now < not_before:
            self._offset = not_before - self._last.now
            self._note(-self._offset, "since the ledger's last row")
        self.start = self._latest = self._last.now + self._offset

    def time(self) -> datetime:
        """Return the policy time, strictly later than any before; may be called from any thread."""
        with self._lock:
            reading = self._read()
            went = reading.now - self._last.now
            expected = timedelta(seconds=self._speed * (reading.steady_s - self._last.steady_s))
            step = went - expected
            tolerance_s = self._speed * (_TOLERANCE_S + self._last.doubt_s + reading.doubt_s)
            if abs(step.total_seconds()) > tolerance_s:
                self._offset -= step
                self._note(step, f"at {format_time(reading.now)}")
            self._note_sleep(reading)
            self._last = reading
            self._latest = max(reading.now + self._offset, self._latest + _SMALLEST)
            return self._latest

    def take_sleep(self) -> timedelta:
        """Return the policy time for which the machine was suspended since the last call; nothing was used in it."""
        with self._lock:
            asleep, self._asleep = self._asleep, timedelta(0)
            return asleep

    def _note_sleep(self, reading: _Reading) -> None:
        asleep_s = (reading.steady_s - self._last.steady_s) - (reading.awake_s - self._last.awake_s)
        if asleep_s > _SLEEP_S:
            self._asleep += timedelta(seconds=self._speed * asleep_s)
            self.problems.append(
                f"the machine was suspended for {asleep_s:.1f} s before {format_time(reading.now)};"
                " that time is in the ledger without energy"
            )

    def _read(self) -> _Reading:
        # another process may get the processor between the two clocks: the closest pair of a few counts
        readings = []
        for _ in range(5):
            before_s = steady_s()
            now = as_utc(self._now())
            doubt_s = steady_s() - before_s
            readings.append(_Reading(before_s + doubt_s / 2, now, doubt_s, time.monotonic()))
            if doubt_s < 1e-4:
                break
        return min(readings, key=lambda reading: reading.doubt_s)

    def _note(self, step: timedelta, when: str) -> None:
        self.problems.append(
            f"the clock was set {'back' if (step < timedelta(0)) else 'forward'} by {abs(step.total_seconds()):.1f} s {when};"
            " rows continue in the time of the run's start"
        )


class EnergyRecorder:
    """Records from ``start`` to ``stop``; the training continues whatever happens here, and every problem is reported.

    An error of the meter, the grid or the ledger is kept in ``failure`` and raised at ``stop``. What can be recovered is: the
    meter's totals are cumulative, so a failed sample is covered by the next, and rows that a full disk refused are written as
    soon as there is room. Recovered or not, it is in ``problems``.

    :param readings_for: the grid's readings for a span of policy time; called on the recorder's thread.
    :param now: policy time, virtual under replay.
    :param interval_s: real seconds between two rows.
    :param speed: of policy time, above 1 under replay.
    :param meaning: of the run's record: readings of other types value no energy, here as there; None: all count.
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
        speed: float = 1.0,
        meaning: Meaning | None = None,
    ) -> None:
        self._meter, self._ledger, self._readings_for, self._now = meter, ledger, readings_for, now
        self._speed, self._interval_s, self._attempt = speed, interval_s, attempt
        self._value = partial(value_rows, pue=pue, meaning=meaning)
        self._intensities = IntensityLog(ledger.path.parent)
        self._thread = threading.Thread(target=self._run, name="energy-recorder", daemon=True)
        self._opened, self._wake, self._stopping = threading.Event(), threading.Event(), threading.Event()
        self._marks_lock = threading.Lock()
        self._marks: list[Mark] = []
        self._waiting: deque[LedgerRow] = deque()
        self._phase = Phase.STARTUP
        self._start_failure: Exception | None = None
        self._fatal: Exception | None = None
        self._meter_trouble: Exception | None = None
        self._ledger_trouble: Exception | None = None
        self._grid_fails = False
        self._live = LiveFigures()
        self._power_w = 0.0
        self._problems: list[str] = []
        self._was_started = False

    def start(self) -> None:
        """Open the measuring window, in phase STARTUP; the thread that reads the meter also starts it.

        :raises MeasurementError: the meter does not start, or the recorder was started before.
        """
        if self._thread.ident is not None:
            raise MeasurementError("the energy recorder was started twice; make a new one for each attempt")
        self._thread.start()
        try:
            self._opened.wait()
        except BaseException:  # an interrupt: the thread must not write rows behind the attempt's closing line
            self._stopping.set()
            self._wake.set()
            self._thread.join()
            raise
        if self._start_failure is not None:
            raise self._start_failure

    def _open(self) -> None:
        before = self._value(read_ledger(self._ledger.path).rows, read_intensity(self._ledger.path.parent)[0])
        self._live = LiveFigures(energy_kwh=before.energy_kwh, emissions_gco2eq=before.emissions_gco2eq)
        opened = self._meter.start()
        self._clock = PolicyClock(self._now, speed=self._speed, not_before=self._ledger.last_end)
        # totals count from the meter's start: what its start itself used belongs to the first row
        machine = None if opened.machine_energy_kwh is None else (0.0, 0.0, 0.0)
        self._edge = Edge(
            self._clock.start, replace(opened, **dict.fromkeys(_CHARGED, 0.0), machine_energy_kwh=machine)
        )
        self._was_started = True

    def set_phase(self, phase: Phase) -> None:
        """Begin another phase now; returns at once and may be called from any thread."""
        if not self._was_started:
            raise MeasurementError(f"phase {phase} was set before the energy recorder was started")
        with self._marks_lock:
            last = self._marks[-1].phase if self._marks else self._phase
            if phase is last:
                return
            self._marks.append(Mark(self._clock.time(), phase))
        self._wake.set()

    def stop(self) -> None:
        """Write the final row, stop the meter and raise what is still wrong; a second call only raises.

        :raises LowtideError: rows are missing from the ledger; the message says why.
        """
        self._stopping.set()
        self._wake.set()
        if self._was_started:
            self._thread.join()
        if self.failure is not None:
            raise self.failure

    @property
    def failure(self) -> Exception | None:
        """What keeps the ledger from being complete, now or for good; None without a problem."""
        shortfall = self._meter.shortfall
        too_low = None if shortfall is None else MeasurementError(shortfall)
        return self._fatal or self._ledger_trouble or self._meter_trouble or too_low

    @property
    def problems(self) -> tuple[str, ...]:
        """Everything that went wrong, recovered or not, in sentences: clock steps, late rows, energy left out."""
        clock = self._clock.problems if self._was_started else []
        return (*self._ledger.problems, *self._problems, *self._meter.problems, *clock)

    def live(self) -> LiveFigures:
        """Return the figures of the rows so far; may be called from any thread."""
        return self._live

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        try:
            self.stop()
        except Exception as failure:
            if error is None:
                raise
            error.add_note(f"the energy ledger is incomplete as well: {failure}")

    def _run(self) -> None:
        try:
            self._open()
        except Exception as error:  # noqa: BLE001 raised at start()
            self._start_failure = error
            return
        finally:
            self._opened.set()
        try:
            next_s = time.monotonic() + self._interval_s
            while not self._stopping.is_set():
                if self._wake.wait(max(0.0, next_s - time.monotonic())):
                    self._wake.clear()
                else:
                    next_s = max(next_s, time.monotonic()) + self._interval_s
                if not self._stopping.is_set():
                    self._measure(self._meter.sample)
        except Exception as error:  # noqa: BLE001 raised at stop(); a thread's traceback would not be seen
            self._fatal = error
        try:
            self._measure(self._meter.stop)
        except Exception as error:  # noqa: BLE001 as above
            self._fatal = self._fatal or error

    def _measure(self, read: Callable[[], MeterReading]) -> None:
        try:
            reading = read()
        except Exception as error:  # noqa: BLE001 the next sample covers this one's energy
            if self._meter_trouble is None:
                self._problems.append(f"the meter failed: {error}")
            self._meter_trouble = error
        else:
            self._meter_trouble = None
            before, self._edge = self._edge, Edge(self._clock.time(), reading)
            self._queue_energy(before, self._edge)
        self._write()

    def _queue_energy(self, before: Edge, after: Edge) -> None:
        phase, marks = self._pass_marks(after.at)
        used = energy_between(before.reading, after.reading)
        if min(used.values()) < 0:
            self._fatal = self._fatal or MeasurementError(
                "the energy meter ran backwards; this run's energy is too low"
            )
            return
        lasted_s = after.reading.monotonic_s - before.reading.monotonic_s
        if lasted_s > 0:
            self._power_w = sum(used[name] for name in _CHARGED) * JOULES_PER_KWH / lasted_s
        asleep = self._clock.take_sleep()
        self._waiting += cut_rows(before, after, phase, marks, asleep=asleep, attempt=self._attempt)

    def _pass_marks(self, until: datetime) -> tuple[Phase, list[Mark]]:
        with self._marks_lock:
            due = [mark for mark in self._marks if mark.at <= until]
            self._marks = self._marks[len(due) :]
            phase = self._phase
            self._phase = due[-1].phase if due else phase
        return phase, due

    def _write(self) -> None:
        """Write the rows that wait, in their order, as far as the disk takes them, and what is known of the grid in their time.

        Energy and intensity are independent facts: a row of which no intensity is known is written too, and is valued when one
        is learnt.
        """
        count = len(self._waiting)
        while self._waiting:
            row = self._waiting[0]
            try:
                known = self._learn(row)
                self._ledger.append([row])
            except Exception as error:  # noqa: BLE001 the training continues; raised at stop()
                self._ledger_trouble = error
                break
            self._waiting.popleft()
            if self._ledger_trouble is not None:
                self._problems.append(f"rows from {format_time(row.start)} were written late: {self._ledger_trouble}")
            self._ledger_trouble = None
            self._live = self._live.plus(self._value([row], known), self._power_w)
        # the meter fails, or the disk is full: killed now, more is lost than the row under way
        if len(self._waiting) == count:
            self._ledger.touch()

    def _learn(self, row: LedgerRow) -> list[KnownIntensity]:
        """Append what is known of the grid in the time of a row, before its energy."""
        try:
            readings = self._readings_for(row.start, row.end)
        except Exception as error:  # noqa: BLE001 a hole in what is known of the grid costs no energy
            if not self._grid_fails:
                self._problems.append(f"no intensity is known from {format_time(row.start)} on: {error}")
            self._grid_fails = True
            return []
        self._grid_fails = False
        learnt_at = utc_now()
        self._intensities.append(readings, learnt_at)
        return [KnownIntensity(reading=reading, learnt_at=learnt_at) for reading in readings]
