"""The best plan of a job that may pause, by a dynamic programme over idle and worked time on a grid of moments.

A plan runs or idles between moments ``T[i]`` of the grid. After k steps of work and w of idling it is at ``T[k + w]``. While
it runs, w stays and its cost less the integral of the curve so far stays too; while it idles, k and its cost stay. So all
that happens at a moment is that a run over w ends in an idling over k = i - w, or the other way round: two sliced minima.

Two families are searched together: plans that run from now to the first moment of the grid, and plans that idle until then.
"""

from math import ceil, floor, inf

import numpy as np
from numpy.typing import NDArray

from include.scheduler.curves.curve import IntensityCurve
from include.scheduler.curves.segments import SAME_S, Plan, Segment, Task, pauses, priced, resume_cost

_Array = NDArray[np.float64]
_ROUNDING = 1e-9
_EARLY = 1e-7
"""What a step of waiting before the start costs, as a share of a step's cost: of equal plans the earliest is taken."""
_RUNS, _IDLES = 0, 1
_FEW = 3
"""So few pauses are counted at once; more are counted only where the best plan turns out to have too many."""


def search(curve: IntensityCurve, task: Task) -> tuple[Plan | None, Plan | None]:
    """Return the best plan that works from now on, and the best that does not; each None where there is none."""
    limited = task.pauses_left <= _FEW
    found = _Search(curve, task, limited=limited).best()
    if not limited and any(plan is not None and pauses(task, plan.segments) > task.pauses_left for plan in found):
        found = _Search(curve, task, limited=True).best()
    return found


def grid_s(work_s: float) -> float:
    """Return the step of the grid in seconds. It hangs on the work alone: more slack must not make it coarser."""
    if work_s <= 6 * 3600:
        return 900.0
    return 1800.0 if work_s <= 24 * 3600 else 3600.0


