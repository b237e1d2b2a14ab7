"""The best plan of a job that may pause, by a dynamic programme over idle and worked time on a grid of times.

A plan runs or idles between times ``T[i]`` of the grid. After k steps of work and w of idling it is at ``T[k + w]``. While
it runs, w stays and its cost less the integral of the curve so far stays too; while it idles, k and its cost stay. So all
that happens at a time is that a run over w ends in an idling over k = i - w, or the other way round: two sliced minima.

Two families are searched together: plans that run from now to the first time of the grid, and plans that idle until then.

A segment after a pause begins with the resume: ``resume_time_s`` without work, on energy worth ``resume_energy_s`` at full
power at the mean intensity of that time (at its start where that time is 0). Work draws full power. Costs are integrals of
intensity over time at full power, in g/kWh x s. Times are UNIX seconds.
"""

from math import ceil, floor, inf
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lowtide.grid.series import IntensityCurve

State = Literal["new", "running", "paused"]
Segment = tuple[float, float]

SAME_S = 1e-3


class Task(NamedTuple):
    """What is to be planned: so much work from ``now_s`` on, over by ``end_s``.

    ``pauses_left`` does not count a pause that has begun. ``slice_done_s`` is the work of the slice that runs.
    """

    now_s: float
    end_s: float
    work_s: float
    state: State
    minimum_slice_s: float
    resume_time_s: float
    resume_energy_s: float
    pauses_left: int
    slice_done_s: float = inf

    @property
    def work_from_s(self) -> float:
        """The first time at which work can be done."""
        return self.now_s + (self.resume_time_s if self.state == "paused" else 0.0)


class Plan(NamedTuple):
    """Segments in time order, resumes included, and what they cost."""

    segments: tuple[Segment, ...]
    cost: float


class Plans(NamedTuple):
    """``straight``: on from now without a pause. ``now``: the best that runs now. ``later``: the best that does not."""

    straight: Plan
    now: Plan
    later: Plan | None

    @property
    def best(self) -> Plan:
        """The cheaper of the two; of equal ones that which runs now."""
        return self.now if self.later is None or self.now.cost <= _nearly(self.later.cost) else self.later


def plans(curve: IntensityCurve, task: Task) -> Plans | None:
    """Return the best plans on a curve; None where it does not cover the time up to the end of the task.

    None of them ends later than ``end_s``, but for ``straight`` (and then ``now``) where the work does not fit.
    """
    straight_s = task.work_from_s + task.work_s
    if curve.mean_over(task.now_s, max(straight_s, task.end_s)) is None:
        return None
    straight = priced(curve, task, ((task.now_s, straight_s),))
    if task.work_s <= SAME_S or task.end_s <= straight_s + SAME_S:
        return Plans(straight, straight, None)
    now, later = search(curve, task, straight)
    block = _block(curve, task)
    if block is not None and (later is None or _is_better(block, later)):
        later = block
    if now is None or straight.cost <= now.cost:
        now = straight
    return Plans(straight, now, later)


def priced(curve: IntensityCurve, task: Task, segments: tuple[Segment, ...]) -> Plan:
    """Return segments with their cost, resumes included.

    :raises ValueError: the curve does not cover them.
    """
    cost = 0.0
    for i, (start_s, end_s) in enumerate(segments):
        if i > 0 or task.state == "paused" or (task.state == "running" and start_s > task.now_s + SAME_S):
            cost += resume_cost(curve, task, start_s)
            start_s += task.resume_time_s  # noqa: PLW2901 the work begins after the resume
        # the sum of a start and a duration may pass the curve's end by a rounding error
        known_s = curve.end_s if curve.end_s < end_s <= curve.end_s + SAME_S else end_s
        mean = curve.mean_over(start_s, known_s)
        if mean is None:
            raise ValueError(f"the curve does not cover {start_s} to {end_s}")
        cost += mean * (end_s - start_s)
    return Plan(segments, cost)


def resume_cost(curve: IntensityCurve, task: Task, start_s: float) -> float:
    """Return the cost of a resume that begins at ``start_s``.

    :raises ValueError: the curve does not cover it.
    """
    if task.resume_energy_s == 0:
        return 0.0
    span_s = task.resume_time_s
    mean = curve.mean_over(start_s, start_s + span_s) if span_s > 0 else curve.value_at(start_s)
    if mean is None:
        raise ValueError(f"the curve does not cover a resume at {start_s}")
    return task.resume_energy_s * mean


def _nearly(cost: float) -> float:
    """Return a cost with room for the rounding of sums."""
    return cost * (1.0 + 1e-9) + 1e-6


def _is_better(plan: Plan, other: Plan) -> bool:
    """Whether a plan costs less, or as much and begins no later."""
    if plan.cost <= _nearly(other.cost) and plan.segments[0][0] <= other.segments[0][0]:
        return True
    return _nearly(plan.cost) < other.cost


def search(curve: IntensityCurve, task: Task, straight: Plan) -> tuple[Plan | None, Plan | None]:
    """Return the best plan that works from now on, and the best that does not; each None where there is no such plan."""
    if task.minimum_slice_s == task.resume_time_s == task.resume_energy_s == 0:  # pauses cost nothing
        cheapest = priced(curve, task, cheapest_steps(curve, task))
        if pauses(task, cheapest.segments) <= task.pauses_left:
            begins_now = cheapest.segments[0][0] <= task.now_s + SAME_S
            return (cheapest, None) if begins_now else (straight, cheapest)
    if task.pauses_left == 0 and task.state == "running":
        return None, None
    limited = task.pauses_left <= _FEW
    found = _Search(curve, task, limited=limited).best()
    if not limited and any(plan is not None and pauses(task, plan.segments) > task.pauses_left for plan in found):
        found = _Search(curve, task, limited=True).best()
    return found


