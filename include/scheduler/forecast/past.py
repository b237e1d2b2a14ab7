"""The hours of the past as the forecast reads them: means by clock hour, and gaps filled from what was before them."""

from datetime import timedelta
from functools import cached_property
from zoneinfo import ZoneInfo

import numpy as np

from include.scheduler.forecast.arrays import DAY, FORECAST_HOURS, Flags, Floats, Integers
from include.scheduler.forecast.local_clock import local_hours
from include.scheduler.forecast.series import Series

LEVEL_DAYS = 28
"""Of the means that gaps are filled with and the levelled forecast rests on."""
LEVEL_DECAY_H = 24.0
STALE_HOURS = 7 * DAY
"""Nothing is forecast when the last known hour is older."""
SEASON_COLUMNS = 4
_WIDER_DAYS = (28, 91, 364)
_YEAR_H = 365.25 * DAY
_PER_UNIT = 1_000_000
"""Hours are kept in whole millionths of a g/kWh, so that sums are exact whatever the first hour that was read."""


class HourlyPast:
    """Hours since ``first_hour`` (hours since 1970): what index i says rests on hours before i, or on i itself.

    :param limit: how far back a forecast may look; None: as far as there is anything.
    """

    def __init__(self, series: Series, timezone: ZoneInfo, limit: timedelta | None) -> None:
        self.first_hour, values = series.hourly()
        found = np.flatnonzero(~np.isnan(values))
        self.first_known = int(found[0]) if len(found) else len(values)
        self.last_known = int(found[-1]) if len(found) else -1
        self.limit_hours = None if limit is None else int(limit / timedelta(hours=1))
        ahead = np.full(STALE_HOURS, np.nan)  # hours in which the past grows no more, though time goes on
        self.values: Floats = np.round(np.concatenate([values[: self.last_known + 1], ahead]) * _PER_UNIT) / _PER_UNIT
        self.known: Flags = ~np.isnan(self.values)
        self.clock_hour, self.weekday = local_hours(self.first_hour, len(self.values) + FORECAST_HOURS, timezone)
        self._means: dict[int, Floats] = {}
        self._levels: dict[int, Floats] = {}

    def __len__(self) -> int:
        return len(self.values)

    def means(self, days: int) -> Floats:
        """Return for each index, by clock hour, the mean over the days before it: an array of (hours, 24).

        Where a clock hour is unknown in all those days, those of a longer span are taken; NaN where there is none.
        """
        if days not in self._means:
            spans = sorted({self._within_limit(days), *(self._within_limit(d) for d in _WIDER_DAYS if d > days)})
            means = self._plain_means(spans[0], np.arange(len(self)))
            for span in spans[1:]:
                rows = np.flatnonzero(np.isnan(means).any(axis=1))
                means[rows] = np.where(np.isnan(means[rows]), self._plain_means(span, rows), means[rows])
            self._means[days] = means
        return self._means[days]

    def begin(self, index: int) -> int:
        """Return the first index that a forecast at ``index`` may look at."""
        return self.first_known if self.limit_hours is None else max(self.first_known, index - self.limit_hours)

    def known_hours(self, index: int, hours: int | None = None) -> int:
        """Return how many of the hours before an index are known, of the last ``hours`` or of all."""
        begin = self.begin(index) if hours is None else max(self.begin(index), index - hours)
        return int(self._known_sums[index] - self._known_sums[min(begin, index)])

    def levels(self, days: int) -> Floats:
        """Return for each index the mean over its usual day, see ``means``."""
        if days not in self._levels:
            self._levels[days] = self.means(days).mean(axis=1)
        return self._levels[days]

    def known_until(self, index: int) -> int:
        """Return the index at which the last known hour before an index ended."""
        return int(self._last_known[index - 1]) + 1 if index else 0

    @cached_property
    def _last_known(self) -> Integers:
        last: Integers = np.maximum.accumulate(np.where(self.known, np.arange(len(self)), -1))
        return last

    @cached_property
    def filled(self) -> Floats:
        """The hours, a gap filled with the mean of its clock hour and the last known deviation, which fades.

        An hour is filled from hours before it alone: what a later one was, nobody knew.
        """
        usual = np.take_along_axis(self.means(LEVEL_DAYS), self.clock_hour[: len(self), None], axis=1)[:, 0]
        last = self._last_known
        since = np.arange(len(self)) - last
        deviation = np.where(last >= 0, (self.values - usual)[last], 0.0)
        faded = np.nan_to_num(deviation) * np.exp(-since / LEVEL_DECAY_H)
        filled: Floats = np.where(self.known, self.values, np.maximum(usual + faded, 0.0))
        return filled

    @cached_property
    def season(self) -> Floats:
        """The cosine and sine of the time of year, once and twice a year, by index."""
        angle = 2.0 * np.pi * (np.arange(len(self)) + self.first_hour) / _YEAR_H
        return np.stack([np.cos(angle), np.sin(angle), np.cos(2 * angle), np.sin(2 * angle)], axis=1)

    @cached_property
    def calendar(self) -> Floats:
        """By index: the weekday by the zone's clock (7 columns of 0 and 1), the season's waves, and a constant."""
        weekdays = np.eye(7)[self.weekday[: len(self)]]
        return np.concatenate([weekdays, self.season, np.ones((len(self), 1))], axis=1)

    def _within_limit(self, days: int) -> int:
        return days if self.limit_hours is None else max(1, min(days, self.limit_hours // DAY))

    def _plain_means(self, days: int, rows: Integers) -> Floats:
        sums, counts = self._sums
        begin = np.maximum(rows - days * DAY, 0)
        count = counts[rows] - counts[begin]
        means = np.full(count.shape, np.nan)
        np.divide(sums[rows] - sums[begin], count * _PER_UNIT, out=means, where=count > 0)
        return means

    @cached_property
    def _sums(self) -> tuple[Integers, Integers]:
        """Of known hours before each index, by clock hour: sums in millionths of g/kWh, and counts."""
        rows, hours = np.arange(1, len(self) + 1), self.clock_hour[: len(self)]
        sums = np.zeros((len(self) + 1, DAY), dtype=np.int64)
        counts = np.zeros_like(sums)
        sums[rows, hours] = np.rint(np.nan_to_num(self.values) * _PER_UNIT).astype(np.int64)
        counts[rows, hours] = self.known
        return np.cumsum(sums, axis=0), np.cumsum(counts, axis=0)

    @cached_property
    def _known_sums(self) -> Integers:
        return np.concatenate([[0], np.cumsum(self.known)])
