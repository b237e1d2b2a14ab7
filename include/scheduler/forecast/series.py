"""Stored intensities on a regular grid in UTC, with gaps."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

import numpy as np

from include.records import Reading
from include.scheduler.forecast.arrays import HOUR_S, Floats, Integers

_SHORTEST_S = 60


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Series:
    """Intensities in g/kWh from ``start_s`` (UNIX seconds, a multiple of ``step_s``) on, one a step; NaN is a gap.

    :raises ValueError: a step that does not divide the hour, a start off the grid, no value, or one that is no intensity.
    """

    start_s: int
    step_s: int
    values: Floats

    def __post_init__(self) -> None:
        if self.step_s < _SHORTEST_S or HOUR_S % self.step_s:
            raise ValueError(f"a step of {self.step_s} s does not divide the hour; give 5, 15, 30 or 60 minutes")
        if self.start_s % self.step_s:
            raise ValueError(f"a series cannot begin at {self.start_s} s with steps of {self.step_s} s")
        if self.values.ndim != 1 or not len(self.values):
            raise ValueError("a series needs at least one value in one dimension")
        known = self.values[~np.isnan(self.values)]
        if len(known) and not (np.isfinite(known).all() and known.min() >= 0):
            raise ValueError("an intensity is finite and >= 0, or NaN for a gap")

    @classmethod
    def from_readings(cls, readings: Iterable[Reading]) -> Self:
        """Return the series of readings that do not overlap, at the length of the shortest that divides the hour.

        A step that readings cover by less than half is a gap; one with several readings is their mean by time.

        :raises ValueError: no reading.
        """
        known = list(readings)
        if not known:
            raise ValueError("a series needs at least one reading")
        starts = np.array([r.start.timestamp() for r in known])
        ends = np.array([r.end.timestamp() for r in known])
        values = np.array([r.carbon_intensity_gco2eq_per_kwh for r in known], dtype=np.float64)
        return cls._averaged(starts, ends, values, _step_s(ends - starts))

    @classmethod
    def from_rows(cls, rows: Iterable[tuple[datetime, float]], resolution: timedelta) -> Self:
        """Return the series of (start of interval, g/kWh) rows in any order; a NaN or a missing row is a gap.

        :raises ValueError: no row, or a resolution that does not divide the hour.
        """
        pairs = [(start.timestamp(), value) for start, value in rows]
        if not pairs:
            raise ValueError("a series needs at least one row")
        starts, values = np.array(pairs, dtype=np.float64).T
        step_s = resolution.total_seconds()
        return cls._averaged(starts, starts + step_s, values, int(step_s) if step_s == int(step_s) else 0)

    @classmethod
    def _averaged(cls, starts: Floats, ends: Floats, values: Floats, step_s: int) -> Self:
        if step_s < _SHORTEST_S or HOUR_S % step_s:
            raise ValueError(f"a step of {step_s} s does not divide the hour; give 5, 15, 30 or 60 minutes")
        usable = ~np.isnan(values)
        first, last = int(starts.min() // step_s), int(-(-ends.max() // step_s))
        starts, ends, values = starts[usable], ends[usable], values[usable]
        steps, which = _touched(starts, ends, step_s)
        overlap_s = np.minimum(ends[which], (steps + 1) * step_s) - np.maximum(starts[which], steps * step_s)
        covered_s = np.bincount(steps - first, weights=overlap_s, minlength=last - first)
        sums = np.bincount(steps - first, weights=overlap_s * values[which], minlength=last - first)
        known = covered_s >= step_s / 2
        means = np.full(last - first, np.nan)
        np.divide(sums, covered_s, out=means, where=known)
        return cls(start_s=first * step_s, step_s=step_s, values=means)

    def hourly(self) -> tuple[int, Floats]:
        """Return the first hour (hours since 1970) and the means of whole hours; one known by less than half is a gap."""
        steps = HOUR_S // self.step_s
        before = self.start_s // self.step_s % steps
        after = -(before + len(self.values)) % steps
        padded = np.pad(self.values, (before, after), constant_values=np.nan).reshape(-1, steps)
        known = ~np.isnan(padded)
        count = known.sum(axis=1)
        sums = np.where(known, padded, 0.0).sum(axis=1)
        means = np.full(len(padded), np.nan)
        np.divide(sums, count, out=means, where=2 * count >= steps)
        return self.start_s // HOUR_S, means


def _touched(starts: Floats, ends: Floats, step_s: int) -> tuple[Integers, Integers]:
    """Return the steps that intervals touch, and which interval touches each."""
    first = (starts // step_s).astype(np.int64)
    count = (-(-ends // step_s)).astype(np.int64) - first
    which = np.repeat(np.arange(len(starts)), count)
    within = np.arange(len(which)) - np.repeat(np.cumsum(count) - count, count)
    return first[which] + within, which


def _step_s(lengths: Floats) -> int:
    fitting = lengths[(lengths >= _SHORTEST_S) & (HOUR_S % np.maximum(lengths, 1.0) == 0)]
    return int(fitting.min()) if len(fitting) else HOUR_S
