"""Forecasts from the history alone, at any time of it: an ensemble of ridge regressions and a persistence forecast.

The more history there is, the more regressions take part, and the less of the persistence forecast. A ridge regression is
solved for each hour of the day. Hours obey different rules, but neighbouring hours nearly the same, and a year has only 365
days to learn an hour from: so the sums of each clock hour (X'X and X'y) are mixed with those of the hours around it. Sums are
gathered block by block, so that another week costs a week.
"""

from datetime import UTC, datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from lowtide.grid.forecast.features import (
    DAY,
    FITTED_HOURS,
    FORECAST_HOURS,
    HOUR_S,
    LEVEL_DAYS,
    LEVEL_DECAY_H,
    SEASON_COLUMNS,
    STALE_HOURS,
    Anchor,
    Floats,
    HourlyPast,
    Integers,
    Series,
    spread,
)
from lowtide.grid.forecast.uncertainty import LeadErrors, past_errors_before
from lowtide.grid.series import IntensityCurve, Prediction
from lowtide.timeutil import as_utc

SEASON_MEAN = 0.65
SEASON_SWING = 0.35
"""A day half a year away weighs 0.3 of one of the same season: mean plus swing times the cosine between them."""
WEEK = 7 * DAY
_FIRST_MONDAY = 4 * DAY
"""1970-01-05, in hours since 1970."""
_BLOCK = 4 * WEEK
_FEWEST_ROWS = 14 * DAY
_FEWEST_HOURS = 3 * DAY
_MOST_DAYS_LEFT_OUT = 14
_LEAST_KNOWN_BEFORE = 0.75
_LEAST_KNOWN_AHEAD = 0.9
_PENALTY = 20.0
"""In units of the past's variance, so that a clean grid is treated as a dirty one."""
_PENALTY_OF_CONSTANT = 1e-3
_NEIGHBOURHOOD_H = 1.5
_ALL_HOURS = 0.05
_APART_H = np.abs(np.arange(DAY)[:, None] - np.arange(DAY))
_NEIGHBOURS: Floats = _ALL_HOURS + (1.0 - _ALL_HOURS) * np.exp(
    -0.5 * (np.minimum(_APART_H, DAY - _APART_H) / _NEIGHBOURHOOD_H) ** 2
)
_ANCHORS = ((35, Anchor(days=7, lags=24)), (42, Anchor(days=14, lags=24)), (90, Anchor(days=28, lags=48)))
"""From so many known days on, a regression takes part: several usual days err differently, and their mean errs less."""
_SEASON_DAYS = 300
_PERSISTENCE_DAYS = 30.0
_LEAST_PERSISTENCE = 0.15
_PERSISTENCE_FADING = np.exp(-(np.arange(FORECAST_HOURS) + 1.0) / LEVEL_DECAY_H)
_CORRECTION_FADING = np.exp(-np.arange(1.0, FORECAST_HOURS - FITTED_HOURS + 1) / LEVEL_DECAY_H)


def block_sums(past: HourlyPast, anchor: Anchor, rows: Integers) -> Floats:
    """Return X'X and X'y side by side by clock hour, as they are and times the season's cosine and sine.

    An array of (24, 3, columns, columns + leads); the cosine of a difference of angles is made of the last two, so days can
    be weighted by their distance in the year from any other day later on.
    """
    rows = rows[np.argsort(past.clock_hour[rows], kind="stable")]
    columns = anchor.columns(past, rows)
    ahead = past.filled[rows[:, None] + np.arange(FITTED_HOURS)] - anchor.usual(past, rows)
    both = np.concatenate([columns, ahead], axis=1)
    wave = past.season[rows]
    weighted = np.concatenate([columns, columns * wave[:, :1], columns * wave[:, 1:2]], axis=1).T
    bounds = np.searchsorted(past.clock_hour[rows], np.arange(DAY + 1))
    sums = np.empty((DAY, weighted.shape[0], both.shape[1]))
    for hour in range(DAY):
        part = slice(bounds[hour], bounds[hour + 1])
        np.matmul(weighted[:, part], both[part], out=sums[hour])
    return sums.reshape(DAY, 3, columns.shape[1], both.shape[1])


def seasonal(sums: Floats, wave: Floats) -> Floats:
    """Return sums in which the days near a season count most; ``wave`` is that season's cosine and sine."""
    weights = np.array([SEASON_MEAN, SEASON_SWING * wave[0], SEASON_SWING * wave[1]])
    weighted: Floats = np.tensordot(weights, sums, axes=(0, 1))
    return weighted


