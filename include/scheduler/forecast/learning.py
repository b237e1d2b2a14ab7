"""Gathers what there is to learn from the past, in blocks of four weeks, for the fits of one week after another."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from include.scheduler.forecast.arrays import DAY, FITTED_HOURS, Floats, Integers
from include.scheduler.forecast.features import Anchor
from include.scheduler.forecast.past import HourlyPast
from include.scheduler.forecast.sums import block_sums, seasonal

WEEK = 7 * DAY
_FIRST_MONDAY = 4 * DAY
"""1970-01-05, in hours since 1970."""
_BLOCK = 4 * WEEK
_FEWEST_ROWS = 14 * DAY
_MOST_DAYS_LEFT_OUT = 14
_LEAST_KNOWN_BEFORE = 0.75
_LEAST_KNOWN_AHEAD = 0.9


def last_monday(past: HourlyPast, index: int) -> int:
    """Return the index of the last Monday 00:00 UTC up to an index: the same in a backtest and in production."""
    return (index + past.first_hour - _FIRST_MONDAY) // WEEK * WEEK + _FIRST_MONDAY - past.first_hour


class Learning:
    """What one anchor's regression can be solved from at any moment.

    Whole blocks are summed once, in their order, and kept: asking for an earlier moment begins again and gives the same.
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
        begin = past.begin(index) + min(self._anchor.days, _MOST_DAYS_LEFT_OUT) * DAY
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
