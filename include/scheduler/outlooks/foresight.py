"""What a signal's own past says: of the hours to come, and of the days before."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Protocol

from include.records import IntensityKind, Reading
from include.scheduler.curves.curve import IntensityCurve
from include.scheduler.outlooks.outlook import Prediction, Trailing
from include.scheduler.outlooks.trailing import TrailingCurve

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from include.scheduler.forecast import HistoryForecaster
    from include.scheduler.history import HistoryStore

LOOK_BACK = timedelta(days=800)
"""Two years and the weeks before them: what is older taught the forecast nothing more, and would have to be read each time."""


class Past(Protocol):
    """A signal's past."""

    def readings(self, now: datetime) -> tuple[Reading, ...]:
        """Return the actual values that are known, in time order; what ends after ``now`` is not looked at.

        :raises LowtideError: the stored values cannot be used.
        """
        ...


class StoredPast:
    """The past as a history store has it."""

    def __init__(self, store: HistoryStore) -> None:
        self._store = store
        self._read: tuple[frozenset[str], datetime] | None = None
        self._readings: tuple[Reading, ...] = ()

    def readings(self, now: datetime) -> tuple[Reading, ...]:
        """Return the actual values of the last 800 days."""
        start = (now - LOOK_BACK).replace(hour=0, minute=0, second=0, microsecond=0)
        start -= timedelta(days=start.weekday())  # a beginning that moved each day would change Monday's fit each day
        found = self._store.part_names(), start
        if found != self._read:  # two years are read in a tenth of a second: not at each look of each wait
            known = self._store.known_now(start, now)
            self._read, self._readings = found, tuple(r for r in known if r.kind is not IntensityKind.FORECAST)
        if self._readings and self._readings[-1].end > now:
            return tuple(r for r in self._readings if r.end <= now)
        return self._readings


class TracedPast:
    """The past under a replay: the trace itself, of which nothing is looked at that ends after now."""

    def __init__(self, whole: Callable[[], tuple[Reading, ...]]) -> None:
        self._whole = cache(whole)  # tens of megabytes for a year: not before a policy asks

    def readings(self, now: datetime) -> tuple[Reading, ...]:  # noqa: ARG002 the forecaster keeps to what has ended
        """Return the whole trace."""
        return self._whole()


class Foresight:
    """Reads a past, and keeps what it made of it until the past has grown. Thread-safe.

    :param timezone: the zone's; days and weeks follow its clock.
    """

    def __init__(self, past: Past, timezone: ZoneInfo) -> None:
        self._past = past
        self._timezone = timezone
        self._lock = threading.Lock()
        self._readings: tuple[Reading, ...] = ()
        self._forecaster: HistoryForecaster | None = None
        self._curve: IntensityCurve | None = None

    def prediction(self, now: datetime) -> Prediction | None:
        """Return a forecast from what had ended by now; None where too little is known.

        :raises LowtideError: the stored values cannot be used.
        """
        with self._lock:
            self._read(now)
            return None if self._forecaster is None else prediction_of(self._forecaster, now, lock=self._lock)

    def trailing(self, now: datetime) -> Trailing | None:
        """Return what the grid was like before now; None where nothing is known.

        :raises LowtideError: the stored values cannot be used.
        """
        with self._lock:
            self._read(now)
            if not self._readings:
                return None
            self._curve = self._curve or IntensityCurve.from_readings(self._readings)
            step_s = (self._readings[-1].end - self._readings[-1].start).total_seconds()
            return TrailingCurve(self._curve, now.timestamp() // step_s * step_s)

    def _read(self, now: datetime) -> None:
        from include.scheduler.forecast import HistoryForecaster, Series  # noqa: PLC0415 numpy: not for DAG parsing

        readings = self._past.readings(now)
        if readings is self._readings or readings == self._readings:
            return
        self._readings, self._curve = readings, None
        self._forecaster = HistoryForecaster(Series.from_readings(readings), self._timezone) if readings else None


def prediction_of(
    forecaster: HistoryForecaster, now: datetime, *, lock: threading.Lock | None = None
) -> Prediction | None:
    """Return a history's forecast as policies read it; None where it knows too little.

    :param lock: held while the forecaster is asked for its past errors, later and on another thread.
    """
    forecast = forecaster.forecast(now)
    if forecast is None:
        return None
    edges = [forecast.start_s + i * forecast.step_s for i in range(len(forecast.values) + 1)]
    return Prediction(
        curve=IntensityCurve(edges, forecast.values),
        source=f"the history ({forecast.days_of_history} days, {forecast.method})",
        issued_at=forecast.issued_at,
        past_errors=_PastErrors(forecaster, now, lock or threading.Lock()),
    )


class _PastErrors:
    """Asks the forecaster for its past errors only when somebody wants to know: to find them takes a while."""

    def __init__(self, forecaster: HistoryForecaster, now: datetime, lock: threading.Lock) -> None:
        self._forecaster, self._now, self._lock = forecaster, now, lock

    def saving_interval_percent(
        self, curve: IntensityCurve, now_s: float, start_s: float, duration_s: float
    ) -> tuple[float, float] | None:
        """See ``include.scheduler.outlooks.outlook.PastErrors``."""
        with self._lock:
            errors = self._forecaster.past_errors(self._now)
        return None if errors is None else errors.saving_interval_percent(curve, now_s, start_s, duration_s)
