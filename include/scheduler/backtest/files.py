"""Reads what a backtest goes by: the trace to run on, and the history that was known before it began."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from include.errors import ArtifactError
from include.moments import format_moment
from include.scheduler.backtest.truth import Floats, Truth, check_resolution, truth_of
from include.scheduler.signals.trace import Trace, read_trace


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Grid:
    """A trace with its past.

    ``known_from_s`` and ``known`` are history and trace on one grid, at the trace's step; the history is over where the
    trace begins. ``notes`` are sentences for the user.
    """

    truth: Truth
    known_from_s: float
    known: Floats
    notes: tuple[str, ...] = ()


def read_grid(trace: Path, histories: Sequence[Path]) -> Grid:
    """Read a trace and the files of its past, in any order.

    :raises ArtifactError: a file that cannot be used, a history without a value before the trace, two histories that
        contradict each other.
    """
    truth = truth_of(read_trace(trace, told_by="--trace"))
    past: dict[int, tuple[float, Path]] = {}
    notes = []
    for path in histories:
        rows, left_out = _before(read_trace(path, told_by="--history"), truth, path, trace)
        if left_out:
            notes.append(
                f"{path}: {left_out} rows from the trace's beginning on are left out: the trace stands for them"
            )
        _add(past, rows, path)
    return _joined(truth, past, tuple(notes))


def _before(history: Trace, truth: Truth, path: Path, trace: Path) -> tuple[dict[int, float], int]:
    """Return a history's values by trace step (0 is where the trace begins, so all are negative), and the rows dropped."""
    step_s = check_resolution(history)
    starts = np.array([start.timestamp() for start in history.starts])
    early = starts + step_s <= truth.start_s
    if not early.any():
        raise ArtifactError(
            f"{path}: nothing in it is older than the trace {trace.name}, which begins at"
            f" {format_moment(datetime.fromtimestamp(truth.start_s, UTC))}; --history takes what was before"
        )
    values = np.asarray(history.values)[early]
    if step_s >= truth.step_s:
        return _spread(starts[early], values, step_s, truth), int((~early).sum())
    return _averaged(starts[early], values, step_s, truth), int((~early).sum())


def _spread(starts: Floats, values: Floats, step_s: float, truth: Truth) -> dict[int, float]:
    times = round(step_s / truth.step_s)
    first = np.rint((starts - truth.start_s) / truth.step_s).astype(int)
    return {int(row) + i: float(v) for row, v in zip(first, values, strict=True) for i in range(times)}


def _averaged(starts: Floats, values: Floats, step_s: float, truth: Truth) -> dict[int, float]:
    rows = np.floor((starts - truth.start_s) / truth.step_s).astype(int)
    found, where, counts = np.unique(rows, return_inverse=True, return_counts=True)
    means = np.bincount(where, weights=values) / counts
    whole = counts == round(truth.step_s / step_s)  # half an hour does not say what the hour was
    return {int(row): float(mean) for row, mean in zip(found[whole], means[whole], strict=True)}


def _add(past: dict[int, tuple[float, Path]], rows: dict[int, float], path: Path) -> None:
    for row, value in rows.items():
        known = past.setdefault(row, (value, path))
        if not math.isclose(known[0], value, rel_tol=1e-6, abs_tol=1e-6):
            raise ArtifactError(
                f"{path} and {known[1]} overlap and do not agree ({value:g} and {known[0]:g} g/kWh for the same moment);"
                " give only one of them"
            )


def _joined(truth: Truth, past: dict[int, tuple[float, Path]], notes: tuple[str, ...]) -> Grid:
    length = -min(past, default=0)
    before = np.full(length, np.nan)
    for row, (value, _) in past.items():
        before[length + row] = value
    known = np.concatenate((before, truth.values))
    return Grid(truth=truth, known_from_s=truth.start_s - length * truth.step_s, known=known, notes=notes)
