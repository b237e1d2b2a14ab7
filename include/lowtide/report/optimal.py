"""When a known energy curve would have emitted the least on a known grid.

Seconds count from the submission. A curve is the cumulative energy in kWh at moments counted from its own start; the grid's
steps touch one another. Imported on first use: numpy need not be there to parse a DAG.
"""

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

_Array = NDArray[np.float64]
_STEP_S = 60.0
_MOST_STARTS = 10_000
_MOST_CELLS = 20_000_000
_SAME = 1e-9


Piece = tuple[float, float, int, float]
"""Start and end in seconds, attempt, and energy in kWh after PUE."""


class EnergyCurve(NamedTuple):
    """Cumulative energy in kWh, after PUE, at moments from 0 on that never go back."""

    moments_s: _Array
    energy_kwh: _Array

    @property
    def span_s(self) -> float:
        """From the first row's start to the last one's end."""
        return float(self.moments_s[-1])


class Steps(NamedTuple):
    """The grid: edges in seconds from submission, one more than there are intensities in g/kWh."""

    edges_s: _Array
    intensities: _Array

    @classmethod
    def of(cls, edges_s: Sequence[float], intensities: Sequence[float]) -> Self:
        """Return the steps of plain numbers."""
        return cls(np.array(edges_s, dtype=np.float64), np.array(intensities, dtype=np.float64))


class Plan(NamedTuple):
    """When to run, and what that emits in g."""

    segments_s: tuple[tuple[float, float], ...]
    emissions_gco2eq: float


class Searched(NamedTuple):
    """The best plan beside what was done and what would have been at submission, all on the same steps."""

    best: Plan
    at_submission_gco2eq: float
    as_run_gco2eq: float


def search(pieces: Sequence[Piece], steps: Steps, *, may_pause: bool) -> Searched:
    """Return the best plan for a run's energy; where nothing is better than what was done, that is the best.

    :param may_pause: attempts are pieces of one run that paused: they are joined, and may be cut anywhere.
    """
    as_run = Plan(_spans(pieces), float(emissions_at(curve_of(pieces), steps, np.array([pieces[0][0]]))[0]))
    curve = curve_of(_joined(pieces) if may_pause else pieces)
    found = min(
        [best_start(curve, steps), *([best_slots(curve, steps)] if may_pause else [])],
        key=lambda plan: plan.emissions_gco2eq,
    )
    best = found if found.emissions_gco2eq < as_run.emissions_gco2eq * (1 - _SAME) else as_run
    return Searched(best, float(emissions_at(curve, steps, np.zeros(1))[0]), as_run.emissions_gco2eq)


def curve_of(pieces: Sequence[Piece]) -> EnergyCurve:
    """Return the curve from the first piece's start on; between two pieces that do not touch nothing is used."""
    moments, energies, begin = [0.0], [0.0], pieces[0][0]
    for start, end, _, energy in pieces:
        if start - begin > moments[-1]:
            moments.append(start - begin)
            energies.append(energies[-1])
        moments.append(max(end - begin, moments[-1]))
        energies.append(energies[-1] + energy)
    return EnergyCurve(np.array(moments), np.array(energies))


def _joined(pieces: Sequence[Piece]) -> list[Piece]:
    """Return the pieces with each attempt moved up to the end of the one before."""
    joined: list[Piece] = []
    earlier = 0.0
    for start, end, attempt, energy in pieces:
        if joined and attempt != joined[-1][2]:
            earlier = start - joined[-1][1]
        joined.append((start - earlier, end - earlier, attempt, energy))
    return joined


def _spans(pieces: Sequence[Piece]) -> tuple[tuple[float, float], ...]:
    """Return when each attempt ran."""
    spans: dict[int, tuple[float, float]] = {}
    for start, end, attempt, _ in pieces:
        spans[attempt] = (spans.get(attempt, (start, end))[0], end)
    return tuple(spans.values())