def last_monday(past: HourlyPast, index: int) -> int:
    """Return the index of the last Monday 00:00 UTC up to an index: the same in a backtest and in production."""
    return (index + past.first_hour - _FIRST_MONDAY) // WEEK * WEEK + _FIRST_MONDAY - past.first_hour


class RidgeFit:
    """What one anchor's regression can be solved from at any time.

    Whole blocks are summed once, in their order, and kept: asking for an earlier time begins again and gives the same.
    """

    def __init__(self, past: HourlyPast, anchor: Anchor) -> None:
        self._past = past
        self._anchor = anchor
        self._begin = -1
        self._blocks_end = 0
        self._sums: Floats | None = None
        self._rows = 0

    def sums(self, index: int) -> Floats | None:
        """Return the sums of all hours whose leads had ended by an index, by clock hour; None where they are too few."""
        past = self._past
        begin = past.first_known + min(self._anchor.days, _MOST_DAYS_LEFT_OUT) * DAY
        end = index - FITTED_HOURS + 1
        first_block = -(-(begin + past.first_hour) // _BLOCK) * _BLOCK - past.first_hour
        last_block = (end + past.first_hour) // _BLOCK * _BLOCK - past.first_hour
        if begin != self._begin or last_block < self._blocks_end:
            self._begin, self._blocks_end, self._sums, self._rows = begin, begin, None, 0
        for block_end in range(first_block, last_block + 1, _BLOCK):
            if block_end > self._blocks_end:
                self._sums, self._rows = self._with(self._blocks_end, block_end)
                self._blocks_end = block_end
        total, rows = self._with(self._blocks_end, end)
        if total is None or rows < _FEWEST_ROWS:
            return None
        return seasonal(total, past.season[index])

    def _with(self, begin: int, end: int) -> tuple[Floats | None, int]:
        rows = self._usable(begin, end)
        if not len(rows):
            return self._sums, self._rows
        more = block_sums(self._past, self._anchor, rows)
        return more if self._sums is None else np.add(more, self._sums, out=more), self._rows + len(rows)

    def _usable(self, begin: int, end: int) -> Integers:
        """Return the indices to learn from: with next to no gap before or after."""
        rows: Integers = np.arange(begin, end, dtype=np.int64)
        if not len(rows):
            return rows
        before = sliding_window_view(self._past.known, self._anchor.lags)[rows - self._anchor.lags].mean(axis=1)
        ahead = sliding_window_view(self._past.known, FITTED_HOURS)[rows].mean(axis=1)
        usable: Integers = rows[(before >= _LEAST_KNOWN_BEFORE) & (ahead >= _LEAST_KNOWN_AHEAD)]
        return usable


def persistence_forecast(past: HourlyPast, index: int) -> Floats:
    """Return a week of hours from an index on, in g/kWh: the usual day, moved to the level of the last hour, which fades.

    Each is the mean of its clock hour over four weeks, plus what is left of the last hour's deviation from its own mean:
    24 hours make it 1/e.
    """
    usual = past.means(LEVEL_DAYS)[index]
    deviation = past.filled[index - 1] - usual[past.clock_hour[index - 1]]
    forecast: Floats = usual[past.clock_hour[index : index + FORECAST_HOURS]] + deviation * _PERSISTENCE_FADING
    return forecast


class Ridge(NamedTuple):
    """Fitted weights by clock hour, an array of (24, columns, leads)."""

    anchor: Anchor
    weights: Floats

    def forecast(self, past: HourlyPast, index: int) -> Floats:
        """Return the hours from an index on that the regression forecasts, in g/kWh."""
        row = np.array([index])
        # einsum without BLAS: the same sums in the same order, whatever lies where in memory
        deviations = np.einsum("p,ph->h", self.anchor.columns(past, row)[0], self.weights[past.clock_hour[index]])
        forecast: Floats = self.anchor.usual(past, row)[0] + deviations
        return forecast


def solve_ridge(anchor: Anchor, sums: Floats, variance: float, *, season: bool) -> Ridge:
    """Solve from sums of (24, columns, columns + leads).

    :param season: whether the season's waves take part: with less than most of a year they would show a trend.
    """
    count = sums.shape[1]
    mixed: Floats = (_NEIGHBOURS @ sums.reshape(DAY, -1)).reshape(DAY, count, -1)
    penalty = np.full(count, _PENALTY)
    penalty[: anchor.intensity_columns] *= variance
    penalty[-1] = _PENALTY_OF_CONSTANT
    if not season:
        waves = slice(count - 1 - SEASON_COLUMNS, count - 1)
        mixed[:, waves, :] = mixed[:, :, waves] = 0.0
    weights = np.linalg.solve(mixed[:, :, :count] + np.diag(penalty), mixed[:, :, count:]).astype(
        np.float64, copy=False
    )
    return Ridge(anchor, weights)


class Ensemble(NamedTuple):
    """Regressions fitted at one time; the share of the persistence forecast, 1 without regressions."""

    ridges: tuple[Ridge, ...] = ()
    persistence_share: float = 1.0

    def forecast(self, past: HourlyPast, index: int) -> Floats:
        """Return a week of hours from an index on, in g/kWh; where the regressions end, their correction fades."""
        forecast = persistence_forecast(past, index)
        if self.ridges:
            total = sum((ridge.forecast(past, index) for ridge in self.ridges), np.zeros(FITTED_HOURS))
            change = (1.0 - self.persistence_share) * (total / len(self.ridges) - forecast[:FITTED_HOURS])
            forecast[:FITTED_HOURS] += change
            forecast[FITTED_HOURS:] += change[-1] * _CORRECTION_FADING
        return np.maximum(forecast, 0.0)


class HistoryForecaster:
    """Forecasts a series from its own past. Not thread-safe.

    What is forecast at a time depends on the hours that had ended by then, bit for bit: not on what follows, nor on what
    was asked before.

    :param timezone: the zone's; days and weeks follow its clock.
    """

    def __init__(self, series: Series, timezone: ZoneInfo) -> None:
        self._step_s = series.step_s
        self._by_hour = series.by_hour
        self._past = HourlyPast(series, timezone)
        self._fits = [(least, anchor, RidgeFit(self._past, anchor)) for least, anchor in _ANCHORS]
        self._ensembles: dict[int, Ensemble] = {}
        self._hours: dict[int, Floats] = {}
        self._errors: dict[int, LeadErrors | None] = {}

    def forecast(self, now: datetime) -> Prediction | None:
        """Return the week from the interval on that holds ``now``, at the series' step, without its past errors.

        It was issued when the last hour ended that it rests on: a history that was not filled gives old forecasts. None
        where fewer than three days of hours are known of the last four weeks, a clock hour was never seen, or nothing is
        known of the last week.
        """
        now_s = int(as_utc(now).timestamp())
        index = now_s // HOUR_S - self._past.first_hour
        hours = self._hourly(index)
        if hours is None:
            return None
        values = spread(hours, index, self._past, self._by_hour)[now_s % HOUR_S // self._step_s :].tolist()
        start_s = now_s // self._step_s * self._step_s
        edges = [start_s + i * self._step_s for i in range(len(values) + 1)]
        known_until = self._past.first_hour + self._past.known_until(index)
        method = "ridge" if self.ensemble(index).ridges else "mean of the same hour"
        return Prediction(
            curve=IntensityCurve(edges, values),
            source=f"the history ({round(self._past.known_hours(index) / DAY)} days, {method})",
            issued_at=datetime.fromtimestamp(known_until * HOUR_S, UTC),
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
            self._hours[index] = self.ensemble(index).forecast(self._past, index)
        return self._hours[index]

    def ensemble(self, index: int) -> Ensemble:
        """Return the ensemble that holds at an index; it is fitted anew every Monday 00:00 UTC."""
        monday = max(0, last_monday(self._past, index))
        if monday not in self._ensembles:
            self._ensembles[monday] = self._fit(monday)
        return self._ensembles[monday]

    def _fit(self, index: int) -> Ensemble:
        past = self._past
        days = past.known_hours(index) / DAY
        variance = float(np.nanvar(past.values[past.first_known : index])) if days else 0.0
        gathered = [(anchor, fit.sums(index)) for least, anchor, fit in self._fits if variance and days >= least]
        ridges = [
            solve_ridge(anchor, sums, variance, season=days >= _SEASON_DAYS)
            for anchor, sums in gathered
            if sums is not None
        ]
        if not ridges:
            return Ensemble()
        return Ensemble(tuple(ridges), min(1.0, max(_LEAST_PERSISTENCE, _PERSISTENCE_DAYS / days)))

    def _enough(self, index: int) -> bool:
        past = self._past
        return bool(
            0 < index < len(past)
            and past.known_hours(index, LEVEL_DAYS * DAY) >= _FEWEST_HOURS
            and past.known_hours(index, STALE_HOURS) > 0
            and not np.isnan(past.means(LEVEL_DAYS)[index]).any()
        )