def _block(curve: IntensityCurve, task: Task) -> Plan | None:
    """Return the best block without a pause that begins later, exact to the second; only for a job that has not begun."""
    if task.state != "new":
        return None
    block = curve.best_start(task.now_s, task.end_s - task.work_s, task.work_s)
    if block is None or block.start_s <= task.now_s + SAME_S:
        return None
    return priced(curve, task, ((block.start_s, block.start_s + task.work_s),))


def pauses(task: Task, segments: tuple[Segment, ...]) -> int:
    """Return how many pauses a plan begins."""
    pauses_now = task.state == "running" and segments[0][0] > task.now_s + SAME_S
    return len(segments) - 1 + pauses_now


def cheapest_steps(curve: IntensityCurve, task: Task) -> tuple[Segment, ...]:
    """Return the cheapest steps before the end, of equal ones the earliest: the best plan where pauses cost nothing."""
    left_s, taken = task.work_s, []
    for start_s, end_s, _ in sorted(curve.steps(task.now_s, task.end_s), key=lambda step: (step[2], step[0])):
        used_s = min(left_s, end_s - start_s)
        taken.append((start_s, start_s + used_s))
        left_s -= used_s
        if left_s <= 0:
            break
    return _joined(sorted(taken))


def _joined(segments: list[Segment]) -> tuple[Segment, ...]:
    joined: list[Segment] = []
    for start_s, end_s in segments:
        if joined and start_s - joined[-1][1] <= SAME_S:
            joined[-1] = (joined[-1][0], end_s)
        else:
            joined.append((start_s, end_s))
    return tuple(joined)


_Array = NDArray[np.float64]
_ROUNDING = 1e-9
_EARLY = 1e-7
"""What a step of waiting before the start costs, as a share of a step's cost: of equal plans the earliest is taken."""
_RUNS, _IDLES = 0, 1
_FEW = 3
"""So few pauses are counted at once; more are counted only where the best plan turns out to have too many."""


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
        self.count = max(self.idle) + max(self.done) + 1

    def best(self) -> tuple[Plan | None, Plan | None]:
        """Search, and return the best plan of each family."""
        if max(self.idle) < 0 or max(self.done) < 0:
            return None, None
        self._fill()
        return self._plan(_RUNS), self._plan(_IDLES)

    def _most_steps_before_a_pause(self, family: int) -> int:
        """Return after how many steps of work a pause still leaves a slice for the rest; -1 if after none."""
        task = self.task
        may_pause = task.pauses_left > 0 and task.slice_done_s >= task.minimum_slice_s
        if family == _IDLES and task.state == "running" and not may_pause:
            return -1
        steps = floor((self.work_s[family] - max(task.minimum_slice_s, SAME_S)) / self.step_s + _ROUNDING)
        # a job that is shorter than a slice as a whole may still start or resume
        return max(0 if family == _IDLES and task.state != "running" else -1, steps)

    def _fill(self) -> None:
        count = self.count
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

    def _leave_first_run(self, i: int, time_s: float, value: float) -> None:
        """Let the run that began now end at a time of the grid."""
        task = self.task
        done_s = task.slice_done_s if task.state == "running" else 0.0
        is_slice = time_s - self.begin_s + done_s >= task.minimum_slice_s - _ROUNDING
        layer = min(1, self.layers - 1)
        if is_slice and i <= self.done[_RUNS] and (layer == 1 or not self.limited):
            first = resume_cost(self.curve, task, task.now_s) if task.state == "paused" else 0.0
            cell = self.idling[i, _RUNS, layer]
            cell[i] = min(cell[i], first + value)

    def _leave_first_idling(self, i: int, time_s: float, resumed: float, begun: float) -> None:
        """Let the work start or resume that idled from now until a time of the grid."""
        task = self.task
        if self.done[_IDLES] < 0 or i > max(self.idle):
            return
        if task.state == "new":
            self.running[i, _IDLES, 0, i] = begun
        elif task.state == "paused" or time_s - task.now_s > task.resume_time_s + SAME_S:
            layer = min(1, self.layers - 1) if task.state == "running" else 0
            self.running[i, _IDLES, layer, i] = resumed

    def _integral(self, times: _Array) -> _Array:
        """Return the integral of the curve from the first possible work to each time."""
        edges, sums = np.array(self.curve.edges_s), np.array(self.curve.integrals)
        return np.asarray(np.interp(times, edges, sums) - np.interp(self.begin_s, edges, sums))

    def _resumes(self, times: _Array) -> _Array:
        """Return what a resume costs after which work resumes at each time."""
        task = self.task
        if task.resume_energy_s == 0:
            return np.zeros(len(times))
        if task.resume_time_s == 0:
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
        until = self.count - 1
        while True:
            runs = self.running[: until + 1, family, layer, row]
            i = int(np.argmax(runs == runs[-1]))
            k = i - row
            is_first = family == _IDLES and k == 0
            resume_s = 0.0 if is_first and self.task.state == "new" else self.task.resume_time_s
            segments.insert(0, (self.first_s + self.step_s * i - resume_s, end_s))
            if is_first:
                return segments
            idles = self.idling[: i - self.gap_steps + 1, family, layer, k]
            j = int(np.argmax(idles == idles[-1]))
            end_s, row = self.first_s + self.step_s * j, j - k
            layer -= self.limited
            if family == _RUNS and row == 0:
                return [(self.task.now_s, end_s), *segments]
            until = j - self.slice_steps
