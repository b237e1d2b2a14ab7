"""What the grid really emitted: the trace on a regular grid of numpy, with means over any stretch of it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from include.errors import ArtifactError
from include.moments import format_moment
from include.scheduler.signals.trace import Trace

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
_HOUR_S = 3600.0


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """Intensity in g/kWh over steps of ``step_s`` from ``start_s`` (UNIX seconds) on; NaN is a gap."""

    start_s: float
    step_s: float
    values: Floats
    _sums: Floats
    _gaps: Floats

    @classmethod
    def of(cls, start_s: float, step_s: float, values: Floats) -> "Truth":
        """Return the truth of regular values."""
        missing = np.isnan(values)
        sums = np.concatenate(([0.0], np.cumsum(np.where(missing, 0.0, values) * step_s)))
        return cls(start_s, step_s, values, sums, np.concatenate(([0.0], np.cumsum(missing))))

    @property
    def end_s(self) -> float:
        """The end of the last step."""
        return self.start_s + self.step_s * len(self.values)

    def row_of(self, moment_s: float) -> int:
        """Return the number of the step that holds a moment; may lie outside."""
        return int((moment_s - self.start_s) // self.step_s)

    def at(self, moment_s: Floats) -> Floats:
        """Return the intensity that holds at moments inside the trace, in g/kWh."""
        held: Floats = self.values[np.floor((moment_s - self.start_s) / self.step_s).astype(int)]
        return held

    def integral(self, start_s: ArrayLike, end_s: ArrayLike) -> Floats:
        """Return the integral over stretches inside the trace, in g/kWh x s; gaps count as nothing, so ask first."""
        return self._up_to(np.asarray(end_s, float)) - self._up_to(np.asarray(start_s, float))

    def mean(self, start_s: ArrayLike, end_s: ArrayLike) -> Floats:
        """Return the means over stretches inside the trace, in g/kWh."""
        means: Floats = self.integral(start_s, end_s) / (np.asarray(end_s, float) - np.asarray(start_s, float))
        return means

    def touches_gap(self, start_s: Floats, end_s: Floats) -> Bools:
        """Return which stretches overlap a step whose value is missing."""
        first = np.floor((start_s - self.start_s) / self.step_s).astype(int)
        last = np.ceil((end_s - self.start_s) / self.step_s).astype(int)
        count = len(self.values)
        touched: Bools = self._gaps[np.clip(last, 0, count)] > self._gaps[np.clip(first, 0, count)]
        return touched

    def _up_to(self, moment_s: Floats) -> Floats:
        steps = (moment_s - self.start_s) / self.step_s
        whole = np.clip(np.floor(steps).astype(int), 0, len(self.values) - 1)
        value = self.values[whole]
        sums: Floats = self._sums[whole] + (steps - whole) * self.step_s * np.where(np.isnan(value), 0.0, value)
        return sums


def truth_of(trace: Trace) -> Truth:
    """Return a trace as the truth of a backtest; moments that have no row are gaps.

    :raises ArtifactError: a resolution that does not divide an hour, or a row between two steps.
    """
    step_s = check_resolution(trace)
    offsets = (np.array([start.timestamp() for start in trace.starts]) - trace.starts[0].timestamp()) / step_s
    rows = np.rint(offsets).astype(int)
    odd = np.flatnonzero(np.abs(offsets - rows) > 1e-6)
    if odd.size:
        raise ArtifactError(
            f"{trace.name}: the row of {format_moment(trace.starts[int(odd[0])])} does not stand on the grid of"
            f" {step_s / 60:g} minutes that the others keep; mend or remove it"
        )
    values = np.full(rows[-1] + 1, np.nan)
    values[rows] = trace.values
    return Truth.of(trace.starts[0].timestamp(), step_s, values)


def check_resolution(trace: Trace) -> float:
    """Return a trace's resolution in seconds.

    :raises ArtifactError: it does not divide an hour, or the rows do not begin on the hour or a whole step after it.
    """
    step_s = trace.resolution.total_seconds()
    if step_s > _HOUR_S or _HOUR_S % step_s or trace.starts[0].timestamp() % step_s:
        raise ArtifactError(
            f"{trace.name}: rows every {step_s / 60:g} minutes from {format_moment(trace.starts[0])} on cannot be used;"
            " give steps that divide an hour and begin on it, e.g. 60, 30, 15 or 5 minutes"
        )
    return step_s
