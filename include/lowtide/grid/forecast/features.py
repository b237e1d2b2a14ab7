"""What the regression sees of an hour: the deviations of the hours before it from the usual day, and the calendar."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Self
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from lowtide.records import Reading

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

HOUR_S = 3_600
DAY = 24
"""Hours."""
FITTED_HOURS = 72
"""Leads that are regressed: beyond three days the weather of today says nothing."""
FORECAST_HOURS = 168
LEVEL_DAYS = 28
"""Of the means that gaps are filled with and the persistence forecast rests on."""
LEVEL_DECAY_H = 24.0
STALE_HOURS = 7 * DAY
"""Nothing is forecast when the last known hour is older."""
SEASON_COLUMNS = 4

_SHORTEST_S = 60
_WIDER_DAYS = (28, 91, 364)
_YEAR_H = 365.25 * DAY
_PER_UNIT = 1_000_000
"""Hours are kept in whole millionths of a g/kWh, so that sums are exact whatever the first hour that was read."""
_DIFFERENCES = 3
_DIFFERENCE_SCALE = 6.0
"""Neighbouring hours are so alike that a penalty on deviations alone would silence their differences, which predict the next
hour: measured, a regression without this scale gets worse from knowing one hour more."""


def local_hours(first_hour: int, count: int, timezone: ZoneInfo) -> tuple[Integers, Integers]:
    """Return the clock hour (0-23) and the weekday (0 = Monday) at the start of each UTC hour from one on.

    :param first_hour: hours since 1970.
    """
    local = [datetime.fromtimestamp(hour * HOUR_S, timezone) for hour in range(first_hour, first_hour + count)]
    return np.array([time.hour for time in local]), np.array([time.weekday() for time in local])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Series:
    """Intensities in g/kWh, one a step; NaN is a gap.

    ``step_s`` divides the hour, and ``start_s``, in UNIX seconds, is a multiple of it.
    """

    start_s: int
    step_s: int
    values: Floats

    @classmethod
    def from_readings(cls, readings: Sequence[Reading]) -> Self:
        """Return the series of readings that do not overlap, at the length of the shortest that divides the hour.

        A step that readings cover by less than half is a gap; one with several readings is their mean by time.

        :param readings: at least one, in any order.
        """
        starts = np.array([r.start.timestamp() for r in readings])
        ends = np.array([r.end.timestamp() for r in readings])
        values = np.array([r.carbon_intensity_gco2eq_per_kwh for r in readings])
        lengths = ends - starts
        fitting = lengths[(lengths >= _SHORTEST_S) & (HOUR_S % np.maximum(lengths, 1.0) == 0)]
        step_s = int(fitting.min()) if len(fitting) else HOUR_S
        first, last = int(starts.min() // step_s), int(-(-ends.max() // step_s))
        steps, which = _touched(starts, ends, step_s)
        overlap_s = np.minimum(ends[which], (steps + 1) * step_s) - np.maximum(starts[which], steps * step_s)
        covered_s = np.bincount(steps - first, weights=overlap_s, minlength=last - first)
        sums = np.bincount(steps - first, weights=overlap_s * values[which], minlength=last - first)
        means = np.full(last - first, np.nan)
        np.divide(sums, covered_s, out=means, where=covered_s >= step_s / 2)
        return cls(start_s=first * step_s, step_s=step_s, values=means)

    @property
    def by_hour(self) -> Floats:
        """The values in rows of one UTC hour, from the hour of the start on; NaN before the start and after the end."""
        steps = HOUR_S // self.step_s
        before = self.start_s // self.step_s % steps
        after = -(before + len(self.values)) % steps
        return np.pad(self.values, (before, after), constant_values=np.nan).reshape(-1, steps)

    def hourly(self) -> tuple[int, Floats]:
        """Return the first hour (hours since 1970) and the means of whole hours; one known by less than half is a gap."""
        hours = self.by_hour
        known = ~np.isnan(hours)
        count = known.sum(axis=1)
        means = np.full(len(hours), np.nan)
        np.divide(np.where(known, hours, 0.0).sum(axis=1), count, out=means, where=2 * count >= hours.shape[1])
        return self.start_s // HOUR_S, means


def _touched(starts: Floats, ends: Floats, step_s: int) -> tuple[Integers, Integers]:
    """Return the steps that intervals touch, and which interval touches each."""
    first = (starts // step_s).astype(np.int64)
    count = (-(-ends // step_s)).astype(np.int64) - first
    which = np.repeat(np.arange(len(starts)), count)
    within = np.arange(len(which)) - np.repeat(np.cumsum(count) - count, count)
    return first[which] + within, which


class HourlyPast:
    """The hours of a series since ``first_hour`` (hours since 1970), with means by clock hour and gaps filled.

    What index i says rests on hours before i, or on i itself.
    """

    def __init__(self, series: Series, timezone: ZoneInfo) -> None:
        self.first_hour, values = series.hourly()
        found = np.flatnonzero(~np.isnan(values))
        self.first_known = int(found[0]) if len(found) else len(values)
        self.last_known = int(found[-1]) if len(found) else -1
        ahead = np.full(STALE_HOURS, np.nan)  # hours in which the past grows no more, though time goes on
        self.values: Floats = np.round(np.concatenate([values[: self.last_known + 1], ahead]) * _PER_UNIT) / _PER_UNIT
        self.known: Flags = ~np.isnan(self.values)
        self.clock_hour, self.weekday = local_hours(self.first_hour, len(self.values) + FORECAST_HOURS, timezone)
        self._means: dict[int, Floats] = {}

    def __len__(self) -> int:
        return len(self.values)

    def means(self, days: int) -> Floats:
        """Return for each index, by clock hour, the mean over the days before it: an array of (hours, 24).

        Where a clock hour is unknown in all those days, those of a longer span are taken; NaN where there is none.
        """
        if days not in self._means:
            spans = sorted({days, *(wider for wider in _WIDER_DAYS if wider > days)})
            means = self._plain_means(spans[0], np.arange(len(self)))
            for span in spans[1:]:
                rows = np.flatnonzero(np.isnan(means).any(axis=1))
                means[rows] = np.where(np.isnan(means[rows]), self._plain_means(span, rows), means[rows])
            self._means[days] = means
        return self._means[days]

    def known_hours(self, index: int, hours: int | None = None) -> int:
        """Return how many of the hours before an index are known, of the last ``hours`` or of all."""
        begin = self.first_known if hours is None else max(self.first_known, index - hours)
        return int(self._known_sums[index] - self._known_sums[min(begin, index)])

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """The usual day that deviations are taken from: the mean by clock hour over so many days; and how many hours of them.

    Columns are, in this order: deviations, their latest differences and the level, in g/kWh; then the past's calendar.
    """

    days: int
    lags: int

    @property
    def intensity_columns(self) -> int:
        """How many columns are in g/kWh."""
        return self.lags + _DIFFERENCES + 1

    def columns(self, past: HourlyPast, rows: Integers) -> Floats:
        """Return the explaining columns at indices; each rests on hours before its index, and on the clock."""
        before = rows[:, None] - np.arange(1, self.lags + 1)
        deviations = past.filled[before] - past.means(self.days)[rows[:, None], past.clock_hour[before]]
        changes = deviations[:, :_DIFFERENCES] - deviations[:, 1 : _DIFFERENCES + 1]
        level = past.means(self.days)[rows].mean(axis=1, keepdims=True)
        return np.concatenate([deviations, changes * _DIFFERENCE_SCALE, level, past.calendar[rows]], axis=1)

    def usual(self, past: HourlyPast, rows: Integers) -> Floats:
        """Return the usual day at indices, for the hours that the regression forecasts."""
        ahead = past.clock_hour[rows[:, None] + np.arange(FITTED_HOURS)]
        usual: Floats = past.means(self.days)[rows[:, None], ahead]
        return usual


def spread(hours: Floats, index: int, past: HourlyPast, by_hour: Floats) -> Floats:
    """Return hours from an index on as steps; each hour keeps its mean.

    A step differs from its hour as it did, by clock hour, in the mean of the four weeks before the index.

    :param by_hour: the past's steps, see ``Series.by_hour``.
    """
    if by_hour.shape[1] == 1:
        return hours
    first = max(0, index - LEVEL_DAYS * DAY)
    rows = by_hour[first:index]
    rows = rows - rows.mean(axis=1, keepdims=True)  # an hour with a gap has no mean, and drops out
    whole = ~np.isnan(rows[:, 0])
    shape = np.zeros((DAY, rows.shape[1]))
    for hour in range(DAY):
        chosen = rows[whole & (past.clock_hour[first : first + len(rows)] == hour)]
        if len(chosen):
            shape[hour] = chosen.mean(axis=0)
    return np.maximum(hours[:, None] + shape[past.clock_hour[index : index + len(hours)]], 0.0).ravel()