class _Search:
    """One search; arrays are indexed by family, pauses (one layer where they are not counted) and steps w or k."""

    def __init__(self, curve: IntensityCurve, task: Task, *, limited: bool) -> None:
        self.curve, self.task = curve, task
        self.limited = limited
        self.layers = task.pauses_left + 1 if limited else 1
        self.source: slice = slice(0, -1) if limited else slice(None)
        self.target: slice = slice(1, None) if limited else slice(None)
        self.step_s = step = grid_s(task.work_s)
        self.begin_s = task.work_from_s
        anchor = curve.edges_s[1] % step
        self.first_s = anchor + (floor((self.begin_s - anchor) / step + _ROUNDING) + 1) * step
        self.work_s = (task.work_s - (self.first_s - self.begin_s), task.work_s)
        self.slice_steps = max(1, ceil(task.minimum_slice_s / step - _ROUNDING))
        self.gap_steps = floor(task.resume_time_s / step + _ROUNDING) + 1  # longer than the resume, or it is no pause
        self.idle = [floor((task.end_s - self.first_s - work) / step + _ROUNDING) for work in self.work_s]
        self.done = [self._most_steps_before_a_pause(family) for family in (_RUNS, _IDLES)]
        self.moments = max(self.idle) + max(self.done) + 1

    def best(self) -> tuple[Plan | None, Plan | None]:
        """Search, and return the best plan of each family."""
        if max(self.idle) < 0 or max(self.done) < 0:
            return None, None
        self._fill()
        return self._plan(_RUNS), self._plan(_IDLES)

    def _most_steps_before_a_pause(self, family: int) -> int:
        """Return after how many steps of work a pause still leaves a slice for the rest; -1 if after none."""
        task, work = self.task, self.work_s[family]
        if family == _IDLES and not self._may_idle():
            return -1
        least = max(task.minimum_slice_s, SAME_S)
        steps = floor((work - least) / self.step_s + _ROUNDING)
        if family == _IDLES and task.state != "running":
            return max(0, steps)  # a job that is shorter than a slice as a whole may still begin or go on
        return max(-1, steps)

    def _may_idle(self) -> bool:
        task = self.task
        return task.state != "running" or (task.pauses_left > 0 and task.slice_done_s >= task.minimum_slice_s)

    def _fill(self) -> None:
        count = self.moments
        steps_w, steps_k = max(self.idle) + 1, max(self.done) + 1
        times: _Array = self.first_s + self.step_s * np.arange(count, dtype=np.float64)
        self.sums = self._integral(times)
        values, starts = self.sums.tolist(), times.tolist()
        resumes = self._resumes(times).tolist()
        self.running = np.empty((count, 2, self.layers, steps_w))
        self.idling = np.empty((count, 2, self.layers, steps_k))
        self.running[0] = self.idling[0] = inf
        banned = np.zeros((2, 1, steps_k))
        for family in (_RUNS, _IDLES):
            banned[family, :, self.done[family] + 1 :] = inf
        earliness = _EARLY * self.step_s * max(values[-1], 0.0) / max(starts[-1] - self.begin_s, self.step_s)
        running, idling = self.running, self.idling
        for i in range(count):
            if i:
                running[i], idling[i] = running[i - 1], idling[i - 1]
            low, high = max(0, i - steps_k + 1), min(steps_w - 1, i)
            if low <= high:
                rows, columns = slice(low, high + 1), slice(i - high, i - low + 1)
                self._stop(i, rows, columns, values[i], banned)
                self._resume(i, rows, columns, resumes[i] - values[i])
            self._leave_first_run(i, starts[i], values[i])
            self._leave_first_idling(i, starts[i], resumes[i] - values[i], earliness * i - values[i])

    def _stop(self, i: int, rows: slice, columns: slice, value: float, banned: _Array) -> None:
        if i < self.slice_steps:
            return
        since = self.running[i - self.slice_steps][:, self.source, rows]
        stopped = since[:, :, ::-1] + (banned[:, :, columns] + value)
        kept = self.idling[i][:, self.target, columns]
        np.minimum(kept, stopped, out=kept)

    def _resume(self, i: int, rows: slice, columns: slice, cost: float) -> None:
        if i < self.gap_steps:
            return
        resumed = self.idling[i - self.gap_steps][:, :, columns][:, :, ::-1] + cost
        kept = self.running[i][:, :, rows]
        np.minimum(kept, resumed, out=kept)

    def _leave_first_run(self, i: int, moment_s: float, value: float) -> None:
        """Let the run that began now end at a moment of the grid."""
        task = self.task
        done_s = task.slice_done_s if task.state == "running" else 0.0
        is_slice = moment_s - self.begin_s + done_s >= task.minimum_slice_s - _ROUNDING
        layer = min(1, self.layers - 1)
        if is_slice and i <= self.done[_RUNS] and (layer == 1 or not self.limited):
            cell = self.idling[i, _RUNS, layer]
            cell[i] = min(cell[i], self._first_cost() + value)

    def _leave_first_idling(self, i: int, moment_s: float, resumed: float, begun: float) -> None:
        """Let the work begin, or go on, that idled from now until a moment of the grid."""
        task = self.task
        if self.done[_IDLES] < 0 or i > max(self.idle):
            return
        if task.state == "new":
            self.running[i, _IDLES, 0, i] = begun
        elif task.state == "paused" or moment_s - task.now_s > task.resume_time_s + SAME_S:
            layer = min(1, self.layers - 1) if task.state == "running" else 0
            self.running[i, _IDLES, layer, i] = resumed

    def _first_cost(self) -> float:
        return resume_cost(self.curve, self.task, self.task.now_s) if self.task.state == "paused" else 0.0

    def _integral(self, moments: _Array) -> _Array:
        """Return the integral of the curve from the first possible work to each moment."""
        edges, sums = np.array(self.curve.edges_s), np.array(self.curve.integrals)
        return np.asarray(np.interp(moments, edges, sums) - np.interp(self.begin_s, edges, sums))

    def _resumes(self, times: _Array) -> _Array:
        """Return what a resume costs after which work goes on at each moment."""
        task = self.task
        if task.resume_energy_s == 0 or task.resume_time_s == 0:
            if task.resume_energy_s == 0:
                return np.zeros(len(times))
            steps = np.searchsorted(np.array(self.curve.edges_s), times, side="right") - 1
            values = np.array(self.curve.values)
            return task.resume_energy_s * values[np.clip(steps, 0, len(values) - 1)]
        span = self._integral(times) - self._integral(times - task.resume_time_s)
        return task.resume_energy_s / task.resume_time_s * span

    def _plan(self, family: int) -> Plan | None:
        """Return the best plan of a family, found again from the arrays."""
        rows = self.idle[family] + 1
        if rows <= 0 or self.done[family] < 0:
            return None
        ends: _Array = self.first_s + self.step_s * np.arange(rows, dtype=np.float64) + self.work_s[family]
        costs = self.running[-1, family, :, :rows] + self._integral(ends)
        layer, row = divmod(int(np.argmin(costs)), rows)
        if not costs[layer, row] < inf:
            return None
        return priced(self.curve, self.task, tuple(self._traced(family, layer, row, float(ends[row]))))

    def _traced(self, family: int, layer: int, row: int, end_s: float) -> list[Segment]:
        """Return the segments that led to a run with so much idling; a cell keeps its value once it is the least."""
        segments: list[Segment] = []
        until = self.moments - 1
        while True:
            runs = self.running[: until + 1, family, layer, row]
            i = int(np.argmax(runs == runs[-1]))
            k = i - row
            is_first = family == _IDLES and k == 0
            segments.insert(0, (self._start_s(i, is_first=is_first), end_s))
            if is_first:
                return segments
            idles = self.idling[: i - self.gap_steps + 1, family, layer, k]
            j = int(np.argmax(idles == idles[-1]))
            end_s, row = self.first_s + self.step_s * j, j - k
            layer -= self.limited
            if family == _RUNS and row == 0:
                return [(self.task.now_s, end_s), *segments]
            until = j - self.slice_steps

    def _start_s(self, i: int, *, is_first: bool) -> float:
        begins = is_first and self.task.state == "new"
        return self.first_s + self.step_s * i - (0.0 if begins else self.task.resume_time_s)