def emissions_at(curve: EnergyCurve, steps: Steps, starts_s: _Array) -> _Array:
    """Return the grams of the curve begun at each start, exact: each step's intensity times the energy used in it."""
    grams = np.zeros_like(starts_s)
    before = _used(curve, steps.edges_s[0] - starts_s)
    for edge_s, intensity in zip(steps.edges_s[1:], steps.intensities, strict=True):
        after = _used(curve, edge_s - starts_s)
        grams += intensity * (after - before)
        before = after
    return grams


def best_start(curve: EnergyCurve, steps: Steps) -> Plan:
    """Return the best start within the steps, to the minute or where a step begins or ends; of equal ones the earliest."""
    latest_s = max(0.0, float(steps.edges_s[-1]) - curve.span_s)
    step_s = max(_STEP_S, latest_s / _MOST_STARTS)
    edges = np.concatenate([steps.edges_s, steps.edges_s - curve.span_s])
    starts = np.concatenate([np.arange(0.0, latest_s, step_s), edges[(edges >= 0) & (edges <= latest_s)], [latest_s]])
    starts = np.unique(starts)
    grams = emissions_at(curve, steps, starts)
    first = int(np.argmax(grams <= grams.min() * (1 + _SAME)))
    start_s = float(starts[first])
    return Plan(((start_s, start_s + curve.span_s),), float(grams[first]))


def best_slots(curve: EnergyCurve, steps: Steps) -> Plan:
    """Return the best pieces if pauses cost nothing: the energy in its order, a minute at a time, anywhere in the steps.

    A dynamic programme over minutes passed and minutes of work done; coarser only for windows of many days.
    """
    window_s = float(steps.edges_s[-1])
    step_s = max(_STEP_S, float(np.sqrt(window_s * curve.span_s / _MOST_CELLS)))
    work = _slices(curve, step_s)
    slots = int(window_s // step_s)
    passed = _integral(steps, step_s * np.arange(slots + 1, dtype=np.float64))
    means = np.diff(passed) / step_s
    cost = np.full(len(work) + 1, np.inf)
    cost[0] = 0.0
    runs = np.zeros((slots, len(work) + 1), dtype=bool)
    for slot, mean in enumerate(means):
        running = cost[:-1] + work * mean
        runs[slot, 1:] = running < cost[1:]
        cost[1:] = np.minimum(cost[1:], running)
    return Plan(_segments(runs, step_s), float(cost[-1]))


def _slices(curve: EnergyCurve, step_s: float) -> _Array:
    count = max(1, int(np.ceil(curve.span_s / step_s - _SAME)))
    used = _used(curve, np.append(np.arange(count) * step_s, curve.span_s))
    return np.asarray(np.diff(used), dtype=np.float64)


def _segments(runs: NDArray[np.bool_], step_s: float) -> tuple[tuple[float, float], ...]:
    left = runs.shape[1] - 1
    chosen: list[int] = []
    for slot in range(len(runs) - 1, -1, -1):
        if left and runs[slot, left]:
            chosen.append(slot)
            left -= 1
    segments: list[tuple[float, float]] = []
    for slot in reversed(chosen):
        start, end = slot * step_s, (slot + 1) * step_s
        if segments and abs(segments[-1][1] - start) < step_s / 2:
            segments[-1] = (segments[-1][0], end)
        else:
            segments.append((start, end))
    return tuple(segments)


def _used(curve: EnergyCurve, moments_s: _Array) -> _Array:
    return np.asarray(np.interp(moments_s, curve.moments_s, curve.energy_kwh), dtype=np.float64)


def _integral(steps: Steps, moments_s: _Array) -> _Array:
    sums = np.concatenate([[0.0], np.cumsum(np.diff(steps.edges_s) * steps.intensities)])
    return np.asarray(np.interp(moments_s, steps.edges_s, sums), dtype=np.float64)
