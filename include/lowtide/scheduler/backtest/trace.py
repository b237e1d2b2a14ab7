"""What a backtest runs on: the trace of what the grid really emitted, and the history that was known before it began."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lowtide.errors import ArtifactError
from lowtide.grid.providers.offline import Trace, read_trace
from lowtide.grid.series import IntensityCurve
from lowtide.timeutil import format_time

Floats = NDArray[np.float64]
HOUR_S = 3600.0


class ActualTrace:
    """What the grid really emitted: a curve of regular steps, with means over many stretches at once.

    :param start_s: the start of the first step, in UNIX seconds.
    :param step_s: the length of every step.
    :param values: g/kWh, one a step; NaN is a gap.
    :raises ValueError: no value, or one that is infinite or negative.
    """

    def __init__(self, start_s: float, step_s: float, values: Floats) -> None:
        self.start_s, self.step_s, self.values = start_s, step_s, values
        self._edges_s = start_s + step_s * np.arange(len(values) + 1)
        self.curve = IntensityCurve(self._edges_s.tolist(), values.tolist())
        self.end_s = self.curve.end_s
        self._integrals = np.array(self.curve.integrals)

    def row_of(self, time_s: float) -> int:
        """Return the number of the step that holds a time; may lie outside."""
        return int((time_s - self.start_s) // self.step_s)

    def rows(self, first: int, last: int) -> IntensityCurve:
        """Return the steps from number ``first`` to before ``last``, as far as the trace goes."""
        first, last = max(0, first), min(len(self.values), last)
        return IntensityCurve(self.curve.edges_s[first : last + 1], self.curve.values[first:last])

    def integral(self, start_s: ArrayLike, end_s: ArrayLike) -> Floats:
        """Return the integral over stretches inside the trace, in g/kWh x s; a gap adds nothing."""
        start, end = (np.interp(np.asarray(s, float), self._edges_s, self._integrals) for s in (start_s, end_s))
        return np.asarray(end - start)

    def mean(self, start_s: ArrayLike, end_s: ArrayLike) -> Floats:
        """Return the means over stretches inside the trace, in g/kWh."""
        means: Floats = self.integral(start_s, end_s) / (np.asarray(end_s, float) - np.asarray(start_s, float))
        return means


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Grid:
    """A trace with its past.

    ``known`` is history and trace at the trace's step, from ``known_from_s`` (UNIX seconds) on; the history ends where the
    trace begins. ``notes`` are sentences for the user.
    """

    actual: ActualTrace
    known_from_s: float
    known: Floats
    notes: tuple[str, ...] = ()


def read_grid(trace: Path, histories: Sequence[Path]) -> Grid:
    """Read a trace and the files of its past, in any order.

    :raises ArtifactError: a file that cannot be used, a history without a value before the trace, two histories that
        contradict each other.
    """
    actual = actual_trace(read_trace(trace, named_in="--trace"))
    past: dict[int, tuple[float, Path]] = {}
    notes = []
    for path in histories:
        rows, left_out = _rows_before(actual, path, trace)
        if left_out:
            notes.append(f"{path}: {left_out} rows after the start of the trace are ignored: the trace itself has them")
        for row, value in rows.items():
            known_value, known_from = past.setdefault(row, (value, path))
            if not math.isclose(known_value, value, rel_tol=1e-6, abs_tol=1e-6):
                raise ArtifactError(
                    f"{path} and {known_from} overlap and do not agree ({value:g} and {known_value:g} g/kWh for the same"
                    " time); give only one of them"
                )
    before = np.full(-min(past, default=0), np.nan)
    for row, (value, _) in past.items():
        before[row] = value  # rows before the trace have negative numbers
    known_from_s = actual.start_s - len(before) * actual.step_s
    known = np.concatenate((before, actual.values))
    return Grid(actual=actual, known_from_s=known_from_s, known=known, notes=tuple(notes))


def actual_trace(trace: Trace) -> ActualTrace:
    """Return a trace as a backtest runs on it; steps that have no row are gaps.

    :raises ArtifactError: a resolution that does not divide an hour, or a row between two steps.
    """
    step_s = _step_s(trace)
    offsets = (np.array([start.timestamp() for start in trace.starts]) - trace.starts[0].timestamp()) / step_s
    rows = np.rint(offsets).astype(int)
    odd = np.flatnonzero(np.abs(offsets - rows) > 1e-6)
    if odd.size:
        raise ArtifactError(
            f"{trace.name}: the row of {format_time(trace.starts[int(odd[0])])} is not on the grid of"
            f" {step_s / 60:g} minutes that the other rows keep; fix or remove it"
        )
    values = np.full(rows[-1] + 1, np.nan)
    values[rows] = trace.values
    return ActualTrace(trace.starts[0].timestamp(), step_s, values)


def _step_s(trace: Trace) -> float:
    step_s = trace.resolution.total_seconds()
    if step_s > HOUR_S or HOUR_S % step_s or trace.starts[0].timestamp() % step_s:
        raise ArtifactError(
            f"{trace.name}: rows every {step_s / 60:g} minutes from {format_time(trace.starts[0])} on cannot be used;"
            " give steps that divide an hour and begin on it, e.g. 60, 30, 15 or 5 minutes"
        )
    return step_s


def _rows_before(actual: ActualTrace, path: Path, trace: Path) -> tuple[dict[int, float], int]:
    """Return a history's values by the trace's step (0 is its first, so all are negative), and how many rows are later.

    A longer step is spread over several of the trace's; shorter ones are averaged where none is missing.
    """
    history = read_trace(path, named_in="--history")
    step_s = _step_s(history)
    starts = np.array([start.timestamp() for start in history.starts])
    early = starts + step_s <= actual.start_s
    if not early.any():
        raise ArtifactError(
            f"{path}: nothing in it is older than the trace {trace.name}, which begins at"
            f" {format_time(datetime.fromtimestamp(actual.start_s, UTC))}; --history takes what was before"
        )
    pieces = max(1, round(step_s / actual.step_s))
    starts = np.add.outer(starts[early], actual.step_s * np.arange(pieces)).ravel()
    values = np.repeat(np.asarray(history.values)[early], pieces)
    rows, where, counts = np.unique((starts - actual.start_s) // actual.step_s, return_inverse=True, return_counts=True)
    means = np.bincount(where, weights=values) / counts
    whole = counts == max(1, round(actual.step_s / step_s))
    return dict(zip(rows[whole].astype(int).tolist(), means[whole].tolist(), strict=True)), int((~early).sum())
