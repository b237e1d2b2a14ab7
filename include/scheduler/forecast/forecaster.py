"""Forecasts from the history alone, at any moment of it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from include.moments import as_utc
from include.scheduler.forecast.arrays import DAY, HOUR_S, Floats
from include.scheduler.forecast.blend import Blends
from include.scheduler.forecast.past import LEVEL_DAYS, STALE_HOURS, HourlyPast
from include.scheduler.forecast.past_errors import LeadErrors, past_errors_before
from include.scheduler.forecast.series import Series
from include.scheduler.forecast.within_hour import WithinHour

_FEWEST_HOURS = 3 * DAY


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryForecast:
    """Intensities in g/kWh, one for each ``step_s`` from ``start_s`` (UNIX seconds) on: the first holds the asked moment.

    ``issued_at`` is when the last hour ended that the forecast rests on: a history that was not filled makes old forecasts.
    """

    issued_at: datetime
    start_s: int
    step_s: int
    values: tuple[float, ...]
    method: str
    days_of_history: int


class HistoryForecaster:
    """Forecasts a series from its own past. Not thread-safe.

    What is forecast at a moment depends on the hours that had ended by then, bit for bit: not on what follows, nor on what
    was asked before.

    :param timezone: the zone's; days and weeks follow its clock.
    :param history_limit: how far back a forecast may look; None for all that there is.
    """

    def __init__(self, series: Series, timezone: ZoneInfo, *, history_limit: timedelta | None = None) -> None:
        self._step_s = series.step_s
        self._past = HourlyPast(series, timezone, history_limit)
        self._within_hour = WithinHour(series, self._past)
        self._blends = Blends(self._past)
        self._hours: dict[int, Floats] = {}
        self._errors: dict[int, LeadErrors | None] = {}

    def forecast(self, now: datetime) -> HistoryForecast | None:
        """Return the week from the interval on that holds ``now``.

        None where fewer than three days of hours are known of the last four weeks, a clock hour was never seen, or
        nothing is known of the last week.
        """
        now_s = int(as_utc(now).timestamp())
        index = now_s // HOUR_S - self._past.first_hour
        hours = self._hourly(index)
        if hours is None:
            return None
        steps = self._within_hour.spread(hours, index)
        skipped = now_s % HOUR_S // self._step_s
        known_until = self._past.first_hour + self._past.known_until(index)
        return HistoryForecast(
            issued_at=datetime.fromtimestamp(known_until * HOUR_S, UTC),
            start_s=now_s // self._step_s * self._step_s,
            step_s=self._step_s,
            values=tuple(steps[skipped:].tolist()),
            method=self._blends.at(index).method,
            days_of_history=round(self._past.known_hours(index) / DAY),
        )

    def past_errors(self, now: datetime) -> LeadErrors | None:
        """Return how wrong the forecasts of the eight weeks before the last one were; None where there are too few.

        They are looked at once a UTC day.
        """
        index = int(as_utc(now).timestamp()) // HOUR_S // DAY * DAY - self._past.first_hour
        if index not in self._errors:
            self._errors[index] = past_errors_before(self._past, index, self._hourly)
        return self._errors[index]

    def _hourly(self, index: int) -> Floats | None:
        if not self._enough(index):
            return None
        if index not in self._hours:
            self._hours[index] = self._blends.at(index).forecast(self._past, index)
        return self._hours[index]

    def _enough(self, index: int) -> bool:
        past = self._past
        return bool(
            0 < index < len(past)
            and past.known_hours(index, LEVEL_DAYS * DAY) >= _FEWEST_HOURS
            and past.known_hours(index, STALE_HOURS) > 0
            and not np.isnan(past.means(LEVEL_DAYS)[index]).any()
        )
