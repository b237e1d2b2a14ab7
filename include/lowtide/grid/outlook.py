"""What is known about the grid at one time: the other half of a decision."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache, partial
from typing import TYPE_CHECKING

from lowtide.errors import LowtideError
from lowtide.grid.series import IntensityCurve, PastErrors, Prediction, prolonged, provider_curve
from lowtide.records import Forecast, IntensityKind, Reading

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from lowtide.grid.forecast.model import HistoryForecaster
    from lowtide.grid.forecast.uncertainty import LeadErrors
    from lowtide.grid.history import HistoryStore


@dataclass(frozen=True, slots=True, kw_only=True)
class DataNeeds:
    """What a policy goes by beside the reading.

    ``forecast``: the provider's, which may cost a request. ``prediction``: what is made of it and of the history, or of the
    history alone. ``trailing``: the days before.
    """

    forecast: bool = False
    prediction: bool = False
    trailing: bool = False


READING = DataNeeds()
_LEAST_KNOWN = 0.5
"""A window of which less is known says nothing about it."""
LONGEST_PAST = timedelta(days=800)
"""Two years and the weeks before them: what is older taught the forecast nothing more, and would have to be read each time."""


Percentile = Callable[[float, timedelta], float | None]
"""The least g/kWh at or below which the intensity was for so many percent of the known time of a window before a time; None
if less than half of the window is known.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """The grid as it is known at one time.

    ``reading`` holds now, from the provider, the cache or the profile. ``shape`` is the modelled curve of the hours to
    come and only ever orders them. ``forecast`` is the provider's raw answer; ``prediction`` is what is made of all that is
    known, and what policies go by. ``trailing`` gives the percentiles of what held before now. ``failed_checks`` counts the
    provider's failures in a row, this check included, 0 where it answered. ``steps`` names each step of the fallback in one
    line. ``threshold_comparable`` is False where the reading's grams do not mean what the provider's would.
    ``worth_retrying`` is False where another check cannot help.
    """

    reading: Reading | None = None
    shape: tuple[Reading, ...] = ()
    forecast: Forecast | None = None
    prediction: Prediction | None = None
    trailing: Percentile | None = None
    failed_checks: int = 0
    steps: tuple[str, ...] = ()
    threshold_comparable: bool = True
    worth_retrying: bool = True


def trailing(curve: IntensityCurve, until_s: float) -> Percentile:
    """Return the percentiles of the intensity before a time; what the curve holds from ``until_s`` on is not used."""
    return cache(partial(_percentile, curve, until_s))  # many jobs ask the same


def _percentile(curve: IntensityCurve, until_s: float, percent: float, window: timedelta) -> float | None:
    window_s = window.total_seconds()
    known = sorted((value, end_s - start_s) for start_s, end_s, value in curve.steps(until_s - window_s, until_s))
    total_s = sum(weight_s for _, weight_s in known)
    if total_s < _LEAST_KNOWN * window_s:
        return None
    reached_s = 0.0
    for value, weight_s in known:
        reached_s += weight_s
        # a sum of floats may miss its share by a rounding error
        if reached_s >= total_s * percent / 100.0 * (1.0 - 1e-12):
            return value
    return known[-1][0]


class StoredPast:
    """The past as a history store has it."""

    def __init__(self, store: HistoryStore) -> None:
        self._store = store
        self._read: tuple[dict[str, tuple[int, ...]], datetime] | None = None
        self._readings: tuple[Reading, ...] = ()

    def readings(self, now: datetime) -> tuple[Reading, ...]:
        """Return the actual values of the last 800 days."""
        start = (now - LONGEST_PAST).replace(hour=0, minute=0, second=0, microsecond=0)
        start -= timedelta(days=start.weekday())  # a start that moved each day would change Monday's fit each day
        found = self._store.files(), start
        if found != self._read:  # two years are read in a tenth of a second: not at each check of each wait
            known = self._store.known(start, now)
            self._read, self._readings = found, tuple(r for r in known if r.kind is not IntensityKind.FORECAST)
        if self._readings and self._readings[-1].end > now:
            return tuple(r for r in self._readings if r.end <= now)
        return self._readings


class HistoryPredictor:
    """Reads a past, and keeps what it made of it until the past has grown. Thread-safe.

    :param past: returns the actual values that are known at a time, in time order; what ends later is not used.
    :param timezone: the zone's; days and weeks follow its clock.
    """

    def __init__(self, past: Callable[[datetime], tuple[Reading, ...]], timezone: ZoneInfo) -> None:
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
            found = None if self._forecaster is None else self._forecaster.forecast(now)
            return None if found is None else replace(found, past_errors=self._past_errors)

    def trailing(self, now: datetime) -> Percentile | None:
        """Return the percentiles of the intensity before now; None where nothing is known.

        :raises LowtideError: the stored values cannot be used.
        """
        with self._lock:
            self._read(now)
            if not self._readings:
                return None
            self._curve = self._curve or IntensityCurve.from_readings(self._readings)
            step_s = (self._readings[-1].end - self._readings[-1].start).total_seconds()
            return trailing(self._curve, now.timestamp() // step_s * step_s)

    def _past_errors(self, now: datetime) -> LeadErrors | None:
        with self._lock:
            return None if self._forecaster is None else self._forecaster.past_errors(now)

    def _read(self, now: datetime) -> None:
        from lowtide.grid.forecast.features import Series
        from lowtide.grid.forecast.model import HistoryForecaster  # numpy: not for DAG parsing

        readings = self._past(now)
        if readings is self._readings or readings == self._readings:
            return
        self._readings, self._curve = readings, None
        self._forecaster = HistoryForecaster(Series.from_readings(readings), self._timezone) if readings else None


class ForecastCombiner:
    """Makes one prediction of the provider's forecast, the history's, or both, and adds it to an outlook.

    :param history: what this signal's own past says; None where it has none.
    :param provider_errors: how good the provider's forecasts were; None where they are not stored.
    """

    def __init__(self, history: HistoryPredictor | None, provider_errors: PastErrors | None = None) -> None:
        self._history = history
        self._provider_errors = provider_errors

    def combined(self, outlook: Outlook, now: datetime, wanted: DataNeeds, provider: str) -> Outlook:
        """Return the outlook with what is wanted beside the reading; a history that cannot be used is one of its steps."""
        before, own = None, None
        try:
            if self._history is not None:
                own = self._history.prediction(now) if wanted.prediction else None
                before = self._history.trailing(now) if wanted.trailing else None
        except LowtideError as error:
            outlook = replace(outlook, steps=(*outlook.steps, f"history: cannot be used ({error})"))
        prediction = self._blended(outlook, now, own, provider) if wanted.prediction else None
        return replace(outlook, prediction=prediction, trailing=before)

    def _blended(self, outlook: Outlook, now: datetime, own: Prediction | None, provider: str) -> Prediction | None:
        """Return the provider's forecast, prolonged by the history's; without one that holds now, the history's."""
        theirs = self._of_provider(outlook, provider)
        if theirs is None or own is None:
            return theirs or own
        if theirs.curve.value_at(now.timestamp()) is None:
            return own
        if own.curve.end_s <= theirs.curve.end_s:
            return theirs
        return replace(theirs, curve=prolonged(theirs.curve, own.curve), source=f"{provider}, then {own.source}")

    def _of_provider(self, outlook: Outlook, provider: str) -> Prediction | None:
        reading, forecast = outlook.reading, outlook.forecast
        if reading is None or forecast is None:
            return None
        return Prediction(
            curve=provider_curve(reading, forecast),
            source=provider,
            issued_at=forecast.issued_at,
            past_errors=self._provider_errors,
        )
